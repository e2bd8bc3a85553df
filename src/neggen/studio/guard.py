"""The guard before the review app: who may come in, to what, and what a page of it may do.

Gradio serves far more than this app needs (files, uploads, a proxy). Only the paths named here are
let through, so no file of the machine can be asked for: pictures travel inside the page.
"""

from __future__ import annotations

import hmac
import re
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neggen.serving.access import is_loopback
from neggen.studio.pages import page

COOKIE = "neggen_studio"
LOGIN = "/login"
LONGEST_FORM = 4096
"""Bytes of the form with the token."""
LONGEST_BODY = 1 << 20
"""Bytes of any other request: it holds a few texts."""
_PORT = re.compile(r":\d+$")
_NEEDED = re.compile(
    r"/(?:|theme\.css|config|info|favicon\.ico|manifest\.json|assets/.+|static/.+|svelte/.+"
    r"|gradio_api/(?:info|app_id|startup-events|heartbeat/\w+|run/\w+|queue/(?:join|data)|cancel|reset"
    r"|theme\.css))/?"
)
_POLICY = (
    "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; script-src-attr 'none'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "manifest-src 'self'; form-action 'self'; base-uri 'self'; frame-ancestors 'none'"
)
"""Gradio compiles its pages in the browser; handlers in markup, which it does not need, are off."""
_FOREIGN = (
    "Requests of other sites are not served; if this is the studio's own page behind a proxy, have "
    "the proxy pass on the name it was asked for, as nginx does with: "
    "proxy_set_header Host $http_host;"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Middleware around the whole application."""

    def __init__(self, app: ASGIApp, token: str | None) -> None:
        """Guard ``app``; without a token only this machine is let in."""
        self._app, self._token = app, token
        self._session = secrets.token_urlsafe(32)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
            await send(message)

        refusal = await self._refusal(scope, receive)
        await (self._app if refusal is None else refusal)(scope, receive, answer)

    async def _refusal(self, scope: Scope, receive: Receive) -> Response | None:
        if scope["type"] != "http":
            return PlainTextResponse("Not here.", 404)
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if self._token is None and not is_loopback(_PORT.sub("", host)):
            # A page of another site can send its own name here, which leads to this machine.
            return PlainTextResponse("Without a token only requests to localhost are served.", 403)
        if (origin := headers.get("origin")) is not None and urlsplit(origin).netloc != host:
            return PlainTextResponse(_FOREIGN, 403)
        length = headers.get("content-length", "0" if scope["method"] == "GET" else "")
        if not length.isdecimal() or int(length) > LONGEST_BODY:
            return PlainTextResponse("That is too long, or does not say how long it is.", 413)
        if self._token is not None and not self._knows(headers, self._token):
            if path == LOGIN and scope["method"] == "POST":
                return await self._let_in(receive, self._token)
            return HTMLResponse(page("login.html", wrong=False), 401)
        if path == LOGIN:
            return RedirectResponse("/", 303)
        return None if _NEEDED.fullmatch(path) else PlainTextResponse("Not here.", 404)

    def _knows(self, headers: Headers, token: str) -> bool:
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
        except CookieError:
            cookie = None
        if cookie is not None and _same(cookie.value, self._session):
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and _same(given.strip(), token)

    async def _let_in(self, receive: Receive, token: str) -> Response:
        body, more = b"", True
        while more and len(body) <= LONGEST_FORM:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        given = parse_qs(body.decode("utf-8", "replace")).get("token", [""])[0]
        if not _same(given.strip(), token):
            return HTMLResponse(page("login.html", wrong=True), 401)
        response = RedirectResponse("/", 303)
        response.set_cookie(COOKIE, self._session, httponly=True, samesite="strict")
        return response


def _same(given: str, expected: str) -> bool:
    return hmac.compare_digest(given.encode(), expected.encode())

"""What a client hears when it cannot be served: a status, a code for programs, a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping

from starlette.responses import Response

LONGEST = 500
"""Characters of a message; what a client sent may be quoted in it."""
CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}
"""The usual code of a status."""


class Refusal(Exception):
    """A request that cannot be served, and why.

    Attributes:
        status: the HTTP status.
        message: a sentence for people.
        code: a word for programs, by default the usual one of the status.
        headers: further headers, such as ``Retry-After``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.message = status, message
        self.code = code or CODES[status]
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """Return ``{"error": {"code": …, "message": …}}``."""
        message = self.message if len(self.message) <= LONGEST else self.message[:LONGEST] + "…"
        # As ASCII, since what is quoted may hold half a character.
        body = json.dumps({"error": {"code": self.code, "message": message}})
        return Response(body, self.status, self.headers, media_type="application/json")


def busy(status: int, message: str) -> Refusal:
    """Return a refusal after which the client may try again in a second."""
    return Refusal(status, message, headers={"Retry-After": "1"})

"""A client of the chat-completions server, whose errors ask to be tried again after 5 ms."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from neggen.generation.backends.base import RequestFailed
from neggen.generation.backends.budget import Prices
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.requests import Completion, Request, Usage

if TYPE_CHECKING:
    from conftest import ChatServer

SCHEMA = {"type": "object", "properties": {"marked": {"type": "string"}}}


class Client:
    """Makes backends for the server and asks them."""

    hello = Completion("Hello.", Usage(7, 3))  # to be compared with answers of say("Hello.")
    a_dollar_a_token = Prices(1_000_000.0, 1_000_000.0)

    def __init__(self, server: ChatServer) -> None:
        self.url = server.url

    def backend(self, **options: Any) -> OpenAICompatibleBackend:
        return OpenAICompatibleBackend(self.url, "tiny", **options)

    @staticmethod
    def question(number: int = 0, image: bytes | None = None, user: str | None = None) -> Request:
        user = user or f"Item {number}."
        return Request(f"i{number}", "text", "fused", 1, "Be brief.", user, SCHEMA, image)

    @staticmethod
    def ask(asked: OpenAICompatibleBackend, *requests: Request) -> list[Any]:
        """Ask everything at once; returns completions and exceptions."""

        async def job() -> list[Any]:
            try:
                return await asyncio.gather(*map(asked.complete, requests), return_exceptions=True)
            finally:
                await asked.close()

        return asyncio.run(job())

    def failure(
        self, asked: OpenAICompatibleBackend, request: Request | None = None
    ) -> RequestFailed:
        (error,) = self.ask(asked, request or self.question())
        assert isinstance(error, RequestFailed), error
        return error

    @staticmethod
    def completion(**changes: Any) -> dict[str, Any]:
        """A completion as the server sends it, changed in ``message``, ``choice`` or at top."""
        message = {"role": "assistant", "content": "Hello.", **changes.pop("message", {})}
        choice = {"index": 0, "finish_reason": "stop", "message": message}
        choice |= changes.pop("choice", {})
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        return {"choices": [choice], "usage": usage, **changes}

    @staticmethod
    async def cut(request: web.Request) -> web.StreamResponse:
        """A reply of the server: none, and the connection is closed."""
        request.transport.abort()
        return web.Response()

    @staticmethod
    def unused_address() -> str:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            return f"http://127.0.0.1:{unused.getsockname()[1]}/v1"


@pytest.fixture
def client(server: ChatServer) -> Client:
    return Client(server)

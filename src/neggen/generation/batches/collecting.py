"""Questions without an answer, gathered into lines of a batch file, some hundred at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from neggen.errors import NegGenError
from neggen.generation.backends.base import Backend, Deferred
from neggen.generation.backends.chat import chat_body
from neggen.generation.backends.dialect import Dialect
from neggen.generation.requests import Completion, Request
from neggen.generation.runner import Pending

TOGETHER = 256
"""Requests written and noted in one transaction."""
BYTES_TOGETHER = 16 * 2**20
"""Fewer are if they are long; this bounds the memory."""
URL: Final = "/v1/chat/completions"


class Deferring:
    """Has the identity of another backend, and answers nothing now.

    ``generate`` with it makes the records of all answers that came from batches.
    """

    def __init__(self, backend: Backend) -> None:
        """Take over the identity of ``backend``, and so its answers in the journal."""
        self.name, self.model = backend.name, backend.model
        self.parameters: Mapping[str, Any] = backend.parameters
        self.finished = backend.finished

    async def complete(self, request: Request) -> Completion:
        """Put the request off.

        Raises:
            Deferred: Always.
        """
        raise Deferred

    async def close(self) -> None:
        """There is nothing to close."""


@dataclass(frozen=True)
class Line:
    """A question as a line of a batch file.

    Attributes:
        pending: the question.
        dialect: the options it is asked with.
        text: JSON with a line break, in the form of OpenAI's Batch API; ``custom_id`` is the key.
    """

    pending: Pending
    dialect: Dialect
    text: bytes = field(repr=False)


class Collector:
    """Turns questions into lines and hands them on in groups, one group at a time."""

    def __init__(
        self, backend: Backend, dialect: Dialect, write: Callable[[list[Line]], Awaitable[None]]
    ) -> None:
        """Prepare.

        Args:
            backend: whose questions they are.
            dialect: the options that its server understands.
            write: gets every group.

        Raises:
            NegGenError: If the backend has no model that a chat-completions server could serve.
        """
        if backend.model is None or not {"temperature", "max_tokens"} <= set(backend.parameters):
            raise NegGenError(
                f"The backend '{backend.name}' asks no model on a server, so there is nothing to "
                "put into a batch; name one with --model."
            )
        self._model, self._parameters = backend.model, backend.parameters
        self._dialect, self._write = dialect, write
        self._group: list[Line] = []
        self._bytes = 0
        self._turn = asyncio.Lock()

    async def add(self, pending: Pending) -> None:
        """Add a question.

        Raises:
            RequestFailed: If its picture cannot be sent.
            NegGenError: If the group that it completes cannot be written.
        """
        body = await chat_body(pending.request, self._model, self._parameters, self._dialect)
        line = {"custom_id": pending.key, "method": "POST", "url": URL, "body": body}
        text = json.dumps(line).encode() + b"\n"
        self._group.append(Line(pending, self._dialect, text))
        self._bytes += len(text)
        if len(self._group) >= TOGETHER or self._bytes >= BYTES_TOGETHER:
            await self.flush()

    async def flush(self) -> None:
        """Hand on what has gathered."""
        async with self._turn:
            group, self._group, self._bytes = self._group, [], 0
            if group:
                await self._write(group)

"""A provider's Batch API through the ``openai`` client, with its errors in one sentence."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from neggen.errors import NegGenError
from neggen.generation.backends.dialect import read_complaint
from neggen.generation.backends.wire import KEY_VARIABLE, Wire
from neggen.generation.batches.collecting import URL
from neggen.generation.pacing.backoff import wait_before

if TYPE_CHECKING:
    from openai.types import Batch as OpenAIBatch

METADATA = "neggen_batch"
"""Where a batch says which of ours it is."""
CLOCKS_APART = 86_400
"""Seconds that this machine's clock may differ from the provider's."""
MOST_BYTES = 4 * 2**30
"""A longer result file is given up."""
AGAIN = {408, 409, 425, 429}

Answer = TypeVar("Answer")


class Passing(Exception):
    """The provider did not do it, or its answer was lost; another try may help."""


@dataclass(frozen=True)
class Progress:
    """How far a batch is.

    Attributes:
        status: as the provider calls it, such as ``in_progress``.
        done: requests that are done, with or without an answer.
        total: requests in all.
        files: ids of the files with its results so far.
        problem: why it failed as a whole, or an empty text.
    """

    status: str
    done: int
    total: int
    files: tuple[str, ...]
    problem: str

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self.status in ("completed", "failed", "expired", "cancelled")


class Provider:
    """Files and batches of one provider. The key comes from ``OPENAI_API_KEY`` only.

    Attributes:
        address: as errors name it.
    """

    def __init__(self, base_url: str, patience: float) -> None:
        """Prepare; nothing is sent yet.

        Args:
            base_url: address of the API, such as ``https://api.openai.com/v1``.
            patience: seconds for which a provider that cannot be reached is tried again.

        Raises:
            NegGenError: If the address or the key cannot be used.
        """
        from openai import AsyncOpenAI

        wire = Wire(base_url, timeout=1.0)  # which checks both
        self.address, self._redact = wire.address, wire.redact
        self._patience = patience
        # The client must not try again by itself: what was sent twice would be paid for twice.
        key = os.environ.get(KEY_VARIABLE, "").strip() or "none"
        self._client = AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0, timeout=600.0)

    async def file(self, name: str, since: int, path: Path) -> str:
        """Return the id of the file called ``name``, uploading ``path`` unless it is there.

        Args:
            name: ours alone.
            since: when it may have been uploaded for the first time, in seconds since 1970.
            path: the file.

        Raises:
            NegGenError: If the provider refuses it or cannot be reached.
        """
        files = self._client.files

        async def find_or_upload() -> str:
            with self._explained():
                async for there in files.list(purpose="batch", limit=1000):
                    if there.filename == name:
                        return there.id
                    if there.created_at < since - CLOCKS_APART:
                        break
                with path.open("rb") as content:
                    upload = (name, content, "application/jsonl")
                    return (await files.create(file=upload, purpose="batch")).id

        return await self._patiently(find_or_upload)

    async def batch(self, name: str, since: int, file_id: str) -> str:
        """Return the id of the batch that bears ``name``, creating it unless it is there.

        Raises:
            NegGenError: If the provider refuses it or cannot be reached.
        """
        batches = self._client.batches

        async def find_or_create() -> str:
            with self._explained():
                async for there in batches.list(limit=100):
                    if (there.metadata or {}).get(METADATA) == name:
                        return there.id
                    if there.created_at < since - CLOCKS_APART:
                        break
                created = await batches.create(
                    input_file_id=file_id, endpoint=URL, completion_window="24h",
                    metadata={METADATA: name},
                )  # fmt: skip
                return created.id

        return await self._patiently(find_or_create)

    async def progress(self, batch_id: str) -> Progress:
        """Return how far a batch is.

        Raises:
            NegGenError: If the provider does not know it or cannot be reached.
        """

        async def retrieve() -> Progress:
            with self._explained():
                return _progress(await self._client.batches.retrieve(batch_id))

        return await self._patiently(retrieve)

    async def download(self, file_id: str, path: Path) -> None:
        """Write a file of the provider to ``path``.

        Raises:
            NegGenError: If the provider does not have it or cannot be reached.
        """

        async def save() -> None:
            with self._explained():
                response = self._client.files.with_streaming_response.content(file_id)
                async with response as answer:
                    await _save(answer.iter_bytes(), path)

        await self._patiently(save)

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()

    async def _patiently(self, job: Callable[[], Awaitable[Answer]]) -> Answer:
        waited, failures = 0.0, 0
        while True:
            try:
                return await job()
            except Passing as problem:
                failures += 1
                if waited >= self._patience:
                    raise NegGenError(
                        f"The server {self.address} does not do its part ({problem}); batches that "
                        "it has go on without us: run the same command again later."
                    ) from None
                pause = min(wait_before(failures, None), self._patience - waited)
                await asyncio.sleep(pause)
                waited += pause

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn errors of the client into ours; they hold the request with its key."""
        import openai

        problem: Exception
        try:
            yield
            return
        except openai.APIStatusError as error:
            problem = self._refusal(error.status_code, error.response.content)
        except openai.APIConnectionError as error:
            problem = Passing(self._redact(str(error.__cause__ or error)))
        except openai.OpenAIError as error:
            problem = Passing(self._redact(str(error)))
        except (NegGenError, OSError):
            raise
        except (AttributeError, TypeError):  # of a web page, the client returns the text
            problem = NegGenError(
                f"The server {self.address} sends no answers of a Batch API; check the base URL, "
                "which often ends in /v1."
            )
        except Exception as error:  # of the transport: a download was cut
            problem = Passing(self._redact(str(error) or type(error).__name__))
        raise problem from None

    def _refusal(self, status: int, body: bytes) -> Exception:
        said = read_complaint(body, self._redact).message
        if (status in AGAIN and b"insufficient_quota" not in body) or status >= 500:
            return Passing(f"HTTP {status}: {said}")
        if status in (401, 403):
            return NegGenError(
                f"The server {self.address} refused the key (HTTP {status}); set the environment "
                f"variable {KEY_VARIABLE} to a valid one."
            )
        if status == 404:
            return NegGenError(
                f"The server {self.address} does not know a batch or file of this workspace, or "
                f"has no Batch API ({said}); check the address, and that the key in "
                f"{KEY_VARIABLE} is of the same project as before."
            )
        return NegGenError(
            f"The server {self.address} refused a batch (HTTP {status}: {said}); mend what it "
            "names and run the same command again: what it has is not sent again."
        )


def _progress(batch: OpenAIBatch) -> Progress:
    counts, errors = batch.request_counts, batch.errors
    messages = [error.message for error in (errors.data if errors else None) or () if error.message]
    files = (batch.output_file_id, batch.error_file_id)
    return Progress(
        batch.status,
        counts.completed + counts.failed if counts else 0,
        counts.total if counts else 0,
        tuple(name for name in files if name),
        "; ".join(messages)[:500],
    )


async def _save(pieces: AsyncIterator[bytes], path: Path) -> None:
    size = 0
    with path.open("wb") as file:
        async for piece in pieces:
            size += len(piece)
            if size > MOST_BYTES:
                raise NegGenError(f"A result file is longer than {MOST_BYTES:,} bytes; give it up.")
            file.write(piece)

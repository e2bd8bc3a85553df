"""Any server that speaks the OpenAI chat-completions protocol, such as vLLM or llama.cpp."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neggen.errors import NegGenError
from neggen.generation.backends.base import RequestFailed
from neggen.generation.picture import UnreadablePicture, picture_data_uri
from neggen.generation.requests import Completion, Request, Usage

if TYPE_CHECKING:
    from openai.types.chat import ChatCompletionMessageParam

KEY_VARIABLE = "OPENAI_API_KEY"
OPENAI_URL = "https://api.openai.com/v1"
LONGEST_SIDE = 768
"""Pixels of a picture's longer side as sent: a bound on both traffic and image tokens."""


class OpenAICompatibleBackend:
    """Asks a chat-completions server, with the answer's JSON schema in ``response_format``.

    The key comes from the environment variable ``OPENAI_API_KEY`` only; a server of one's own that
    needs none gets a dummy. Time-outs, 429 and 5xx are tried again by the client, which honors
    ``retry-after``.
    """

    name = "openai-compatible"
    finished = False

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        temperature: float = 0.7,
        max_tokens: int = 1024,
        timeout: float = 120.0,
        max_retries: int = 4,
    ) -> None:
        """Prepare a client; nothing is sent yet.

        Args:
            base_url: address of the API, such as ``http://localhost:8000/v1``.
            model: the model's id there.
            temperature: of the sampling.
            max_tokens: longest answer, thinking included.
            timeout: seconds until one try is given up.
            max_retries: further tries after a time-out, 429 or 5xx.

        Raises:
            NegGenError: If ``base_url`` is not an http(s) address.
        """
        from openai import AsyncOpenAI, DefaultAioHttpClient

        if not base_url.startswith(("http://", "https://")):
            raise NegGenError(
                f"The base URL '{base_url}' should start with http:// or https://, such as "
                "http://localhost:8000/v1."
            )
        self.base_url = base_url
        self.model = model
        # Without the address: the same model may move to another server.
        self.parameters: Mapping[str, Any] = {
            "temperature": temperature,
            "max_tokens": max_tokens,
            "longest_side": LONGEST_SIDE,
        }
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._client = AsyncOpenAI(
            base_url=base_url,
            api_key=os.environ.get(KEY_VARIABLE) or "none",
            timeout=timeout,
            max_retries=max_retries,
            http_client=DefaultAioHttpClient(),
        )

    async def complete(self, request: Request) -> Completion:
        """Answer one request; see ``Backend``."""
        import httpx2
        import openai

        content: list[Any] = [{"type": "text", "text": request.user}]
        if request.image is not None:
            try:
                uri = await asyncio.to_thread(picture_data_uri, request.image, LONGEST_SIDE)
            except UnreadablePicture as error:
                raise RequestFailed(
                    "unreadable picture", f"The picture is unusable: {error}."
                ) from None
            content.append({"type": "image_url", "image_url": {"url": uri}})
        messages: list[ChatCompletionMessageParam] = [
            {"role": "system", "content": request.system},
            {"role": "user", "content": content},
        ]
        try:
            response = await self._client.chat.completions.create(
                model=self.model,
                messages=messages,
                temperature=self._temperature,
                max_tokens=self._max_tokens,
                response_format={
                    "type": "json_schema",
                    "json_schema": {
                        "name": request.step,
                        "schema": dict(request.schema),
                        "strict": True,
                    },
                },
            )
        except openai.APIConnectionError as error:
            # The aiohttp transport reports a refused connection as a ConnectTimeout.
            unreachable = isinstance(error.__cause__, httpx2.ConnectTimeout)
            if isinstance(error, openai.APITimeoutError) and not unreachable:
                raise RequestFailed("timeout", f"{self.base_url} did not answer in time.") from None
            raise NegGenError(
                f"The server {self.base_url} cannot be reached ({error.__cause__ or error}); check "
                "the address and that it runs. Answers so far are kept: run the same command again."
            ) from None
        except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
            raise NegGenError(
                f"The server {self.base_url} refused the key (HTTP {error.status_code}); set the "
                f"environment variable {KEY_VARIABLE} to a valid one."
            ) from None
        except openai.NotFoundError:
            raise NegGenError(
                f"The server {self.base_url} has no model '{self.model}' (HTTP 404); check "
                "its name, and that the base URL ends as the server wants it, often in /v1."
            ) from None
        except openai.APIStatusError as error:
            raise RequestFailed(
                f"http {error.status_code}", f"The server answered: {str(error)[:500]}."
            ) from None
        except openai.OpenAIError as error:
            raise RequestFailed("not a completion", f"{str(error)[:500]}.") from None
        choices = response.choices or []
        text = (choices[0].message.content or "") if choices else ""
        if not text:
            # Nothing came that is worth keeping, so the next run may ask again.
            finish = choices[0].finish_reason if choices else "no choices"
            raise RequestFailed("no text", f"The server sent no text (finish reason: {finish}).")
        usage = response.usage
        return Completion(
            text,
            Usage(usage.prompt_tokens, usage.completion_tokens) if usage is not None else Usage(),
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._client.close()


async def list_models(base_url: str) -> list[str]:
    """Return the ids of the models that a server offers.

    Raises:
        NegGenError: If the server cannot be reached or refuses.
    """
    import openai

    key = os.environ.get(KEY_VARIABLE) or "none"
    async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
        try:
            return [model.id async for model in client.models.list()]
        except openai.OpenAIError as error:
            raise NegGenError(
                f"The server {base_url} does not list its models ({error}); check the address, "
                f"that it runs, and {KEY_VARIABLE}."
            ) from None

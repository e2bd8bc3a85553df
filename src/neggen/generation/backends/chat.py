"""A request as the body of a chat-completions call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from neggen.data.picture import UnreadablePicture, picture_data_uri
from neggen.generation.backends.base import RequestFailed
from neggen.generation.backends.dialect import Dialect
from neggen.generation.requests import Request


async def chat_messages(request: Request, longest_side: int) -> list[dict[str, Any]]:
    """Return the messages that ask ``request``, its picture as a data URI.

    Args:
        request: the request.
        longest_side: pixels of the longer side of a picture as sent.

    Raises:
        RequestFailed: If the picture cannot be sent.
    """
    content: list[dict[str, Any]] = [{"type": "text", "text": request.user}]
    if request.image is not None:
        try:
            uri = await asyncio.to_thread(picture_data_uri, request.image, longest_side)
        except UnreadablePicture as error:
            raise RequestFailed(
                "unreadable picture", f"The picture is unusable: {error}."
            ) from None
        content.append({"type": "image_url", "image_url": {"url": uri}})
    return [{"role": "system", "content": request.system}, {"role": "user", "content": content}]


async def chat_body(
    request: Request, model: str, parameters: Mapping[str, Any], dialect: Dialect
) -> dict[str, Any]:
    """Return the body that asks ``request``.

    Args:
        request: the request.
        model: the model's id.
        parameters: ``temperature``, ``max_tokens`` and ``longest_side`` (pixels of a picture).
        dialect: the options that the server understands.

    Raises:
        RequestFailed: If the picture cannot be sent.
    """
    messages = await chat_messages(request, parameters["longest_side"])
    options = dialect.options(request, parameters["temperature"], parameters["max_tokens"])
    return {"model": model, "messages": messages, **options}

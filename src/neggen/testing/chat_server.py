"""A fast OpenAI-compatible server with scripted answers, for benchmarks and tests.

    python -m neggen.testing.chat_server --delay 0.05 --log calls.jsonl

Every answer is valid, follows from the prompt alone, and costs next to nothing to make. The address
to give as base URL is the first line it prints. There is no language model behind it.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from neggen.testing.serving import serve_until_stopped

if TYPE_CHECKING:
    from aiohttp import web

MODEL = "scripted"
LARGEST_BODY = 32 * 2**20
"""Bytes of a request, pictures included."""
_COLORS, _THINGS, _MATERIALS = (
    words.split()
    for words in (
        "red blue green black white yellow purple brown orange pink gray golden silver turquoise "
        "beige crimson",
        "mug lamp desk chair kettle clock bag shelf rug mirror vase tray stool basket candle "
        "umbrella",
        "oak steel glass linen leather paper wool marble bamboo ceramic copper velvet plastic cork "
        "granite rubber",
    )
)
_DATA = re.compile(r"<item-data>\n(.*?)\n</item-data>", re.DOTALL)
_SLOT = re.compile(r"\[[^\[\]]*\]")


def prompt_of(body: Mapping[str, Any]) -> str:
    """Return a hash of a request's messages: the identity of the prompt, pictures included."""
    return hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()


def scripted_answer(body: Mapping[str, Any], prompt: str) -> str:
    """Return a valid answer to any of neggen's prompts, as JSON text.

    Which answer is wanted is read from the properties of the JSON schema asked for; without one it
    is a marked description with replacements.

    Args:
        body: the request.
        prompt: what :func:`prompt_of` says of it.
    """
    form = (body.get("response_format") or {}).get("json_schema") or {}
    wanted = set((form.get("schema") or {}).get("properties") or ("marked", "replacements"))
    description = _description(prompt)
    if wanted == {"description"}:
        return json.dumps({"description": re.sub(r"[\[\]]", "", description)})
    if wanted == {"marked"}:
        return json.dumps({"marked": _mark(_material(body))})
    if wanted == {"replacements"}:
        said = _last_message(body)
        count = len(_SLOT.findall(_material(body)))
        return json.dumps({"replacements": _contrast(prompt, count, said)})
    return json.dumps({"marked": description, "replacements": _contrast(prompt, 3, description)})


def completion(text: str, model: str = MODEL, *, prompt_tokens: int = 7) -> dict[str, Any]:
    """Return the body of a successful answer with this text."""
    completion_tokens = max(1, len(text) // 4)
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 0,
        "model": model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
    }


def chat_app(*, delay: float = 0.0, log: TextIO | None = None) -> web.Application:
    """Return the server as an aiohttp application.

    Args:
        delay: seconds from a request to its answer.
        log: gets one JSON line a call when it is answered: the prompt's hash, when it was received
            and answered (Unix time), and the number of the call.
    """
    from aiohttp import web

    calls = 0

    async def chat(request: web.Request) -> web.Response:
        nonlocal calls
        number, calls = calls, calls + 1
        received = time.time()
        raw = await request.read()
        try:
            body = json.loads(raw)
            prompt = prompt_of(body)
            text = scripted_answer(body, prompt)
        except (ValueError, AttributeError, TypeError, KeyError, IndexError) as error:
            return web.json_response({"error": {"message": f"bad request: {error}"}}, status=400)
        if delay:
            await asyncio.sleep(delay)
        answer = completion(text, str(body.get("model")), prompt_tokens=max(1, len(raw) // 4))
        if log is not None:
            line = {"call": number, "prompt": prompt, "received": received, "answered": time.time()}
            log.write(json.dumps(line) + "\n")
            log.flush()
        return web.Response(body=json.dumps(answer).encode(), content_type="application/json")

    async def models(request: web.Request) -> web.Response:
        entry = {"id": MODEL, "object": "model", "created": 0, "owned_by": "neggen"}
        return web.json_response({"object": "list", "data": [entry]})

    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_post("/v1/chat/completions", chat)
    app.router.add_get("/v1/models", models)
    return app


def _description(prompt: str) -> str:
    color, thing, material, finish = (
        words[int(digit, 16)]
        for words, digit in zip((_COLORS, _THINGS, _MATERIALS, _COLORS), prompt, strict=False)
    )
    return f"A [{color} {thing}] made of [{material}] with a [{finish} finish] for use at home."


def _contrast(prompt: str, count: int, said: str) -> list[str]:
    """Return different phrases that ``said`` does not hold, of new words while there are any."""
    start = int(prompt[:4], 16)
    chosen: list[str] = []
    for new_words in (True, False):
        for step in range(256):
            if len(chosen) == count:
                return chosen
            place = (start + 17 * step) % 256  # 17 on, both words are others than before
            color, thing = _COLORS[place % 16], _THINGS[place // 16]
            phrase = f"{color} {thing}"
            parts = (color, thing) if new_words else (phrase,)
            if phrase not in chosen and not any(part in said for part in parts):
                chosen.append(phrase)
    return chosen


def _last_message(body: Mapping[str, Any]) -> str:
    content = body["messages"][-1]["content"]
    if not isinstance(content, str):
        content = "\n".join(part["text"] for part in content if part["type"] == "text")
    return content


def _material(body: Mapping[str, Any]) -> str:
    """Return what stands first between item-data tags in the last message."""
    content = _last_message(body)
    found = _DATA.search(content)
    return found[1] if found else content


def _mark(description: str) -> str:
    """Put the first and the middle word that are longer than three letters in brackets."""
    words = description.split(" ")
    long = [place for place, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    for place in {long[0], long[len(long) // 2]} if long else ():
        words[place] = f"[{words[place]}]"
    return " ".join(words)


def main() -> None:
    """Run the server as a program."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds until each answer")
    parser.add_argument("--log", type=Path, help="append one JSON line a call to this file")
    options = parser.parse_args()
    log = options.log.open("a", encoding="utf-8") if options.log else None
    serve_until_stopped(chat_app(delay=options.delay, log=log), options.host, options.port, "/v1")


if __name__ == "__main__":
    main()

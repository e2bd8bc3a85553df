"""A real chat-completions server on the loopback interface, and a small catalogue with pictures."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from aiohttp import web
from PIL import Image

from neggen.data.dataset import Dataset

GOOD = {"marked": "A [red] mug with [dots].", "replacements": ["blue", "stripes"]}


def say(answer: Any, status: int = 200) -> tuple[int, Any]:
    """A reply of the server: a completion whose text is ``answer`` (as JSON, if not text)."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return status, {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "test",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


@dataclass
class ChatServer:
    """Logs every call; ``reply`` decides what it says to the n-th (from 0)."""

    reply: Callable[[int, dict[str, Any]], tuple[int, Any]] = lambda number, body: say(GOOD)
    delay: float = 0.0
    calls: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    answered: int = 0
    url: str = ""
    say = staticmethod(say)
    good = GOOD

    async def handle(self, request: web.Request) -> web.Response:
        number = len(self.calls)
        body = await request.json()
        self.calls.append(body)
        self.authorizations.append(request.headers.get("Authorization", ""))
        await asyncio.sleep(self.delay)
        status, answer = self.reply(number, body)
        self.answered += 1
        return web.json_response(answer, status=status, headers={"retry-after-ms": "5"})

    def prompts(self) -> list[str]:
        """The user prompt of each call."""
        return [call["messages"][1]["content"][0]["text"] for call in self.calls]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    chat = ChatServer()
    loop = asyncio.new_event_loop()
    ready = threading.Event()

    async def serve() -> web.AppRunner:
        app = web.Application(client_max_size=16 * 2**20)
        app.router.add_post("/v1/chat/completions", chat.handle)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        chat.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        return runner

    def work() -> None:
        runner = loop.run_until_complete(serve())
        ready.set()
        loop.run_forever()
        loop.run_until_complete(runner.cleanup())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert ready.wait(5)
    yield chat
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


@pytest.fixture
def catalogue(tmp_path: Path) -> Callable[..., Dataset]:
    """Make a catalogue of ``items`` items, each with a text and, if asked for, a picture."""

    def make(items: int = 4, *, pictures: bool = False) -> Dataset:
        rows = []
        for index in range(items):
            name = f"{index}.png" if pictures else None
            if name:
                color = (index * 40 % 256, 80, 200)
                Image.new("RGB", (40, 30), color).save(tmp_path / name)
            rows.append({"item_id": f"i{index}", "image": name, "title": f"Thing number {index}"})
        table = pl.DataFrame(rows, schema={"item_id": str, "image": str, "title": str})
        users = np.repeat(np.arange(3), items)
        log = pl.DataFrame(
            {"user_id": [f"u{user}" for user in users], "item_id": table["item_id"].to_list() * 3}
        )
        return Dataset.from_frames(log, table, image_dir=tmp_path)

    return make

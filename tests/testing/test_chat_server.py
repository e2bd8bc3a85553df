from __future__ import annotations

import asyncio
import io
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import polars as pl
import pytest
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.parsing import parse_json, record_from_answer
from neggen.generation.record_files import read_records
from neggen.generation.records import Answer
from neggen.generation.requests import Plan
from neggen.generation.run import generate
from neggen.testing.chat_server import chat_app, prompt_of, scripted_answer
from neggen.testing.serving import serve_in_thread
from neggen.workspace import Workspace

MESSAGES = [{"role": "user", "content": "Describe a mug."}]


def thirty_items(folder: Path) -> Dataset:
    for number in range(30):
        Image.new("RGB", (9, 9), (8 * number, 80, 200)).save(folder / f"{number}.png")
    ids = [str(number) for number in range(30)]
    columns = {
        "item_id": ids,
        "title": [f"Thing {number}" for number in ids],
        "image": [f"{number}.png" for number in ids],
    }
    log = {"user_id": ["a"] * 30 + ["b"] * 30, "item_id": ids * 2}
    return Dataset.from_frames(pl.DataFrame(log), pl.DataFrame(columns), image_dir=folder)


@pytest.mark.parametrize("plan", ["fused", "staged"])
def test_every_answer_becomes_a_record(plan: Plan, tmp_path: Path) -> None:
    data = thirty_items(tmp_path)

    def run(name: str) -> pl.DataFrame:
        with serve_in_thread(chat_app()) as address:
            backend = OpenAICompatibleBackend(f"{address}/v1", "m")
            workspace = Workspace(tmp_path / name)
            summary = generate(workspace, data, backend, plan=plan, completions=8)
        for counts in summary.modalities.values():
            assert (counts.valid, counts.failed) == (30, {})
            assert counts.asked == (240 if plan == "fused" else 300)  # no second try
        return read_records(workspace.records_path)

    records = run("once")
    assert records.equals(run("again"))
    assert records["description"].n_unique() > 45
    assert (records["negative"] != records["description"]).all()
    assert len(records) == 480
    assert records["negative"].n_unique() > 300


def test_a_second_try_is_about_the_description_not_the_answer() -> None:
    content = (
        "<item-data>\nA [red] mug.\n</item-data>\n"
        'Your answer: <item-data>\n{"replacements": ["blue lamp", "b"]}\n</item-data>'
    )
    body = {
        "messages": [{"role": "user", "content": content}],
        "response_format": {"json_schema": {"schema": {"properties": {"replacements": {}}}}},
    }
    replacements = json.loads(scripted_answer(body, prompt_of(body)))["replacements"]
    assert len(replacements) == 1
    assert replacements[0] not in content


def test_without_a_schema_it_answers_in_full() -> None:
    text = scripted_answer({"messages": MESSAGES}, prompt_of({"messages": MESSAGES}))
    assert record_from_answer("i", "text", parse_json(text, Answer))


def post(url: str, bodies: list[Any]) -> list[tuple[int, Any]]:
    """Send all at once."""

    async def one(session: aiohttp.ClientSession, body: Any) -> tuple[int, Any]:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        async with session.post(f"{url}/chat/completions", data=data) as response:
            return response.status, await response.json()

    async def run() -> list[tuple[int, Any]]:
        async with aiohttp.ClientSession() as session:
            return await asyncio.gather(*(one(session, body) for body in bodies))

    return asyncio.run(run())


def test_calls_are_answered_side_by_side_and_logged() -> None:
    log = io.StringIO()
    bodies = [
        {"model": "m", "messages": [{"role": "user", "content": str(number % 20)}]}
        for number in range(40)
    ]
    with serve_in_thread(chat_app(delay=0.6, log=log)) as address:
        answers = post(f"{address}/v1", bodies)
    assert {status for status, _ in answers} == {200}
    texts = [answer["choices"][0]["message"]["content"] for _, answer in answers]
    assert texts[:20] == texts[20:]
    assert all(answer["model"] == "m" for _, answer in answers)
    assert all(answer["usage"]["total_tokens"] > 2 for _, answer in answers)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    assert sorted(line["call"] for line in lines) == list(range(40))
    assert {line["prompt"] for line in lines} == {prompt_of(body) for body in bodies}
    assert all(line["answered"] - line["received"] > 0.59 for line in lines)
    # Had they queued, the last would have come after the first was answered.
    assert max(line["received"] for line in lines) < max(line["answered"] for line in lines[:20])


@pytest.mark.parametrize("body", [b"no json", b"[]", b"{}", b'{"messages": 3}', b"\xff"])
def test_what_is_no_request_is_refused(body: bytes) -> None:
    mask = {"json_schema": {"schema": {"properties": {"marked": {}}}}}
    if body == b'{"messages": 3}':
        body = json.dumps({"messages": 3, "response_format": mask}).encode()
    with serve_in_thread(chat_app()) as address:
        ((status, answer),) = post(f"{address}/v1", [body])
    assert status == 400
    assert "bad request" in answer["error"]["message"]


@pytest.fixture
def program(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "neggen.testing.chat_server", "--log", str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        yield running
        running.kill()


def test_the_program_says_where_it_is_and_ends_when_told(
    program: subprocess.Popen[str], tmp_path: Path
) -> None:
    assert program.stdout is not None
    url = program.stdout.readline().strip()
    assert url.startswith("http://127.0.0.1:")
    ((status, _),) = post(url, [{"messages": MESSAGES}])
    assert status == 200
    assert len((tmp_path / "log").read_text().splitlines()) == 1
    program.send_signal(signal.SIGTERM)
    assert program.wait(30) == 0

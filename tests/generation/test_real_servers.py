"""Generation against servers with a language model in them, each a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from neggen.data.dataset import Dataset
from neggen.generation.backends.local import LocalBackend
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend, list_models
from neggen.generation.parsing import parse_json
from neggen.generation.records import Answer
from neggen.generation.requests import Request
from neggen.generation.run import generate, read_records
from neggen.workspace import Workspace

for package in ("llguidance", "fastapi", "uvicorn"):
    pytest.importorskip(package, reason="needs the extras local and serve")

Catalogue = Callable[..., Dataset]

SERVER = Path(__file__).parents[1] / "standins" / "server.py"
PATIENCE = 120
"""Seconds until a server that does not come up is given up."""


class NotUp(Exception):
    """The server did not come up; the message is the last it said."""


@contextmanager
def process(
    command: list[str], output: Path, find: Callable[[], str | None], **environment: str
) -> Iterator[str]:
    """Run a server and give its address, once ``find`` finds it."""
    environment |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with output.open("w") as said:
        running = subprocess.Popen(
            command, stdout=said, stderr=subprocess.STDOUT, env={**os.environ, **environment}
        )
    try:
        patience = time.monotonic() + PATIENCE
        while (address := find()) is None:
            if running.poll() is not None or time.monotonic() > patience:
                raise NotUp(output.read_text().strip().rpartition("\n")[2])
            time.sleep(0.1)
        yield address
    finally:
        running.terminate()
        running.wait(30)


@pytest.fixture(scope="module")
def enforcing(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """The stand-in server; gives its address and its log."""
    folder = tmp_path_factory.mktemp("enforcing")
    log, output = folder / "calls.jsonl", folder / "output.txt"

    def find() -> str | None:
        found = re.search(r"^(http:\S+)\n", output.read_text(), re.MULTILINE)
        return found[1] if found else None

    command = [sys.executable, str(SERVER), "--model", str(tiny_model), "--log", str(log)]
    with process(command, output, find) as address:
        yield address, log


@pytest.fixture(scope="module")
def independent(
    tiny_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, Path]]:
    """``transformers serve``, which ignores ``response_format``; gives address and output."""
    program = shutil.which("transformers", path=str(Path(sys.executable).parent))
    if program is None or find_spec("accelerate") is None:
        pytest.skip("transformers serve needs transformers and accelerate beside this Python")
    folder = tmp_path_factory.mktemp("independent")
    (folder / "hub").mkdir()
    output = folder / "output.txt"
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"http://127.0.0.1:{free.getsockname()[1]}"

    def find() -> str | None:
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=5):
                return address
        except OSError:
            return None

    command = [program, "serve", str(tiny_model), "--device", "cpu", "--host", "127.0.0.1"]
    command += ["--port", address.rpartition(":")[2]]
    with process(command, output, find, HF_HOME=str(folder)):
        yield f"{address}/v1", output


def calls(log: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in log.read_text("utf-8").splitlines()] if log.exists() else []
    )


def test_schema_and_server_bounds_make_records(
    enforcing: tuple[str, Path], catalogue: Catalogue, tmp_path: Path
) -> None:
    url, log = enforcing
    workspace, data = Workspace(tmp_path / "w"), catalogue(6, pictures=True)
    before = len(calls(log))
    summary = generate(workspace, data, OpenAICompatibleBackend(url, "tiny-bounded"), concurrency=4)
    records = read_records(workspace.records_path)
    for modality, counts in summary.modalities.items():
        assert (counts.items, counts.valid) == (6, 6), counts.failed
        assert counts.usage.prompt_tokens > 100 * counts.asked
        assert counts.usage.completion_tokens > 10 * counts.asked
        assert len(records.filter(modality=modality)) == 6
    assert all(re.fullmatch(r"[A-Z][a-z ]+ [a-z]+ [a-z]+\.", d) for d in records["description"])
    written = calls(log)[before:]
    assert len(written) == sum(counts.asked for counts in summary.modalities.values())
    seen = [json.loads(call["text"])["replacements"] for call in written]
    assert sorted(seen) == sorted(records["replacements"].to_list())
    again = generate(workspace, data, OpenAICompatibleBackend(url, "tiny-bounded"))
    assert [counts.asked for counts in again.modalities.values()] == [0, 0]
    assert len(calls(log)) == before + len(written)


def test_every_item_ends_valid_or_dead_with_a_reason(
    enforcing: tuple[str, Path], catalogue: Catalogue, tmp_path: Path
) -> None:
    url, log = enforcing
    backend = OpenAICompatibleBackend(url, "tiny", temperature=1.0, max_tokens=200)
    before = len(calls(log))
    summary = generate(Workspace(tmp_path / "w"), catalogue(4), backend, attempts=2)
    counts = summary.modalities["text"]
    assert counts.valid + counts.failed.total() == 4
    assert all(counts.failed)
    written = calls(log)[before:]
    assert len(written) >= max(4, counts.asked)
    for call in written:  # well-formed unless it was cut off
        assert call["text"].startswith('{"marked": "')
        if call["text"].endswith("]}"):
            assert parse_json(call["text"], Answer)


def test_a_local_model_agrees_with_a_server_that_shares_no_code(
    enforcing: tuple[str, Path], tiny_model: Path
) -> None:
    url, _ = enforcing
    schema = {
        "type": "object",
        "properties": runpy.run_path(str(SERVER), run_name="standin")["BOUNDS"],
        "required": ["marked", "replacements"],
        "additionalProperties": False,
    }
    requests = [
        Request(
            item_id=f"i{number}",
            modality="text",
            step="fused",
            attempt=1,
            system="Be brief.",
            user=f"Describe {'such ' * number}a thing.",
            schema=schema,
        )
        for number in range(5)
    ]

    async def ask(backend: Any) -> list[Any]:
        try:
            return await asyncio.gather(*map(backend.complete, requests))
        finally:
            await backend.close()

    theirs = asyncio.run(ask(OpenAICompatibleBackend(url, "tiny", temperature=0.0)))
    ours = asyncio.run(ask(LocalBackend(str(tiny_model))))
    assert [answer.text for answer in ours] == [answer.text for answer in theirs]
    assert [answer.usage for answer in ours] == [answer.usage for answer in theirs]
    assert len({answer.text for answer in ours}) > 1


def test_models_are_listed(enforcing: tuple[str, Path]) -> None:
    assert asyncio.run(list_models(enforcing[0])) == ["tiny", "tiny-bounded"]


def test_transformers_serve(
    independent: tuple[str, Path], tiny_model: Path, catalogue: Catalogue, tmp_path: Path
) -> None:
    url, output = independent
    assert asyncio.run(list_models(url)) == [str(tiny_model)]
    backend = OpenAICompatibleBackend(url, str(tiny_model), max_tokens=24)
    summary = generate(Workspace(tmp_path / "w"), catalogue(3, pictures=True), backend, attempts=2)
    for counts in summary.modalities.values():
        # Random words, mostly cut short: no answer, but every item has a reason.
        assert (counts.items, counts.valid, counts.failed.total()) == (3, 0, 3)
        assert not any(kind.startswith(("http", "timeout")) for kind in counts.failed)
    answered = output.read_text().count('"POST /v1/chat/completions HTTP/1.1" 200')
    assert answered >= 6

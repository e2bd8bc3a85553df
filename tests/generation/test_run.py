from __future__ import annotations

import asyncio
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.records import SCHEMA
from neggen.generation.run import generate, generate_records, read_records
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer

Catalogue = Callable[..., Dataset]
ITEMS = 60
CONCURRENCY = 4

PROGRAM = textwrap.dedent(
    """
    import sys
    import polars as pl
    from neggen.data.dataset import Dataset
    from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
    from neggen.generation.run import generate
    from neggen.workspace import Workspace
    folder, url = sys.argv[1:3]
    count, concurrency = int(sys.argv[3]), int(sys.argv[4])
    ids = [f"i{i}" for i in range(count)]
    table = pl.DataFrame({"item_id": ids, "title": [f"Thing {i}" for i in ids]})
    log = pl.DataFrame({"user_id": ["u"] * count, "item_id": ids})
    backend = OpenAICompatibleBackend(url, "tiny")
    data = Dataset.from_frames(log, table)
    summary = generate(Workspace(folder), data, backend, concurrency=concurrency)
    print(summary.modalities["text"].asked)
    """
)


def start(folder: Path, server: ChatServer) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder), server.url, str(ITEMS), str(CONCURRENCY)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def acknowledged(folder: Path) -> set[str]:
    with sqlite3.connect(Workspace(folder).journal_path) as file:
        return {item for (item,) in file.execute("SELECT item_id FROM answers")}


def asked_for(server: ChatServer) -> Counter[str]:
    return Counter(prompt.partition("Thing ")[2].split()[0] for prompt in server.prompts())


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT], ids=["kill", "ctrl-c"])
def test_nothing_acknowledged_is_asked_twice_after_an_interruption(
    server: ChatServer, tmp_path: Path, end: signal.Signals
) -> None:
    server.delay = 0.01
    process = start(tmp_path, server)
    while server.answered < ITEMS // 3 and process.poll() is None:
        time.sleep(0.002)
    os.kill(process.pid, end)
    _, errors = process.communicate(timeout=30)
    if end == signal.SIGINT:
        assert errors.rstrip().endswith("KeyboardInterrupt")
    assert process.returncode != 0
    kept = acknowledged(tmp_path)
    assert ITEMS // 3 - CONCURRENCY <= len(kept) < ITEMS, "the process should end in the middle"
    # No worker goes on before its answer is on disk, so only what was in flight is lost.
    assert len(server.calls) - len(kept) <= CONCURRENCY
    assert not Workspace(tmp_path).records_path.exists()

    resumed = start(tmp_path, server)
    output, errors = resumed.communicate(timeout=60)
    assert resumed.returncode == 0, errors
    assert int(output) == ITEMS - len(kept)
    asked = asked_for(server)
    assert len(asked) == ITEMS
    assert {item for item in kept if asked[item] > 1} == set()
    assert len(read_records(Workspace(tmp_path).records_path)) == ITEMS


def test_records_are_in_catalogue_order_and_reproducible(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    data, workspace = catalogue(12, pictures=True), Workspace(tmp_path / "w")
    progress: list[tuple[int, int]] = []
    summary = generate(
        workspace,
        data,
        OpenAICompatibleBackend(server.url, "tiny"),
        on_progress=lambda done, total: progress.append((done, total)),
    )
    assert {name: counts.asked for name, counts in summary.modalities.items()} == {
        "image": 12,
        "text": 12,
    }
    assert progress == [(done, 24) for done in range(1, 25)]
    records = read_records(workspace.records_path)
    assert records.schema == SCHEMA
    assert records["item_id"].to_list() == [f"i{i}" for i in range(12) for _ in "it"]
    before = workspace.records_path.read_bytes()
    again = generate(workspace, data, OpenAICompatibleBackend(server.url, "tiny"))
    assert all(counts.asked == 0 and counts.reused == 12 for counts in again.modalities.values())
    assert workspace.records_path.read_bytes() == before


def test_a_changed_picture_is_a_new_question(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "w")
    data = catalogue(3, pictures=True)
    generate(workspace, data, OpenAICompatibleBackend(server.url, "m"), modalities=["image"])
    (tmp_path / "0.png").write_bytes((tmp_path / "1.png").read_bytes())
    again = generate(
        workspace, data, OpenAICompatibleBackend(server.url, "m"), modalities=["image"]
    )
    assert (again.modalities["image"].asked, again.modalities["image"].reused) == (1, 2)


def test_invalid_answers_are_not_paid_for_again(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    server.reply = lambda number, body: server.say("rubbish")
    workspace, data = Workspace(tmp_path / "w"), catalogue(2)
    first = generate(workspace, data, OpenAICompatibleBackend(server.url, "m"), attempts=2)
    assert first.modalities["text"].failed == {"not the JSON asked for": 2}
    assert read_records(workspace.records_path).is_empty()
    second = generate(workspace, data, OpenAICompatibleBackend(server.url, "m"), attempts=2)
    assert (second.modalities["text"].asked, second.modalities["text"].reused) == (0, 4)
    server.reply = lambda number, body: server.say(server.good)
    third = generate(workspace, data, OpenAICompatibleBackend(server.url, "m"), attempts=3)
    assert (third.modalities["text"].asked, third.modalities["text"].valid) == (2, 2)
    with sqlite3.connect(workspace.journal_path) as file:
        assert file.execute("SELECT count(*) FROM answers WHERE answer = 'rubbish'").fetchone() == (
            4,
        )


def test_it_runs_inside_a_notebook(server: ChatServer, catalogue: Catalogue) -> None:
    async def cell() -> pl.DataFrame:
        return generate_records(catalogue(2), OpenAICompatibleBackend(server.url, "m"))

    assert len(asyncio.run(cell())) == 2


def test_what_cannot_be_generated_is_explained(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    backend = OpenAICompatibleBackend(server.url, "m")
    data = catalogue(2, pictures=True)
    with pytest.raises(NegGenError, match=r"no modality 'images'.* Did you mean 'image'"):
        generate_records(data, backend, modalities=["images"])
    with pytest.raises(NegGenError, match="concurrency must be at least 1"):
        generate_records(data, backend, concurrency=0)
    (tmp_path / "1.png").unlink()
    with pytest.raises(NegGenError, match=r"1\.png of item 'i1' cannot be read"):
        generate_records(data, backend, modalities=["image"])
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["i"]})
    with pytest.raises(NegGenError, match="nothing to describe"):
        generate_records(Dataset.from_frames(log), backend)

from __future__ import annotations

import asyncio
import json
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
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.base import Ended, Stop
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.record_files import read_records
from neggen.generation.records import SCHEMA
from neggen.generation.requests import Completion, Request, Usage
from neggen.generation.run import generate, generate_records
from neggen.generation.runner import ModalitySummary
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer

Catalogue = Callable[..., Dataset]
ITEMS = 60
SIDES = ("image", "text")
GOOD = {"marked": "A [red] mug.", "replacements": ["blue"]}
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
    retry_failed = "--retry-failed" in sys.argv
    ids = [f"i{i}" for i in range(count)]
    table = pl.DataFrame({"item_id": ids, "title": [f"Thing {i}" for i in ids]})
    log = pl.DataFrame({"user_id": ["u"] * count, "item_id": ids})
    backend = OpenAICompatibleBackend(url, "tiny")
    data = Dataset.from_frames(log, table)
    summary = generate(
        Workspace(folder), data, backend, concurrency=concurrency, retry_failed=retry_failed
    )
    print(summary.modalities["text"].asked)
    """
)


def start(
    folder: Path, server: ChatServer, *options: str, items: int = ITEMS
) -> subprocess.Popen[str]:
    arguments = [str(folder), server.url, str(items), str(CONCURRENCY), *options]
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, *arguments],
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
    server.delay = 0.05
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


def states(folder: Path) -> list[tuple[str, int]]:
    with sqlite3.connect(Workspace(folder).journal_path) as file:
        return file.execute("SELECT state, attempts FROM units ORDER BY item_id").fetchall()


def test_a_retry_that_is_killed_leaves_its_item_failed_and_to_be_retried(
    server: ChatServer, tmp_path: Path
) -> None:
    server.reply = lambda number, body: server.say("rubbish")
    assert start(tmp_path, server, items=1).wait(30) == 0
    assert states(tmp_path) == [("dead", 3)]
    server.delay = 60.0
    killed = start(tmp_path, server, "--retry-failed", items=1)
    while len(server.calls) < 4 and killed.poll() is None:
        time.sleep(0.005)
    os.kill(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=30)
    assert states(tmp_path) == [("claimed", 3)]

    server.delay = 0.0
    server.reply = lambda number, body: server.say(server.good)
    assert start(tmp_path, server, items=1).wait(30) == 0
    assert (states(tmp_path), len(server.calls)) == ([("dead", 3)], 4)
    assert start(tmp_path, server, "--retry-failed", items=1).wait(30) == 0
    assert (states(tmp_path), len(server.calls)) == ([("valid", None)], 5)


def test_a_kill_between_an_answer_and_its_records_leaves_no_item_unfinished(
    server: ChatServer, tmp_path: Path
) -> None:
    ends = "Journal.finish = lambda *_: os.kill(os.getpid(), 9)\n"
    program = f"import os\nfrom neggen.generation.journal import Journal\n{ends}{PROGRAM}"
    killed = [sys.executable, "-c", program, str(tmp_path), server.url, "1", "1"]
    assert subprocess.run(killed, timeout=60, check=False).returncode == -signal.SIGKILL
    assert (states(tmp_path), acknowledged(tmp_path)) == ([("claimed", None)], {"i0"})
    assert start(tmp_path, server, items=1).wait(30) == 0
    assert (states(tmp_path), len(server.calls)) == ([("valid", None)], 1)


def test_records_are_in_catalogue_order_and_reproducible(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    data, workspace = catalogue(12, pictures=True), Workspace(tmp_path / "w")
    progress: list[tuple[int, int]] = []
    summary = generate(
        workspace,
        data,
        OpenAICompatibleBackend(server.url, "tiny"),
        on_progress=lambda so_far: progress.append((so_far.done, so_far.total)),
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


def test_two_processes_share_a_workspace_without_asking_twice(
    server: ChatServer, tmp_path: Path
) -> None:
    server.delay = 0.02
    processes = [start(tmp_path, server) for _ in "12"]
    asked = 0
    for process in processes:
        output, errors = process.communicate(timeout=60)
        assert process.returncode == 0, errors
        asked += int(output)
    assert asked == len(server.calls) == ITEMS
    assert set(asked_for(server).values()) == {1}
    assert len(read_records(Workspace(tmp_path).records_path)) == ITEMS


def test_failed_items_are_asked_again_only_on_demand(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(3)

    def run(**options: Any) -> ModalitySummary:
        backend = OpenAICompatibleBackend(server.url, "m", max_retries=0)
        return generate(workspace, data, backend, attempts=2, **options).modalities["text"]

    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        if "number 0" in str(body):
            return 400, {"error": "no"}
        return server.say("rubbish" if "number 1" in str(body) else server.good)

    server.reply = reply
    failed = {"http 400": 1, "not the JSON asked for": 1}
    assert run().failed == failed
    again = run()
    assert (again.failed, again.asked, again.reused) == (failed, 0, 3)
    assert len(server.calls) == 4
    retried = run(retry_failed=True)
    assert (retried.failed, retried.asked) == (failed, 2)

    def mended(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        calls = [call for call in server.calls if "number 1" in str(call)]
        late = "number 1" not in str(body) or len(calls) > 5  # its sixth attempt is good
        return server.say(server.good if late else "rubbish")

    server.reply = mended
    assert run(retry_failed=True).failed == {}
    # A good sixth answer stays reachable though only two attempts are allowed.
    assert (run().valid, run().asked) == (3, 0)


def test_a_changed_text_is_tried_anew_though_the_item_had_failed(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(2)
    server.reply = lambda number, body: server.say("rubbish")
    generate(workspace, data, OpenAICompatibleBackend(server.url, "m"), attempts=1)
    server.reply = lambda number, body: server.say(server.good)
    table = data.item_table.with_columns(title=pl.Series(["Another thing", "Thing number 1"]))
    backend = OpenAICompatibleBackend(server.url, "m")
    side = generate(workspace, data.replace(item_table=table), backend, attempts=1)
    counts = side.modalities["text"]
    assert (counts.asked, counts.valid, counts.failed.total()) == (1, 1, 1)


class Stopping:
    """A backend that may answer a number of times."""

    name, model, parameters, finished = "stopping", None, {}, False

    def __init__(self, answers: int, error: Exception) -> None:
        self.left, self.error = answers, error

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0)
        if self.left == 0:
            raise self.error
        self.left -= 1
        return Completion(json.dumps(GOOD), Usage(1, 1), 0.5)

    async def close(self) -> None: ...


def test_a_stop_is_no_error_and_known_answers_still_become_records(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(9)
    first = generate(workspace, data, Stopping(4, Stop("enough")), concurrency=1)
    counts = first.modalities["text"]
    assert (first.stopped, first.cost) == ("enough", 2.0)
    assert (counts.valid, counts.waiting, counts.asked) == (4, 5, 4)
    assert len(read_records(workspace.records_path)) == 4
    second = generate(workspace, data, Stopping(2, Stop("enough")), concurrency=3)
    assert second.modalities["text"].valid == 6
    third = generate(workspace, data, Stopping(9, Stop("enough")))
    assert (third.stopped, third.modalities["text"].asked) == (None, 3)
    assert len(read_records(workspace.records_path)) == 9


def test_what_failed_tries_cost_before_a_stop_is_kept(catalogue: Catalogue, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    summary = generate(workspace, catalogue(3), Stopping(1, Stop("enough", 0.25)), concurrency=1)
    assert summary.cost == 0.75
    with sqlite3.connect(workspace.journal_path) as file:
        assert file.execute("SELECT total(cost), count(cost) FROM units").fetchone() == (0.25, 1)


def test_what_failed_tries_cost_before_an_end_is_kept(catalogue: Catalogue, tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w")
    with pytest.raises(NegGenError, match="nobody there"):
        generate(workspace, catalogue(3), Stopping(1, Ended("nobody there", 0.25)), concurrency=1)
    with sqlite3.connect(workspace.journal_path) as file:
        assert file.execute("SELECT total(cost), count(cost) FROM units").fetchone() == (0.25, 1)
        assert file.execute("SELECT count(*) FROM units WHERE state = 'claimed'").fetchone() == (0,)


def test_what_is_in_flight_when_an_error_ends_the_run_is_kept(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    class Failing(Stopping):
        async def complete(self, request: Request) -> Completion:
            if request.item_id == "i0":
                raise NegGenError("no more")
            await asyncio.sleep(0.2)
            return await super().complete(request)

    workspace = Workspace(tmp_path / "w")
    with pytest.raises(NegGenError, match="no more"):
        generate(workspace, catalogue(20), Failing(99, Stop("")), concurrency=5)
    with sqlite3.connect(workspace.journal_path) as file:
        assert file.execute("SELECT count(*) FROM answers").fetchone() == (4,)
        assert file.execute("SELECT count(*) FROM units WHERE state = 'claimed'").fetchone() == (0,)


def test_records_of_a_modality_that_was_not_asked_for_stay(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(3, pictures=True)
    for modality in ("image", "text"):
        backend = OpenAICompatibleBackend(server.url, modality)
        generate(workspace, data, backend, modalities=[modality])
    records = read_records(workspace.records_path)
    expected = [(f"i{i}", side, f"openai-compatible: {side}") for i in range(3) for side in SIDES]
    assert records.select("item_id", "modality", "generator").rows() == expected


def test_several_negatives_per_item(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        if "These replacements have been given before" not in str(body):
            return server.say(server.good)
        given = str(body).count("stripes")
        return server.say({"replacements": [f"tone {given}", "stripes"]})

    server.reply = reply
    workspace, data = Workspace(tmp_path / "w"), catalogue(2)
    summary = generate(
        workspace, data, OpenAICompatibleBackend(server.url, "m"), completions=3
    ).modalities["text"]
    assert (summary.valid, summary.records, summary.asked) == (2, 6, 6)
    records = read_records(workspace.records_path)
    assert records["completion"].to_list() == [0, 1, 2] * 2
    assert records.filter(pl.col("item_id") == "i0")["negative"].n_unique() == 3


def test_a_stock_answer_is_asked_again_when_all_are_known(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        question = body["messages"][1]["content"][0]["text"]
        name = question.partition("Thing number ")[2].split()[0]
        lazy = int(name) % 2 == 0 and "could not be used" not in question
        value = "thing of another world" if lazy else f"kind no. {int(name) + 100}"
        marked = f"A [tone {name}] mug with [dots]."
        return server.say({"marked": marked, "replacements": [value, f"pattern {name}"]})

    server.reply = reply
    workspace, data = Workspace(tmp_path / "w"), catalogue(100)
    counts = generate(
        workspace, data, OpenAICompatibleBackend(server.url, "m"), concurrency=8
    ).modalities["text"]
    assert (counts.valid, counts.asked, counts.rejected, counts.reused) == (100, 150, 50, 0)
    records = read_records(workspace.records_path)
    assert not records["negative"].str.contains("another world").any()
    before = workspace.records_path.read_bytes()
    backend = OpenAICompatibleBackend(server.url, "m")
    again = generate(workspace, data, backend).modalities["text"]
    assert (again.asked, again.reused) == (0, 150)
    assert workspace.records_path.read_bytes() == before

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.budget import Prices
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.backends.recorded import RecordedBackend
from neggen.generation.batches import collecting, results
from neggen.generation.batches.collecting import Deferring
from neggen.generation.batches.files import Export, Limits, export_batch
from neggen.generation.batches.importing import import_batch
from neggen.generation.journal.listing import JournalListing
from neggen.generation.prepared import GenerationSummary
from neggen.generation.record_files import read_records
from neggen.generation.run import generate
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer

Catalogue = Callable[..., Dataset]
DOLLARS = Prices(1e6, 0.0)  # the server reports 7 tokens a prompt


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "w")


def lines_of(*paths: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def write(path: Path, results: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(result) + "\n" for result in results))
    return path


def cost(workspace: Workspace) -> tuple[int, float]:
    with sqlite3.connect(workspace.journal_path) as file:
        row = file.execute(
            "SELECT (SELECT count(*) FROM answers),"
            " (SELECT total(cost) FROM answers) + (SELECT total(cost) FROM units)"
        ).fetchone()
    return row[0], row[1]


def waiting(export: Export) -> int:
    return sum(side.waiting for side in export.summary.modalities.values())


def test_a_line_asks_just_what_an_ordinary_run_would(
    server: ChatServer, catalogue: Catalogue, workspace: Workspace, tmp_path: Path
) -> None:
    data = catalogue(2, pictures=True)
    backend = OpenAICompatibleBackend(server.url, "m")
    export = export_batch(workspace, data, backend, tmp_path / "b.jsonl")
    assert (export.paths, export.requests, waiting(export)) == ([tmp_path / "b.jsonl"], 4, 4)
    generate(workspace, data, backend)
    lines = lines_of(*export.paths)
    assert {(line["method"], line["url"]) for line in lines} == {("POST", "/v1/chat/completions")}
    bodies = [line["body"] for line in lines]
    for body in bodies:
        body["max_tokens"] = body.pop("max_completion_tokens")
    assert sorted(map(str, (sorted(body.items()) for body in bodies))) == sorted(
        map(str, (sorted(call.items()) for call in server.calls))
    )
    with sqlite3.connect(workspace.journal_path) as file:
        keys = {key for (key,) in file.execute("SELECT key FROM answers")}
    assert keys == {line["custom_id"] for line in lines}


def test_a_look_ahead_claims_nothing_and_writes_no_records(
    catalogue: Catalogue, workspace: Workspace, backend: Any, tmp_path: Path
) -> None:
    workspace.path.mkdir()
    workspace.records_path.write_text("as it was")
    export_batch(workspace, catalogue(3), backend, tmp_path / "b.jsonl")
    assert workspace.records_path.read_text() == "as it was"
    with sqlite3.connect(workspace.journal_path) as file:
        assert file.execute("SELECT count(*) FROM units").fetchone() == (0,)


def test_out_and_in_until_the_staged_plan_is_through(
    standin: ModuleType, catalogue: Catalogue, workspace: Workspace, backend: Any, tmp_path: Path
) -> None:
    data = catalogue(3, pictures=True)
    options: dict[str, Any] = {"plan": "staged", "completions": 2}
    requests = []
    for number in range(5):
        export = export_batch(workspace, data, backend, tmp_path / f"{number}.jsonl", **options)
        requests.append(export.requests)
        answers = [
            standin.answered(line, "rubbish" if number == 1 else None)
            for line in lines_of(*export.paths)
        ]
        imported = import_batch(workspace, [write(tmp_path / "out.jsonl", answers)], prices=DOLLARS)
        assert imported.answers == export.requests
        summary = generate(workspace, data, Deferring(backend), **options)
    # Descriptions, invalid masks, masks, and two completions, of three items with two sides.
    assert requests == [6] * 5
    assert (summary.modalities["text"].records, summary.modalities["image"].records) == (6, 6)
    assert len(read_records(workspace.records_path)) == 12
    assert export_batch(workspace, data, backend, tmp_path / "none.jsonl", **options).paths == []
    assert not (tmp_path / "none.jsonl").exists()
    assert cost(workspace) == (30, 210.0)


def test_files_over_the_limits_are_split(
    catalogue: Catalogue, workspace: Workspace, backend: Any, tmp_path: Path
) -> None:
    data, path = catalogue(7), tmp_path / "b.jsonl"
    export = export_batch(workspace, data, backend, path, limits=Limits(requests=3))
    assert [place.name for place in export.paths] == ["b-1.jsonl", "b-2.jsonl", "b-3.jsonl"]
    lines = [lines_of(place) for place in export.paths]
    assert [len(part) for part in lines] == [3, 3, 1]
    assert len({line["custom_id"] for part in lines for line in part}) == 7
    size = export.paths[0].stat().st_size // 3
    by_size = export_batch(
        workspace, data, backend, tmp_path / "s.jsonl", limits=Limits(size=2 * size + 50)
    )
    assert [len(lines_of(place)) for place in by_size.paths] == [2, 2, 2, 1]
    tiny = export_batch(workspace, data, backend, tmp_path / "t.jsonl", limits=Limits(size=1))
    assert len(tiny.paths) == 7
    with pytest.raises(NegGenError, match=r"b-1\.jsonl exists already"):
        export_batch(workspace, data, backend, path)
    with pytest.raises(NegGenError, match="cannot be written"):
        export_batch(workspace, data, backend, tmp_path / "no" / "b.jsonl")
    recorded = RecordedBackend(write(tmp_path / "answers", []), list(data.item_ids))
    with pytest.raises(NegGenError, match="asks no model on a server"):
        export_batch(workspace, data, recorded, tmp_path / "c.jsonl")
    assert len([place for place in tmp_path.iterdir() if place.suffix == ".jsonl"]) == 14
    assert [place for place in tmp_path.iterdir() if place.name.startswith(".")] == []


def test_an_export_that_fails_leaves_no_file(
    catalogue: Catalogue,
    workspace: Workspace,
    backend: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collecting, "TOGETHER", 1)
    data = catalogue(40, pictures=True)
    (tmp_path / "39.png").unlink()
    before = sorted(tmp_path.iterdir())
    with pytest.raises(NegGenError, match=r"39\.png of item 'i39' cannot be read"):
        export_batch(workspace, data, backend, tmp_path / "b.jsonl", limits=Limits(requests=5))
    assert sorted(tmp_path.iterdir()) == sorted([*before, workspace.path])
    with sqlite3.connect(workspace.journal_path) as file:
        assert file.execute("SELECT count(*) FROM exported").fetchone()[0] > 5
    with JournalListing(workspace.journal_path) as listing:
        assert listing.waiting_exports() == 0


def test_an_interrupted_export_leaves_what_is_out_in_another_file(
    catalogue: Catalogue,
    workspace: Workspace,
    backend: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(collecting, "TOGETHER", 1)
    assert export_batch(workspace, catalogue(2), backend, tmp_path / "a.jsonl").requests == 2

    def interrupt(summary: GenerationSummary) -> None:
        if summary.done == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        export_batch(
            workspace, catalogue(9), backend, tmp_path / "b.jsonl", on_progress=interrupt,
            concurrency=1,
        )  # fmt: skip
    assert not (tmp_path / "b.jsonl").exists()
    with JournalListing(workspace.journal_path) as listing:
        assert listing.waiting_exports() == 2


def test_an_unreadable_picture_is_given_up_and_counted(
    catalogue: Catalogue, workspace: Workspace, backend: Any, tmp_path: Path
) -> None:
    data = catalogue(2, pictures=True)
    (tmp_path / "1.png").write_bytes(b"no picture")
    export = export_batch(workspace, data, backend, tmp_path / "b.jsonl", modalities=["image"])
    assert export.requests == 1
    assert export.summary.modalities["image"].failed == {"unreadable picture": 1}
    summary = generate(workspace, data, Deferring(backend), modalities=["image"])
    counts = summary.modalities["image"]
    assert (counts.waiting, counts.failed) == (1, {"unreadable picture": 1})


def test_every_kind_of_result_is_taken_once(
    standin: ModuleType, catalogue: Catalogue, workspace: Workspace, backend: Any, tmp_path: Path
) -> None:
    data = catalogue(9)
    export = export_batch(workspace, data, backend, tmp_path / "b.jsonl")
    lines = lines_of(*export.paths)
    cut = standin.answered(lines[1], "half")
    cut["response"]["body"]["choices"][0]["finish_reason"] = "length"
    vllm = {"id": "vllm-1", "custom_id": lines[4]["custom_id"]}
    status = {"status_code": 400, "request_id": "vllm-batch-1", "body": None}
    long = {"message": "The prompt is too long.", "type": "BadRequestError", "code": 400}
    lot = [
        standin.answered(lines[0]),
        cut,
        standin.refused(lines[2], 429, message="slow down"),
        standin.expired(lines[3]),
        {**vllm, "response": status, "error": {"error": long}},
        {**vllm, "custom_id": lines[5]["custom_id"], "response": status, "error": "It crashed."},
        standin.refused(lines[6], 404, message="no such model"),
        standin.answered({**lines[7], "custom_id": "of another workspace"}),
        standin.answered(lines[8], "a lone \ud800"),
        standin.answered(lines[0]),
    ]
    file = write(tmp_path / "out.jsonl", lot)
    first = import_batch(workspace, [file], prices=DOLLARS)
    assert (first.lines, first.answers, first.known, first.unknown) == (10, 2, 1, 1)
    assert first.failed == {"cut at max_tokens": 1, "http 400": 2}
    assert first.again == {"http 429": 1, "batch expired": 1, "http 404": 1}
    assert (first.cost, first.usage.prompt_tokens) == (21.0, 14)
    again = import_batch(workspace, [file, file], prices=DOLLARS)
    assert (again.answers, again.failed, again.cost) == (0, {}, None)
    assert cost(workspace) == (2, 21.0)
    with sqlite3.connect(workspace.journal_path) as journal:
        reasons = {row[0] for row in journal.execute("SELECT reason FROM units")}
    assert {reason.partition(": ")[2] for reason in reasons} >= {
        "The prompt is too long.",
        "It crashed.",
    }
    counts = generate(workspace, data, Deferring(backend)).modalities["text"]
    assert (counts.valid, counts.failed.total(), counts.waiting) == (1, 3, 5)
    assert export_batch(workspace, data, backend, tmp_path / "c.jsonl").requests == 5
    retried = export_batch(workspace, data, backend, tmp_path / "d.jsonl", retry_failed=True)
    assert retried.requests == 8


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b'{"custom_id": "a", "resp', "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"\xff\xfe", "is not JSON"),
        (b"[1]", "has no 'custom_id'"),
        (b'{"custom_id": 3, "error": null}', "has no 'custom_id'"),
        (b'{"custom_id": "a", "method": "POST", "body": {}}', "is a request and not its result"),
        (b'{"custom_id": "a"}', "has neither 'response' nor 'error'"),
    ],
)
def test_a_line_that_is_no_result_is_named_and_what_came_before_is_kept(
    standin: ModuleType,
    catalogue: Catalogue,
    workspace: Workspace,
    backend: Any,
    tmp_path: Path,
    line: bytes,
    fault: str,
) -> None:
    export = export_batch(workspace, catalogue(2), backend, tmp_path / "b.jsonl")
    good = [standin.answered(line) for line in lines_of(*export.paths)]
    file = write(tmp_path / "out.jsonl", good[:1])
    file.write_bytes(file.read_bytes() + b"\n" + line)
    with pytest.raises(NegGenError, match=rf"out\.jsonl, line 3 {fault}.* download or copy"):
        import_batch(workspace, [file])
    assert import_batch(workspace, [write(file, good)]).answers == 1


@pytest.mark.parametrize(
    "result",
    [
        {"response": 5, "error": 7},
        {"response": {"status_code": "ok", "body": [1]}},
        {"response": {"status_code": True, "body": {"choices": [{"message": 3}]}}},
        {"response": {"status_code": 10**400}},
        {"response": None, "error": {"code": ["x"], "message": {}}},
        {"response": None, "error": {"code": "\ud800", "message": "\ud800"}},
        {"response": {"status_code": 400, "body": "\ud800"}},
    ],
)
def test_odd_results_are_failures_and_nothing_worse(
    catalogue: Catalogue, workspace: Workspace, backend: Any, tmp_path: Path, result: Any
) -> None:
    (path,) = export_batch(workspace, catalogue(1), backend, tmp_path / "b.jsonl").paths
    custom_id = lines_of(path)[0]["custom_id"]
    file = write(tmp_path / "out.jsonl", [{"custom_id": custom_id, **result}])
    imported = import_batch(workspace, [file])
    assert imported.failed.total() + imported.again.total() == 1


def test_a_key_that_a_result_echoes_is_not_kept(
    standin: ModuleType,
    catalogue: Catalogue,
    workspace: Workspace,
    backend: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (path,) = export_batch(workspace, catalogue(3), backend, tmp_path / "b.jsonl").paths
    lines, key = lines_of(path), "sk-very-secret"
    lot = [
        standin.answered(lines[0], f"A mug for {key}."),
        standin.refused(lines[1], 400, message=f"Bad key {key}."),
        {"custom_id": lines[2]["custom_id"], "response": None, "error": {"message": key}},
    ]
    monkeypatch.setenv("OPENAI_API_KEY", key)
    imported = import_batch(workspace, [write(tmp_path / "out.jsonl", lot)])
    assert (imported.answers, imported.failed.total()) == (1, 2)
    with sqlite3.connect(workspace.journal_path) as journal:
        dump = "\n".join(journal.iterdump())
    assert key not in dump
    assert "A mug for [key]." in dump
    assert "Bad key [key]." in dump


def test_absurd_figures_and_ids_are_no_trouble(
    standin: ModuleType, catalogue: Catalogue, workspace: Workspace, backend: Any, tmp_path: Path
) -> None:
    (path,) = export_batch(workspace, catalogue(1), backend, tmp_path / "b.jsonl").paths
    result = standin.answered(lines_of(path)[0])
    result["response"]["body"]["usage"]["prompt_tokens"] = 10**400
    file = write(tmp_path / "out.jsonl", [{**result, "custom_id": "\ud800"}, result])
    imported = import_batch(workspace, [file], prices=DOLLARS)
    assert (imported.answers, imported.unknown, imported.cost) == (1, 1, None)


def test_an_endless_line_is_not_read_to_its_end(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results, "LONGEST_LINE", 100)
    file = tmp_path / "out.jsonl"
    file.write_bytes(b'{"custom_id": "' + b"a" * 200)
    with pytest.raises(NegGenError, match="line 1 is longer than 100 bytes"):
        import_batch(workspace, [file])


def test_a_missing_result_file_is_explained(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match=r"none\.jsonl cannot be read"):
        import_batch(workspace, [tmp_path / "none.jsonl"])


def test_a_killed_import_loses_and_doubles_nothing(
    standin: ModuleType, catalogue: Catalogue, workspace: Workspace, backend: Any, tmp_path: Path
) -> None:
    data, count = catalogue(600), 600
    export = export_batch(workspace, data, backend, tmp_path / "b.jsonl")
    answers = [standin.answered(line) for line in lines_of(*export.paths)]
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    program = (
        "import sys; from pathlib import Path; from neggen.workspace import Workspace;"
        "from neggen.generation.backends.budget import Prices;"
        "from neggen.generation.batches.importing import import_batch;"
        "import_batch(Workspace(sys.argv[1]), [Path(sys.argv[2])], prices=Prices(1e6, 0.0))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, str(workspace.path), str(pipe)])
    with pipe.open("w") as file:
        for result in answers[:400]:
            file.write(json.dumps(result) + "\n")
        file.flush()
        while cost(workspace)[0] == 0:
            assert process.poll() is None
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait(30)
    kept = cost(workspace)[0]
    assert 0 < kept < count
    imported = import_batch(workspace, [write(tmp_path / "out.jsonl", answers)], prices=DOLLARS)
    assert (imported.answers, imported.known) == (count - kept, kept)
    assert cost(workspace) == (count, 7.0 * count)

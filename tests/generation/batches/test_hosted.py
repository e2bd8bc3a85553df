"""Against a real provider on the loopback, which logs everything."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.budget import Prices
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.batches.files import Limits, export_batch
from neggen.generation.batches.hosted import BatchRun, forget_batches, generate_in_batches
from neggen.generation.batches.rounds import Waiting
from neggen.generation.journal.listing import JournalListing
from neggen.generation.record_files import read_records
from neggen.generation.run import generate
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer

Catalogue = Callable[..., Dataset]
QUICK = Waiting(first=0.02, longest=0.05, patience=1.0)


def run(
    provider: Any, workspace: Workspace, data: Dataset, backend: Any, **options: Any
) -> BatchRun:
    options = {"waiting": QUICK, **options}
    return generate_in_batches(workspace, data, backend, provider.url, **options)


def states(workspace: Workspace) -> Counter[str]:
    with sqlite3.connect(workspace.journal_path) as file:
        return Counter(state for (state,) in file.execute("SELECT state FROM units"))


def questions_out(workspace: Workspace) -> int:
    with JournalListing(workspace.journal_path) as listing:
        return listing.waiting_exports()


def once(counts: Counter[str], requests: int) -> bool:
    return len(counts) == requests and set(counts.values()) <= {1}


def test_a_catalogue_is_described_in_batches(
    provider: Any, catalogue: Catalogue, backend: OpenAICompatibleBackend, tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(5, pictures=True)
    seen: list[tuple[int, int]] = []
    done = run(
        provider, workspace, data, backend, prices=Prices(1e6, 0.0), limits=Limits(requests=4),
        on_wait=lambda *numbers: seen.append(numbers),
    )  # fmt: skip
    assert {name: side.valid for name, side in done.summary.modalities.items()} == {
        "image": 5,
        "text": 5,
    }
    assert len(read_records(workspace.records_path)) == 10
    assert (done.batches, done.imported.answers, done.imported.cost) == (3, 10, 70.0)
    assert once(provider.asked(), 10)
    assert once(provider.uploaded(), 10)
    assert seen[-1] == (10, 10)
    assert states(workspace) == {"valid": 10}
    assert list(workspace.path.glob("journal.sqlite-batches/*.jsonl")) == []
    again = run(provider, workspace, data, backend)
    assert (again.batches, again.summary.modalities["text"].valid) == (0, 5)
    assert len(provider.batches) == 3


def test_the_staged_plan_takes_a_round_for_each_step(
    provider: Any, standin: ModuleType, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    def rubbish_first(number: int, line: dict[str, Any]) -> Any:
        return standin.answered(line, "rubbish" if number == 0 else None)

    provider.result = rubbish_first
    workspace = Workspace(tmp_path / "w")
    done = run(provider, workspace, catalogue(3), backend, plan="staged", completions=2)
    # An invalid description each, then description, masks and two completions.
    assert (done.batches, done.imported.answers) == (5, 15)
    assert (done.summary.modalities["text"].records, states(workspace)) == (6, {"valid": 3})
    assert once(provider.asked(), 15)


def test_ctrl_c_stops_the_waiting_and_others_ask_nothing_that_a_batch_asks(
    provider: Any, server: ChatServer, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    provider.ready = False
    workspace, data = Workspace(tmp_path / "w"), catalogue(3)

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(provider, workspace, data, backend, on_wait=interrupt)
    assert states(workspace) == {"batched": 3}
    counts = generate(workspace, data, OpenAICompatibleBackend(server.url, "m")).modalities["text"]
    assert (counts.asked, counts.waiting, len(server.calls)) == (0, 3, 0)
    assert states(workspace) == {"batched": 3}
    assert export_batch(workspace, data, backend, tmp_path / "b.jsonl").requests == 0
    provider.ready = True
    assert run(provider, workspace, data, backend).summary.modalities["text"].valid == 3
    assert once(provider.asked(), 3)
    assert generate(workspace, data, backend).modalities["text"].valid == 3


def test_lost_replies_and_short_outages_cost_nothing(
    provider: Any, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    calls = ["POST /files", "POST /batches", "GET /batches/batch-0", "GET /files/file-1/content"]
    provider.failing.update(calls)
    provider.cut.update(calls)
    workspace = Workspace(tmp_path / "w")
    done = run(provider, workspace, catalogue(3), backend, waiting=Waiting(0.02, 0.05, 60.0))
    assert done.summary.modalities["text"].valid == 3
    assert once(provider.uploaded(), 3)
    assert once(provider.asked(), 3)


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_partial_results_are_taken_and_the_rest_is_asked_again(
    provider: Any,
    standin: ModuleType,
    catalogue: Catalogue,
    backend: Any,
    tmp_path: Path,
    status: str,
) -> None:
    first: list[str] = []

    def half(number: int, line: dict[str, Any]) -> Any:
        if number == 0 and len(first) < 2:
            first.append(line["custom_id"])
            return standin.answered(line)
        return standin.expired(line) if number == 0 else standin.answered(line)

    provider.result = half
    provider.status = lambda number: status if number == 0 else "completed"
    done = run(provider, Workspace(tmp_path / "w"), catalogue(5), backend)
    assert (done.summary.modalities["text"].valid, done.batches) == (5, 2)
    assert done.imported.again == {"batch expired": 3}
    counts = provider.asked()
    assert (len(counts), sum(counts.values())) == (5, 8)
    assert {counts[key] for key in first} == {1}


def test_a_failed_batch_is_explained_and_asked_again_by_the_next_call(
    provider: Any, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    provider.status = lambda number: "failed" if number == 0 else "completed"
    workspace, data = Workspace(tmp_path / "w"), catalogue(2)
    with pytest.raises(NegGenError, match="The enqueued token limit is reached"):
        run(provider, workspace, data, backend)
    assert states(workspace) == {"open": 2}
    assert run(provider, workspace, data, backend).summary.modalities["text"].valid == 2


def test_a_batch_that_brings_nothing_is_not_repeated_for_ever(
    provider: Any, standin: ModuleType, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    provider.result = lambda number, line: standin.expired(line)
    done = run(provider, Workspace(tmp_path / "w"), catalogue(2), backend)
    assert len(provider.batches) == 1
    assert done.summary.stopped == "the last batch brought no answer (batch expired)"


def test_what_the_model_refuses_is_left_out_of_the_next_batch(
    provider: Any, standin: ModuleType, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    def picky(number: int, line: dict[str, Any]) -> Any:
        if "temperature" in line["body"]:
            message = "Only the default is supported."
            return standin.refused(line, 400, message=message, param="temperature")
        if number == 1 and "Thing number 0" in str(line):
            return standin.refused(line, 400, message="The item is improper.")
        return standin.answered(line)

    provider.result = picky
    workspace, data = Workspace(tmp_path / "w"), catalogue(3)
    counts = run(provider, workspace, data, backend).summary.modalities["text"]
    assert (counts.valid, counts.failed, len(provider.batches)) == (2, {"http 400": 1}, 2)
    assert states(workspace) == {"valid": 2, "dead": 1}
    again = run(provider, workspace, data, backend, retry_failed=True)
    assert (again.imported.answers, again.summary.modalities["text"].valid) == (1, 3)
    assert states(workspace) == {"valid": 3}


def test_failed_items_are_retried_once_a_call(
    provider: Any, standin: ModuleType, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    provider.result = lambda number, line: standin.refused(line, 400, message="Improper.")
    workspace, data = Workspace(tmp_path / "w"), catalogue(2)
    for retry, batches in ((False, 1), (False, 1), (True, 2), (True, 3)):
        done = run(provider, workspace, data, backend, retry_failed=retry)
        assert done.summary.modalities["text"].failed == {"http 400": 2}
        assert len(provider.batches) == batches


def test_a_batch_that_is_given_up_is_asked_again(
    provider: Any, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(2)
    provider.ready = False

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(provider, workspace, data, backend, on_wait=interrupt)
    provider.batches.clear()
    with pytest.raises(NegGenError, match="does not know a batch"):
        run(provider, workspace, data, backend)
    assert (states(workspace), questions_out(workspace)) == ({"batched": 2}, 2)
    assert forget_batches(workspace) == 1
    assert (states(workspace), questions_out(workspace)) == ({"open": 2}, 0)


def test_one_process_waits_at_a_time(
    provider: Any, catalogue: Catalogue, backend: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "w" / "journal.sqlite-batches"
    folder.mkdir(parents=True)
    workspace, data = Workspace(tmp_path / "w"), catalogue(1)
    with FileLock(folder / "lock"):
        with pytest.raises(NegGenError, match="Another process waits for the batches"):
            run(provider, workspace, data, backend)
        with pytest.raises(NegGenError, match="Another process waits for the batches"):
            forget_batches(workspace)
    assert provider.log == []


def test_the_key_is_sent_and_never_shown(
    provider: Any,
    catalogue: Catalogue,
    backend: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    run(provider, Workspace(tmp_path / "w"), catalogue(1), backend)
    assert provider.authorizations == {"Bearer sk-secret"}
    with pytest.raises(NegGenError, match="does not do its part") as caught:
        generate_in_batches(
            Workspace(tmp_path / "v"), catalogue(1), backend, "http://127.0.0.1:9/v1",
            waiting=Waiting(patience=0.1),
        )  # fmt: skip
    assert "sk-secret" not in str(caught.value)

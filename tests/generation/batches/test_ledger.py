from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from neggen.data.dataset import Dataset
from neggen.generation.backends.dialect import Dialect
from neggen.generation.batches.collecting import Line
from neggen.generation.batches.hosted import generate_in_batches
from neggen.generation.batches.ledger import FIRST_DIALECT, Ledger
from neggen.generation.batches.rounds import Waiting
from neggen.generation.journal import Failure, Journal, Unit
from neggen.generation.requests import Completion, Request
from neggen.generation.runner import Pending
from neggen.workspace import Workspace

UNITS = [Unit(f"u{number}", f"i{number}", "text", "g: m") for number in range(5)]


def line(unit: Unit) -> Line:
    request = Request(unit.item_id, "text", "fused", 1, "s", "u", {})
    return Line(Pending(f"k-{unit.key}", unit, request, 3), FIRST_DIALECT, b"{}\n")


def with_ledger(path: Path, job: Callable[[Ledger, Journal], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Journal(path) as journal, Journal(path) as other:
            await job(await Ledger.open(journal), other)

    asyncio.run(run())


def test_a_batch_holds_only_what_nobody_else_works_on_or_has_answered(tmp_path: Path) -> None:
    claimed, batched, answered, dead, free = UNITS

    async def job(ledger: Ledger, other: Journal) -> None:
        await other.claim(claimed)
        await ledger.hold([line(batched)], "a")
        request = line(answered).pending.request
        await other.acknowledge("k-u2", answered, request, Completion("before"))
        await other.finish(dead, Failure("http 500", "It broke.", 3))
        held = await ledger.hold([line(unit) for unit in UNITS], "b")
        assert [one.pending.unit for one in held] == [dead, free]
        assert ledger.request("k-u0") is None
        assert not await other.claim(free)
        await other.finish(free, None)
        assert other.holder(free) == ("batched", "b")
        await ledger.close("b")
        states = [other.holder(unit)[0] for unit in UNITS]
        assert states == ["claimed", "batched", None, "dead", "open"]
        assert await other.claim(free)

    with_ledger(tmp_path / "j.sqlite", job)


def test_what_a_dead_process_claimed_is_free(tmp_path: Path) -> None:
    dead, alive = UNITS[:2]
    claim = "INSERT INTO units (key, item_id, modality, generator, state, owner) VALUES "

    async def job(ledger: Ledger, other: Journal) -> None:
        await other.commit([(f"{claim} ('u0', 'i0', 'text', 'g: m', 'claimed', 'gone')", ())])
        await other.claim(alive)
        assert await ledger.hold([line(dead), line(alive)], "a") == []
        await ledger.journal.release_dead()
        held = await ledger.hold([line(dead), line(alive)], "a")
        assert [one.pending.unit for one in held] == [dead]

    with_ledger(tmp_path / "j.sqlite", job)


def test_a_failure_is_noted_once_for_each_time_a_request_goes_out(tmp_path: Path) -> None:
    unit = UNITS[0]

    async def job(ledger: Ledger, other: Journal) -> None:
        for total in (0.5, 1.0):
            await ledger.note([line(unit)])
            for _ in "twice":
                await ledger.fail("k-u0", "http 400", "It is improper.", 0.5)
            assert other.spent() == total
        assert other.outcome(unit) == Failure("http 400", "It is improper.", 3)
        await other.claim(unit)
        await ledger.note([line(unit)])
        await ledger.fail("k-u0", "http 400", "It is improper.", None)
        assert other.holder(unit) == ("claimed", other.owner.name)

    with_ledger(tmp_path / "j.sqlite", job)


def test_a_refused_option_is_learned_once(tmp_path: Path) -> None:
    plain = replace(FIRST_DIALECT, form="json_object")

    async def job(ledger: Ledger, other: Journal) -> None:
        assert ledger.dialect("g: m") == FIRST_DIALECT
        await ledger.learn("g: m", FIRST_DIALECT, plain)
        await ledger.learn("g: m", FIRST_DIALECT, Dialect())
        assert ledger.dialect("g: m") == plain
        assert ledger.dialect("another") == FIRST_DIALECT

    with_ledger(tmp_path / "j.sqlite", job)


def test_a_batch_whose_file_was_never_whole_is_given_back(
    provider: Any, backend: Any, catalogue: Callable[..., Dataset], tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(2)
    provider.ready = True

    async def job(ledger: Ledger, other: Journal) -> None:
        for name in ("half", "lost"):
            await ledger.begin(name, provider.url)
        await ledger.hold([line(UNITS[0])], "half")
        await ledger.hold([line(UNITS[1])], "lost")
        await ledger.written("lost", 1)  # its file was deleted, and the provider has none

    with_ledger(workspace.journal_path, job)
    folder = workspace.path / "journal.sqlite-batches"
    folder.mkdir()
    (folder / "half.jsonl").write_text(json.dumps({}))
    done = generate_in_batches(
        workspace, data, backend, provider.url, waiting=Waiting(0.02, 0.05, 1.0)
    )
    assert (done.batches, done.summary.modalities["text"].valid) == (1, 2)
    assert list(folder.glob("*.jsonl")) == []

    async def look(ledger: Ledger, other: Journal) -> None:
        assert [other.holder(unit)[0] for unit in UNITS[:2]] == ["open", "open"]

    with_ledger(workspace.journal_path, look)

"""Take the results of batch files into the journal, each exactly once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from neggen.event_loop import run_to_end
from neggen.generation.backends.budget import Prices
from neggen.generation.batches.ledger import Exported, Ledger
from neggen.generation.batches.results import Result, read_results
from neggen.generation.journal import Journal
from neggen.generation.requests import Completion, Usage
from neggen.workspace import Workspace

TOGETHER = 256
"""Results taken in one transaction."""


@dataclass
class Imported:
    """What result files brought.

    Attributes:
        lines: results read.
        answers: answers that the journal did not have.
        known: answers that it had.
        failed: requests that got no answer and would get none, by reason; asked again only if
            failed items are.
        again: requests to be asked again, by reason, such as ``batch expired``.
        unknown: results whose requests this workspace never sent.
        learned: options left out from now on, because the server does not understand them.
        usage: tokens of the new answers.
        cost: US dollars of the new answers and of failures; None without prices.
    """

    lines: int = 0
    answers: int = 0
    known: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    unknown: int = 0
    learned: bool = False
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None

    @property
    def progress(self) -> bool:
        """Whether the next batch would be another one than this was."""
        return bool(self.answers or self.known or self.failed or self.learned)

    def add(self, other: Imported) -> None:
        """Add what further files brought."""
        self.lines += other.lines
        self.answers += other.answers
        self.known += other.known
        self.failed += other.failed
        self.again += other.again
        self.unknown += other.unknown
        self.learned = self.learned or other.learned
        self.usage += other.usage
        self.add_cost(other.cost)

    def add_cost(self, cost: float | None) -> None:
        """Add to the cost, if it is known."""
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost


def import_batch(
    workspace: Workspace, paths: Sequence[Path], *, prices: Prices | None = None
) -> Imported:
    """Take result files into the journal of a workspace.

    Output and error files go in any order, also twice. The records are made afterwards by
    ``generate`` with a :class:`~neggen.generation.batches.collecting.Deferring` backend.

    Args:
        workspace: the one that the requests were exported from.
        paths: the files.
        prices: of calls in a batch, which are often half of the usual ones.

    Raises:
        NegGenError: If a file or a line of it cannot be used; what came before is kept.
    """
    return run_to_end(_import(workspace, paths, prices))


async def _import(workspace: Workspace, paths: Sequence[Path], prices: Prices | None) -> Imported:
    imported = Imported()
    async with Journal(workspace.journal_path) as journal:
        ledger = await Ledger.open(journal)
        for path in paths:
            await take_results(ledger, path, prices, imported)
    return imported


async def take_results(
    ledger: Ledger, path: Path, prices: Prices | None, imported: Imported
) -> None:
    """Take one result file into the journal and count what it brought.

    Raises:
        NegGenError: See :func:`import_batch`.
    """
    taker = _Taker(ledger, prices, imported)
    try:
        for result in read_results(path):
            taker.group.append(result)
            if len(taker.group) == TOGETHER:
                await taker.take()
    finally:
        await taker.take()


@dataclass
class _Taker:
    ledger: Ledger
    prices: Prices | None
    imported: Imported
    group: list[Result] = field(default_factory=list)

    async def take(self) -> None:
        group, self.group = self.group, []
        answers: dict[str, tuple[Exported, Completion]] = {}
        for result in group:
            key, outcome = result.custom_id, result.outcome
            self.imported.lines += 1
            sent = self.ledger.request(key)
            if sent is None:
                self.imported.unknown += 1
            elif key in answers or self.ledger.journal.lookup(key) is not None:
                self.imported.known += 1
            elif outcome.text is not None:
                # A lone surrogate can be in JSON but not in a file.
                text = outcome.text.encode("utf-8", "replace").decode()
                usage = outcome.usage or Usage()
                answers[key] = sent, Completion(text, usage, self._price(outcome.usage))
            else:
                await self._no_answer(result, sent)
        journal = self.ledger.journal
        await asyncio.gather(
            *(
                journal.acknowledge(key, sent.unit, sent.request, completion)
                for key, (sent, completion) in answers.items()
            )
        )
        await self.ledger.settle(list(answers))
        self.imported.answers += len(answers)
        for _, completion in answers.values():
            self.imported.usage += completion.usage
            self.imported.add_cost(completion.cost)

    async def _no_answer(self, result: Result, sent: Exported) -> None:
        outcome = result.outcome
        instead = sent.dialect.after(outcome.complaint) if outcome.complaint else None
        if instead is not None:
            await self.ledger.learn(sent.unit.generator, sent.dialect, instead)
            self.imported.learned = True
        if instead is not None or outcome.again:
            self.imported.again[outcome.kind] += 1
        elif sent.open:
            cost = self._price(outcome.usage)
            await self.ledger.fail(result.custom_id, outcome.kind, outcome.reason, cost)
            self.imported.failed[outcome.kind] += 1
            self.imported.add_cost(cost)
        else:
            self.imported.known += 1

    def _price(self, usage: Usage | None) -> float | None:
        return self.prices.of(usage) if self.prices is not None and usage is not None else None

"""The workers: many items at once, each answer looked up before it is asked for."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace

from neggen.errors import NegGenError
from neggen.generation.backends.base import (
    Backend,
    Deferred,
    Ended,
    RequestFailed,
    Stop,
)
from neggen.generation.dialogue import Reply, Rules, Screen
from neggen.generation.journal import Failure, Journal, Unit
from neggen.generation.ordered import InOrder
from neggen.generation.pipeline import make_records
from neggen.generation.records import InvalidAnswer, Modality, Record
from neggen.generation.requests import Completion, ItemInput, Request, Usage


@dataclass(frozen=True)
class Pending:
    """A question without an answer.

    Attributes:
        key: under which its answer is to be kept.
        unit: the unit that it belongs to.
        request: the question.
        attempts: how often an invalid answer to it may be asked for, in all.
    """

    key: str
    unit: Unit
    request: Request
    attempts: int


LookAhead = Callable[[Pending], Awaitable[None]]
"""Takes note of a question; raises ``RequestFailed`` if it cannot be asked."""


@dataclass
class ModalitySummary:
    """What happened to one modality.

    Attributes:
        items: items that have this side.
        asked: answers that came from the backend in this run.
        reused: answers that came from the journal.
        rejected: answers of this run that were invalid.
        valid: items with a record.
        records: records made.
        failed: items without all their records, counted by reason.
        waiting: items whose questions are not all answered, since the run stopped before or a
            batch works on them.
        usage: tokens of the answers asked for in this run.
        cost: US dollars of this run, failed tries included; None where no price is known.
    """

    items: int = 0
    asked: int = 0
    reused: int = 0
    rejected: int = 0
    valid: int = 0
    records: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    _again: bool = False

    def begin_again(self) -> None:
        """Count the outcomes anew, but what was asked and paid goes on."""
        self.valid = self.records = self.waiting = 0
        self.failed.clear()
        self._again = True

    def count_reused(self) -> None:
        """Count an answer that the journal had before this run."""
        self.reused += not self._again

    def add_cost(self, cost: float | None) -> None:
        """Add to the cost, if it is known."""
        if cost is not None:
            self.cost = (self.cost or 0.0) + cost


@dataclass
class Runner:
    """Workers that share one iterator of items.

    Attributes:
        rules: how items are asked about.
        backend: who answers.
        generator: who answers, as the records and the journal name it.
        journal: where answers are looked up and kept.
        attempts: how often an invalid answer is asked for, in all.
        retry_failed: whether items that failed in an earlier run are tried again.
        counts: what happened so far, by modality.
        item_done: called after every item.
        interrupted: called when the run is canceled and waits for what is in flight.
        look_ahead: gets the questions instead of the backend; nothing is asked or claimed then.
        keep: whether the journal learns what becomes of sides, and of answers refused now.
        stopped: why nothing is asked any more, though the run goes on with known answers.
    """

    rules: Rules
    backend: Backend
    generator: str
    journal: Journal
    attempts: int
    retry_failed: bool
    counts: dict[Modality, ModalitySummary]
    item_done: Callable[[], None]
    interrupted: Callable[[], None] = lambda: None
    look_ahead: LookAhead | None = None
    keep: bool = True
    stopped: str | None = None
    _ending: bool = False

    async def run(
        self,
        items: Iterator[ItemInput],
        write: Callable[[list[Record]], None],
        concurrency: int,
    ) -> None:
        """Work through ``items`` with at most ``concurrency`` requests in flight.

        The records go to ``write``, item by item in the order of ``items``.

        After an error, or when it is canceled, it waits for what is in flight, because that is paid
        for; canceling it again does not wait.

        Raises:
            NegGenError: The first that a backend or the journal raises.
        """
        self._ending = False
        queue, ordered = enumerate(items), InOrder(write)
        workers = [asyncio.create_task(self._work(queue, ordered)) for _ in range(concurrency)]
        try:
            await asyncio.wait(workers, return_when=asyncio.FIRST_EXCEPTION)
        except asyncio.CancelledError:
            self.interrupted()
            if self.rules.finished:  # nothing was paid for what is in flight
                for worker in workers:
                    worker.cancel()
            raise
        finally:
            self._ending = True
            await asyncio.wait(workers)
        errors = [error for worker in workers if (error := worker.exception())]
        if errors:
            explained = [error for error in errors if isinstance(error, NegGenError)]
            raise (explained if len(explained) == len(errors) else errors)[0] from None

    def go_over_again(self, screen: Screen) -> None:
        """Prepare to run over the same items with another screen, now that all are answered."""
        self.rules = replace(self.rules, screen=screen)
        self.retry_failed = False
        for side in self.counts.values():
            side.begin_again()

    async def _work(self, queue: Iterator[tuple[int, ItemInput]], ordered: InOrder) -> None:
        for number, item in queue:
            one = _OneItem(self, item)
            ordered.add(number, await one.records())
            self.item_done()
            if self._ending:
                return


class _OneItem:
    """The respondent of one side of one item: the journal first, then the backend."""

    def __init__(self, runner: Runner, item: ItemInput) -> None:
        self.runner, self.item, self.journal = runner, item, runner.journal
        self.counts = runner.counts[item.modality]
        backend = runner.backend
        self.identity = (backend.name, backend.model, backend.parameters)
        prompts_hash = runner.rules.prompts.content_hash(item.modality)
        key = item.key(runner.rules.plan, prompts_hash, *self.identity)
        self.unit = Unit(key, item.item_id, item.modality, runner.generator)
        self.claimed = False
        before = self.journal.outcome(self.unit)
        self.made = before == "valid"
        self.attempts = runner.attempts
        self.dead: Failure | None = None
        if isinstance(before, Failure):
            if runner.retry_failed:
                self.attempts += before.attempts
            elif before.attempts >= self.attempts:
                self.dead = before

    async def records(self) -> list[Record]:
        made: list[Record] = []
        failure: Failure | None = None
        try:
            async for record in make_records(self.item, self.runner.rules, self):
                made.append(record)
        except Ended as error:
            if self.claimed and error.cost:
                await self.journal.release(self.unit, error.cost)
            raise
        except (Stop, Deferred) as reason:
            cost = reason.cost if isinstance(reason, Stop) else None
            if isinstance(reason, Stop):
                self.runner.stopped = str(reason)
            self.counts.waiting += 1
            self.counts.add_cost(cost)
            if self.claimed:
                await self.journal.release(self.unit, cost)
        except (InvalidAnswer, RequestFailed) as error:
            cost = error.cost if isinstance(error, RequestFailed) else None
            self.counts.add_cost(cost)
            failure = Failure(error.kind, error.reason, self.attempts, cost)
            self.counts.failed[error.kind] += 1
            await self._finish(failure)
        else:
            await self._finish(None)
        self.counts.valid += bool(made)
        self.counts.records += len(made)
        return made

    async def _finish(self, failure: Failure | None) -> None:
        known = self.made if failure is None else self.dead is not None
        if self.runner.keep and (self.claimed or not known):
            await self.journal.finish(self.unit, failure)

    async def ask(self, request: Request) -> Reply | None:
        key = request.key(*self.identity)
        known = self.journal.lookup(key)
        if known is None:
            if request.attempt > self.attempts:
                return None
            self._may_ask()
            if self.runner.look_ahead is not None:
                await self.runner.look_ahead(Pending(key, self.unit, request, self.attempts))
                raise Deferred
            if not self.claimed:
                self.claimed = await self.journal.claim(self.unit, self._may_ask)
                if not self.claimed:
                    raise Deferred
                known = self.journal.lookup(key)  # whoever had the claim may have asked
                if known is None:
                    self._may_ask()
        if known is not None:
            self.counts.count_reused()
            return Reply(key, known.completion.text, known.rejected)
        completion = await self.runner.backend.complete(request)
        # A lone surrogate can be in JSON but not in a file.
        text = completion.text.encode("utf-8", "replace").decode()
        kept = Completion(text, completion.usage, completion.cost)
        await self.journal.acknowledge(key, self.unit, request, kept)
        self.counts.asked += 1
        self.counts.usage += completion.usage
        self.counts.add_cost(completion.cost)
        return Reply(key, text)

    def _may_ask(self) -> None:
        if self.dead is not None:
            raise RequestFailed(self.dead.kind, self.dead.reason)
        if self.runner.stopped is not None:
            raise Stop(self.runner.stopped)
        if self.runner._ending:
            raise Stop("interrupted")

    async def reject(self, reply: Reply, problem: InvalidAnswer) -> None:
        self.counts.rejected += 1
        if self.runner.keep:
            await self.journal.reject(reply.key, problem)

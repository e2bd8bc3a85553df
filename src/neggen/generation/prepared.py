"""What a run of generation is told, checked, and what it tells."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypedDict

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.base import Backend, generator_name
from neggen.generation.dialogue import Rules, Screen
from neggen.generation.inputs import describable_sides
from neggen.generation.journal import Journal
from neggen.generation.pipeline import check_plan
from neggen.generation.prompts import Prompts, load_prompts
from neggen.generation.records import Modality
from neggen.generation.requests import Plan
from neggen.generation.runner import LookAhead, ModalitySummary, Runner


@dataclass
class GenerationSummary:
    """What happened so far, by modality, and who wrote the answers.

    Attributes:
        generator: who wrote the answers.
        modalities: the counts.
        done: sides of items that are worked through.
        interrupted: whether the run was canceled and waits for what is in flight.
        stopped: why nothing more was asked, such as the limit of a budget; None if all was.
        seconds: wall-clock time.
    """

    generator: str
    modalities: dict[Modality, ModalitySummary] = field(default_factory=dict)
    done: int = 0
    interrupted: bool = False
    stopped: str | None = None
    seconds: float = 0.0

    @property
    def total(self) -> int:
        """Sides of items in all."""
        return sum(side.items for side in self.modalities.values())

    @property
    def cost(self) -> float | None:
        """US dollars of this run; None where no price is known."""
        costs = [side.cost for side in self.modalities.values() if side.cost is not None]
        return sum(costs) if costs else None


class Options(TypedDict, total=False):
    """How :func:`~neggen.generation.run.generate` works; every one can be left out.

    Attributes:
        plan: ``fused`` (one call an item, the default) or ``staged`` (three).
        modalities: which sides to describe; by default those that the catalogue has.
        completions: negatives per template, at least 1 (the default).
        attempts: how often an invalid answer is asked for before the item is given up; 3.
        concurrency: requests in flight at once, at most; 64.
        prompts: the templates; the packaged ones by default.
        screen: judges records beyond their form.
        retry_failed: whether items that failed in an earlier run are tried again.
        on_progress: called after every side of an item.
    """

    plan: Plan
    modalities: Sequence[str] | None
    completions: int
    attempts: int
    concurrency: int
    prompts: Prompts | None
    screen: Screen | None
    retry_failed: bool
    on_progress: Callable[[GenerationSummary], None] | None


@dataclass
class PreparedRun:
    """One run with its options checked.

    Attributes:
        rules: how items are asked about.
        backend: who answers.
        generator: who answers, for people.
        sides: internal indices of the items that have each side.
        attempts: how often an invalid answer is asked for, in all.
        retry_failed: whether items that failed in an earlier run are tried again.
        concurrency: requests in flight at once.
        on_progress: called after every side of an item.
        summary: what happened so far.
    """

    rules: Rules
    backend: Backend
    generator: str
    sides: dict[Modality, list[int]]
    attempts: int
    retry_failed: bool
    concurrency: int
    on_progress: Callable[[GenerationSummary], None] | None
    summary: GenerationSummary

    @classmethod
    def prepare(
        cls,
        data: Dataset,
        backend: Backend,
        *,
        plan: Plan = "fused",
        modalities: Sequence[str] | None = None,
        completions: int = 1,
        attempts: int = 3,
        concurrency: int = 64,
        prompts: Prompts | None = None,
        screen: Screen | None = None,
        retry_failed: bool = False,
        on_progress: Callable[[GenerationSummary], None] | None = None,
    ) -> PreparedRun:
        """Check :class:`Options`.

        Raises:
            NegGenError: If one cannot be used.
        """
        numbers = {"concurrency": concurrency, "attempts": attempts, "completions": completions}
        for name, value in numbers.items():
            if value < 1:
                raise NegGenError(f"{name} must be at least 1, but is {value}.")
        rules = Rules(
            plan,
            prompts or load_prompts(),
            completions=completions,
            screen=screen,
            finished=backend.finished,
        )
        check_plan(plan, backend)
        sides = describable_sides(data, modalities)
        generator = generator_name(backend.name, backend.model)
        # What only knows finished answers would say the same again.
        attempts = 1 if backend.finished else attempts
        summary = GenerationSummary(
            generator, {name: ModalitySummary(items=len(ids)) for name, ids in sides.items()}
        )
        return cls(
            rules, backend, generator, sides, attempts, retry_failed, concurrency, on_progress,
            summary,
        )  # fmt: skip

    @property
    def workers(self) -> int:
        """How many items are worked on at once."""
        return min(self.concurrency, self.summary.total)

    def runner(self, journal: Journal, note: LookAhead | None = None) -> Runner:
        """Return what works through the sides; with ``note`` it only looks ahead."""
        started = time.perf_counter()

        def tell() -> None:
            self.summary.seconds = time.perf_counter() - started
            if self.on_progress is not None:
                self.on_progress(self.summary)

        def item_done() -> None:
            self.summary.done += 1
            tell()

        def interrupted() -> None:
            self.summary.interrupted = True
            tell()

        return Runner(
            self.rules, self.backend, self.generator, journal, self.attempts, self.retry_failed,
            self.summary.modalities, item_done, interrupted, note,
        )  # fmt: skip

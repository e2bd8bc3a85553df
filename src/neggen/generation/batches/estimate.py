"""What a run would ask, and about what it would cost, without asking anything."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Unpack

from neggen.data.dataset import Dataset
from neggen.event_loop import run_to_end
from neggen.generation.backends.base import Backend
from neggen.generation.backends.budget import Prices
from neggen.generation.journal import Journal
from neggen.generation.prepared import Options
from neggen.generation.prompts import Prompts, load_prompts
from neggen.generation.records import Modality
from neggen.generation.requests import Plan, Request, Step, Usage
from neggen.generation.run import look_ahead
from neggen.generation.runner import Pending
from neggen.workspace import Workspace

CHARACTERS_PER_TOKEN = 4
"""Of English text; other languages take more tokens."""
IMAGE_TOKENS = 765
"""A picture of 768 pixels as OpenAI's GPT-4o counts it; other models take from 250 to several
thousand."""
ANSWER_TOKENS: dict[Step, int] = {"fused": 150, "describe": 90, "mask": 100, "complete": 40}
"""A guess for answers of each step, until the journal knows better."""
QUOTED_TOKENS = 100
"""A guess for the description that a later step quotes."""

Averages = dict[tuple[str, str], Usage]


@dataclass
class Estimate:
    """What a run would ask; an estimate, because answers are not known before.

    Answers that will be invalid and asked for again are not in it.

    Attributes:
        sides: sides of items to be asked about.
        calls: by step.
        usage: tokens of all calls.
        cost: US dollars; None without prices.
        measured: calls whose tokens are averages of earlier calls; the rest is guessed by length.
    """

    sides: int = 0
    calls: Counter[Step] = field(default_factory=Counter)
    usage: Usage = field(default_factory=Usage)
    cost: float | None = None
    measured: int = 0


def estimate(
    workspace: Workspace,
    data: Dataset,
    backend: Backend,
    *,
    prices: Prices | None = None,
    **options: Unpack[Options],
) -> Estimate:
    """Estimate the calls, tokens and cost of the same call of ``generate``.

    Args:
        workspace: where the journal is.
        data: the catalogue.
        backend: who would answer.
        prices: of its calls.
        options: see :class:`~neggen.generation.prepared.Options`.

    Raises:
        NegGenError: If an option or the journal cannot be used.
    """
    return run_to_end(_estimate(workspace, data, backend, prices, options))


def further_steps(plan: Plan, step: Step, completion: int, completions: int) -> list[Step]:
    """Return the calls that follow a call, if all answers are valid.

    Args:
        plan: the plan.
        step: of the call.
        completion: that the call serves, from 0.
        completions: wanted in all.
    """
    if plan == "staged" and step in ("describe", "mask"):
        masks: list[Step] = ["mask"] if step == "describe" else []
        return masks + _completes(completions)
    return _completes(completions - 1 - completion)


def _completes(count: int) -> list[Step]:
    return ["complete"] * count


async def _estimate(
    workspace: Workspace, data: Dataset, backend: Backend, prices: Prices | None, options: Options
) -> Estimate:
    prompts = options.get("prompts") or load_prompts()
    plan, completions = options.get("plan", "fused"), options.get("completions", 1)
    found = Estimate()

    async with Journal(workspace.journal_path) as journal:
        averages: Averages | None = None

        def count(step: Step, modality: Modality, guess: Usage) -> None:
            assert averages is not None
            known = averages.get((step, modality))
            found.calls[step] += 1
            found.measured += known is not None
            found.usage += known or guess

        async def note(pending: Pending) -> None:
            nonlocal averages
            if journal.holder(pending.unit)[0] == "batched":
                return
            if averages is None:
                averages = _averages(journal, pending.unit.generator)
            request = pending.request
            found.sides += 1
            count(request.step, request.modality, guess_tokens(request))
            for step in further_steps(plan, request.step, request.completion, completions):
                count(step, request.modality, _guess_further(step, prompts))

        await look_ahead(journal, data, backend, note, keep=False, **options)
    if prices is not None:
        found.cost = prices.of(found.usage)
    return found


def guess_tokens(request: Request) -> Usage:
    """Return about how many tokens a request takes, by the length of its prompts."""
    image = 0 if request.image is None else IMAGE_TOKENS
    text = len(request.system) + len(request.user)
    return Usage(text // CHARACTERS_PER_TOKEN + image, ANSWER_TOKENS[request.step])


def _guess_further(step: Step, prompts: Prompts) -> Usage:
    text = len(prompts.system(step)) + len(prompts.templates[f"{step}.user"])
    return Usage(text // CHARACTERS_PER_TOKEN + QUOTED_TOKENS, ANSWER_TOKENS[step])


def _averages(journal: Journal, generator: str) -> Averages:
    rows = journal.rows(
        "SELECT step, modality, avg(prompt_tokens), avg(completion_tokens) FROM answers "
        "WHERE generator = ? AND prompt_tokens > 0 GROUP BY step, modality",
        (generator,),
    )
    return {
        (step, modality): Usage(round(prompt), round(answer))
        for step, modality, prompt, answer in rows
    }

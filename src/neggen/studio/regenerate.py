"""Another answer about one side of one item, asked for by a person."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.event_loop import run_to_end
from neggen.generation.backends.base import Backend, RequestFailed, Stop, generator_name
from neggen.generation.dialogue import Reply, Rules
from neggen.generation.inputs import item_inputs
from neggen.generation.journal import Journal, Unit
from neggen.generation.pipeline import make_records
from neggen.generation.prompts import load_prompts
from neggen.generation.records import InvalidAnswer, Modality, Record
from neggen.generation.requests import Request
from neggen.workspace import Workspace

ATTEMPTS = 3
"""How often an invalid answer is asked for again, in all."""

MakeBackend = Callable[[int], Backend]
"""Makes who answers; its argument is another number every time that the same is asked again."""


def another_record(
    workspace: Workspace, data: Dataset, item: int, modality: Modality, backend: Backend
) -> tuple[Record, str]:
    """Ask anew about one side of an item; the answers are kept in the journal like all others.

    Args:
        workspace: whose journal keeps the answers.
        data: the catalogue.
        item: internal index.
        modality: which side of it.
        backend: who answers; it is closed at the end.

    Returns:
        The record, and who wrote it.

    Raises:
        NegGenError: If there is no valid answer.
    """
    return run_to_end(_another_record(workspace, data, item, modality, backend))


async def _another_record(
    workspace: Workspace, data: Dataset, item: int, modality: Modality, backend: Backend
) -> tuple[Record, str]:
    generator = generator_name(backend.name, backend.model)
    rules = Rules("fused", load_prompts(), finished=backend.finished)
    asked_about = next(item_inputs(data, {modality: [item]}))
    prompts_hash = rules.prompts.content_hash(modality)
    identity = backend.name, backend.model, backend.parameters
    unit = Unit(
        asked_about.key("fused", prompts_hash, *identity), asked_about.item_id, modality, generator
    )
    try:
        async with Journal(workspace.journal_path) as journal:
            ((before,),) = journal.rows(
                "SELECT coalesce(max(attempt), 0) FROM answers WHERE unit = ?", (unit.key,)
            )
            who = _AskedAnew(backend, journal, unit, before)
            async for record in make_records(asked_about, rules, who):
                return record, generator
    except (InvalidAnswer, RequestFailed, Stop) as problem:
        reason = problem.args[0]
        raise NegGenError(f"{generator} gave no valid answer: {reason}") from None
    finally:
        await backend.close()
    raise AssertionError("a fused plan makes at least one record")


@dataclass
class _AskedAnew:
    """Asks the backend whatever the journal knows: attempts go on where earlier ones ended."""

    backend: Backend
    journal: Journal
    unit: Unit
    before: int

    async def ask(self, request: Request) -> Reply | None:
        if request.attempt > (1 if self.backend.finished else ATTEMPTS):
            return None
        request = replace(request, attempt=self.before + request.attempt)
        key = request.key(self.backend.name, self.backend.model, self.backend.parameters)
        completion = await self.backend.complete(request)
        await self.journal.acknowledge(key, self.unit, request, completion)
        return Reply(key, completion.text)

    async def reject(self, reply: Reply, problem: InvalidAnswer) -> None:
        await self.journal.reject(reply.key, problem)

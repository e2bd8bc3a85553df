"""The command that has descriptions and negatives written."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neggen.cli.catalogue import JsonOption, WorkspaceArgument
from neggen.cli.output import generating, print_json, print_table, say
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset
    from neggen.generation.backends.base import Backend
    from neggen.generation.run import GenerationSummary
    from neggen.workspace import Workspace


class PlanName(StrEnum):
    """How many calls describe an item."""

    fused = "fused"
    staged = "staged"


def generate(
    workspace: WorkspaceArgument,
    answers: Annotated[
        Path | None, typer.Option(help="Recorded answers (JSONL) instead of a model.")
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server, such as http://localhost:8000/v1."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to ask for; without --base-url, at OpenAI.")
    ] = None,
    plan: Annotated[
        PlanName, typer.Option(help="One call an item (fused) or three (staged).")
    ] = PlanName.fused,
    modality: Annotated[
        list[str] | None, typer.Option(help="image or text; both by default. Repeatable.")
    ] = None,
    negatives_per_item: Annotated[
        int, typer.Option(min=1, help="Completions of every template.")
    ] = 1,
    prompts: Annotated[
        Path | None,
        typer.Option(help="A folder of prompt templates that replace the packaged ones."),
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight at once.")] = 16,
    attempts: Annotated[
        int, typer.Option(min=1, help="Times an invalid answer is asked for again, in all.")
    ] = 3,
    retry_failed: Annotated[
        bool, typer.Option("--retry-failed", help="Ask again for items that failed before.")
    ] = False,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Seeds the catalogue generator and the split it learns from."),
    ] = 0,
    as_json: JsonOption = False,
) -> None:
    """Describe every item, mask its key attributes, and complete the masks with contrasting ones.

    With --base-url or --model a language model writes, with --answers a recording is read. With
    neither, the built-in catalogue generator works without any language model: it finds attribute
    values in columns, texts and pictures. The API key is read from OPENAI_API_KEY only.

    Every answer is kept in the journal; the same command again asks only for what is missing.
    """
    from neggen.data.store import is_labeled, load_dataset
    from neggen.generation.prompts import load_prompts
    from neggen.generation.run import generate as run
    from neggen.recipe import Recipe
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    # The catalogue generator learns from behavior, so it may only see the training part.
    split = None if answers or model else Recipe(seed=seed).split_config(is_labeled(place))
    templates = load_prompts() if prompts is None else load_prompts().replaced_by(prompts)
    data = load_dataset(place, split)
    backend = _backend(place, data, answers, base_url, model, seed)
    say(f"Generator: {backend.name}")
    with generating() as progress:
        summary = run(
            place,
            data,
            backend,
            plan=plan.value,
            modalities=modality,
            completions=negatives_per_item,
            prompts=templates,
            concurrency=concurrency,
            attempts=attempts,
            retry_failed=retry_failed,
            on_progress=progress,
        )
    _print(summary, workspace, as_json)


def _print(summary: GenerationSummary, workspace: Path, as_json: bool) -> None:
    sides = {
        name: {
            "items": side.items,
            "valid": side.valid,
            "records": side.records,
            "asked": side.asked,
            "reused": side.reused,
            "rejected": side.rejected,
            "failed": dict(side.failed),
            "waiting": side.waiting,
            "prompt_tokens": side.usage.prompt_tokens,
            "completion_tokens": side.usage.completion_tokens,
            "cost": side.cost,
        }
        for name, side in summary.modalities.items()
    }
    figures: dict[str, Any] = {
        "generator": summary.generator,
        "modalities": sides,
        "cost": summary.cost,
        "stopped": summary.stopped,
        "seconds": round(summary.seconds, 2),
    }
    if not any(side.valid for side in summary.modalities.values()) and summary.stopped is None:
        reasons = sum((side.failed for side in summary.modalities.values()), Counter())
        why = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        raise NegGenError(
            f"{summary.generator} gave no valid record for {workspace} ({why or 'nothing asked'}); "
            f"check the answers or the model."
        )
    if as_json:
        print_json(figures)
        return
    columns = ["items", "valid", "asked", "reused", "rejected", "waiting"]
    print_table(
        ["modality", *columns],
        [[name, *(f"{side[c]:,}" for c in columns)] for name, side in sides.items()],
        title=f"Written by {summary.generator} in {summary.seconds:.1f} s",
    )
    if summary.cost is not None:
        say(f"Cost of this run: ${summary.cost:.4f}")
    for modality_name, summed in summary.modalities.items():
        for reason, count in summed.failed.items():
            say(f"{modality_name}: {count} items failed: {reason}")
    if any(side.failed for side in summary.modalities.values()):
        say("Failed items are asked for again only with --retry-failed.")
    if summary.stopped is not None:
        say(f"Stopped: {summary.stopped}; the same command goes on.")


def _backend(
    workspace: Workspace,
    data: Dataset,
    answers: Path | None,
    base_url: str | None,
    model: str | None,
    seed: int,
) -> Backend:
    if answers and (base_url or model):
        raise NegGenError("Give either --answers or --base-url and --model, not both.")
    if base_url and not model:
        raise NegGenError("--base-url needs --model: the name of the model on that server.")
    if answers:
        from neggen.generation.backends.recorded import RecordedBackend

        recorded = RecordedBackend(answers, list(data.item_ids))
        if recorded.unknown:
            say(f"{recorded.unknown} answers are for items that {workspace.path} does not have.")
        return recorded
    if model:
        from neggen.generation.backends.openai_compatible import (
            OPENAI_URL,
            OpenAICompatibleBackend,
        )

        return OpenAICompatibleBackend(base_url or OPENAI_URL, model)
    from neggen.generation.backends.catalogue import CatalogueBackend

    return CatalogueBackend(data, seed=seed)

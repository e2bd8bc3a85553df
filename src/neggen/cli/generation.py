"""The command that has descriptions and negatives written."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from neggen.cli.catalogue import DeviceOption, JsonOption, WorkspaceArgument
from neggen.cli.jobs import Job, synonym_screen
from neggen.cli.writers import Writer
from neggen.errors import NegGenError

ASKING, PACE, COST, ELSEWHERE = "How to ask", "Pace", "Cost", "Later, or elsewhere"


class PlanName(StrEnum):
    """How many calls describe an item."""

    fused = "fused"
    staged = "staged"


def generate(
    workspace: WorkspaceArgument,
    base_url: Annotated[
        str | None,
        typer.Option(help="An OpenAI-compatible server, such as http://localhost:8000/v1."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="The model to ask for; without --base-url, at OpenAI.")
    ] = None,
    local: Annotated[
        str | None,
        typer.Option(help="A vision-language model to run here: a Hugging Face name or a folder."),
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="Recorded answers (JSONL) instead of a model.")
    ] = None,
    backend: Annotated[
        str | None, typer.Option(help="A backend that an installed package offers, by name.")
    ] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting of --backend, such as key=value. Repeatable."),
    ] = None,
    device: DeviceOption = "cpu",
    batch_size: Annotated[
        int | None, typer.Option(min=1, help="Requests a --local model takes at once (8).")
    ] = None,
    seed: Annotated[
        int,
        typer.Option(min=0, help="Seeds the catalogue generator and the split it learns from."),
    ] = 0,
    plan: Annotated[
        PlanName,
        typer.Option(help="One call an item (fused) or three (staged).", rich_help_panel=ASKING),
    ] = PlanName.fused,
    modality: Annotated[
        list[str] | None,
        typer.Option(help="image or text; both by default. Repeatable.", rich_help_panel=ASKING),
    ] = None,
    negatives_per_item: Annotated[
        int,
        typer.Option(
            min=1,
            help="Completions of every template; several need a model.",
            rich_help_panel=ASKING,
        ),
    ] = 1,
    prompts: Annotated[
        Path | None,
        typer.Option(
            help="A folder of templates that replace the packaged ones.", rich_help_panel=ASKING
        ),
    ] = None,
    attempts: Annotated[
        int,
        typer.Option(
            min=1, help="Times an invalid answer is asked for, in all.", rich_help_panel=ASKING
        ),
    ] = 3,
    retry_failed: Annotated[
        bool,
        typer.Option(
            "--retry-failed", help="Ask again for items that failed.", rich_help_panel=ASKING
        ),
    ] = False,
    screen_synonyms: Annotated[
        bool,
        typer.Option(
            "--screen-synonyms",
            help="Refuse replacements that the text encoder finds alike (0.1 s an item).",
            rich_help_panel=ASKING,
        ),
    ] = False,
    temperature: Annotated[
        float | None,
        typer.Option(min=0, help="Sampling temperature (0.7; --local 0).", rich_help_panel=ASKING),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Longest answer, in tokens, thinking included (1024; --local 512).",
            rich_help_panel=ASKING,
        ),
    ] = None,
    concurrency: Annotated[
        int,
        typer.Option(
            min=1, help="Requests in flight, at most; fewer if told so.", rich_help_panel=PACE
        ),
    ] = 64,
    requests_per_minute: Annotated[
        int | None,
        typer.Option(min=1, help="Requests sent a minute, at most.", rich_help_panel=PACE),
    ] = None,
    tokens_per_minute: Annotated[
        int | None,
        typer.Option(min=1, help="Tokens a minute, in and out.", rich_help_panel=PACE),
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0.001, help="Seconds until a try ends. Default: 120.", rich_help_panel=PACE
        ),
    ] = None,
    input_price: Annotated[
        float | None,
        typer.Option(min=0, help="US$ per million prompt tokens.", rich_help_panel=COST),
    ] = None,
    output_price: Annotated[
        float | None,
        typer.Option(min=0, help="US$ per million answer tokens.", rich_help_panel=COST),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            min=0,
            help="Stop before US$ this much is spent, earlier runs included.",
            rich_help_panel=COST,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only say what would be asked, and its cost.", rich_help_panel=COST
        ),
    ] = False,
    export_batch: Annotated[
        Path | None,
        typer.Option(help="Write a batch file instead of asking.", rich_help_panel=ELSEWHERE),
    ] = None,
    import_batch: Annotated[
        list[Path] | None,
        typer.Option(
            help="Take the results of batch files. Repeatable.", rich_help_panel=ELSEWHERE
        ),
    ] = None,
    batch: Annotated[
        bool,
        typer.Option(
            "--batch", help="Ask by the server's Batch API, and wait.", rich_help_panel=ELSEWHERE
        ),
    ] = False,
    ray: Annotated[
        str | None,
        typer.Option(
            help="Ask from workers on a Ray cluster: its address, 'auto', or 'local'.",
            rich_help_panel=ELSEWHERE,
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Describe every item, mask its key attributes, and complete them with contrasting ones.

    A model on a server (--model) or in this process (--local) writes, or a
    recording is read (--answers). Without any, the built-in catalogue generator
    works without a language model: it finds attribute values in columns, texts
    and pictures. The API key is read from OPENAI_API_KEY only.

    Every answer is kept in the journal; the same command again asks only for
    what is missing.
    """
    from neggen.data.store import is_labeled, load_dataset
    from neggen.generation.prompts import load_prompts
    from neggen.recipe import Recipe
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    writer = Writer(
        answers=answers, base_url=base_url, model=model, local=local, backend=backend,
        settings=tuple(settings or ()), device=device, batch_size=batch_size,
        temperature=temperature, max_tokens=max_tokens, concurrency=concurrency,
        requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute,
        timeout=timeout, input_price=input_price, output_price=output_price, seed=seed,
    )  # fmt: skip
    writer.check_negatives(negatives_per_item)
    _only_one(
        {
            "--dry-run": dry_run,
            "--export-batch": export_batch,
            "--import-batch": import_batch,
            "--batch": batch,
            "--ray": ray,
        },
        budget,
    )
    templates = load_prompts() if prompts is None else load_prompts().replaced_by(prompts)
    split = Recipe(seed=seed).split_config(is_labeled(place)) if writer.needs_split else None
    job = Job(
        place,
        load_dataset(place, split),
        writer,
        {
            "plan": plan.value,
            "modalities": modality,
            "completions": negatives_per_item,
            "prompts": templates,
            "concurrency": concurrency,
            "attempts": attempts,
            "retry_failed": retry_failed,
            "screen": synonym_screen() if screen_synonyms else None,
        },
        as_json,
    )
    if dry_run:
        job.estimate()
    elif export_batch:
        job.export(export_batch)
    elif import_batch:
        job.take(import_batch)
    elif batch:
        job.ask_in_batches()
    elif ray:
        job.ask_on_ray(ray, budget)
    else:
        job.ask(budget)


def _only_one(ways: dict[str, object], budget: float | None) -> None:
    """Refuse options that ask for several ways of running at once."""
    chosen = [name for name, given in ways.items() if given]
    if len(chosen) > 1:
        raise NegGenError(f"Give only one of {' and '.join(chosen)}.")
    if budget is not None and chosen and chosen != ["--ray"]:
        raise NegGenError(f"--budget cannot be kept with {chosen[0]}; --dry-run tells the cost.")

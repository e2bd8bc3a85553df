"""Commands that fill a workspace: import, generate, encode."""

from __future__ import annotations

from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from neggen.cli.output import console, counting, print_json, print_table, say
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset
    from neggen.generation.backends.base import Backend
    from neggen.workspace import Workspace

WorkspaceArgument = Annotated[Path, typer.Argument(help="The workspace folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]


def _usable(device: str) -> str:
    if device != "cpu":
        import torch

        try:
            torch.empty(0, device=device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise typer.BadParameter(f"'{device}' cannot be used here ({reason}).") from None
    return device


DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", callback=_usable)]


class PlanName(StrEnum):
    """How many calls describe an item."""

    fused = "fused"
    staged = "staged"


def import_source(
    source: Annotated[
        Path, typer.Argument(help="A file or folder; its format is found by looking.")
    ],
    workspace: Annotated[Path, typer.Argument(help="The workspace folder to make.")],
    interactions: Annotated[
        Path | None, typer.Option(help="Table of interactions, if not SOURCE/interactions.*")
    ] = None,
    items: Annotated[
        Path | None, typer.Option(help="Table of items, if not SOURCE/items.*")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="Folder that picture paths are relative to.")
    ] = None,
    user_column: Annotated[str, typer.Option(help="Name of the user column.")] = "user_id",
    item_column: Annotated[str, typer.Option(help="Name of the item column.")] = "item_id",
    image_column: Annotated[str, typer.Option(help="Name of the picture column.")] = "image",
    drop_unknown: Annotated[
        bool, typer.Option("--drop-unknown", help="Drop interactions with items that have no row.")
    ] = False,
    k_core: Annotated[
        int, typer.Option(min=0, help="Keep users and items with at least this many interactions.")
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the data of another import.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read a catalogue and its interactions into a workspace.

    Formats: CSV, TSV, JSONL or Parquet tables with a folder of pictures, and MMRec .inter files
    with optional .npy features.
    """
    from neggen.data.readers import read_source
    from neggen.data.store import save_dataset
    from neggen.workspace import Workspace

    with console.status(f"Reading {source}"):
        data = read_source(
            source,
            interactions=interactions,
            items=items,
            images=images,
            user_column=user_column,
            item_column=item_column,
            image_column=image_column,
            drop_unknown=drop_unknown,
        )
        if k_core:
            data = data.k_core(k_core)
        wrote = save_dataset(
            Workspace(workspace), data, source=str(source.resolve()), overwrite=overwrite
        )
    figures = counts(data)
    for note in data.notes:
        say(note)
    if not wrote:
        say(f"{workspace} holds these very data already.")
    if as_json:
        print_json({"workspace": str(workspace), **figures, "notes": list(data.notes)})
    else:
        print_table([str(workspace), ""], [[name, f"{count:,}"] for name, count in figures.items()])


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
    concurrency: Annotated[int, typer.Option(min=1, help="Requests in flight at once.")] = 16,
    attempts: Annotated[
        int, typer.Option(min=1, help="Times an invalid answer is asked for again, in all.")
    ] = 3,
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
    from neggen.generation.run import generate as run
    from neggen.recipe import Recipe
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    # The catalogue generator learns from behavior, so it may only see the training part.
    split = None if answers or model else Recipe(seed=seed).split_config(is_labeled(place))
    data = load_dataset(place, split)
    backend = _backend(place, data, answers, base_url, model, seed)
    say(f"Generator: {backend.name}")
    with counting("Generating") as progress:
        summary = run(
            place,
            data,
            backend,
            plan=plan.value,
            modalities=modality,
            concurrency=concurrency,
            attempts=attempts,
            on_progress=progress,
        )
    if not any(side.valid for side in summary.modalities.values()):
        reasons = sum((side.failed for side in summary.modalities.values()), Counter())
        why = ", ".join(f"{reason} ({count})" for reason, count in reasons.most_common(3))
        raise NegGenError(
            f"{summary.generator} gave no valid record for {workspace} ({why or 'nothing asked'}); "
            f"check the answers or the model."
        )
    sides = {
        name: {
            "items": side.items,
            "valid": side.valid,
            "asked": side.asked,
            "reused": side.reused,
            "failed": dict(side.failed),
            "prompt_tokens": side.usage.prompt_tokens,
            "completion_tokens": side.usage.completion_tokens,
            "seconds": round(side.seconds, 2),
        }
        for name, side in summary.modalities.items()
    }
    if as_json:
        print_json({"generator": summary.generator, "modalities": sides})
        return
    columns = ["items", "valid", "asked", "reused", "seconds"]
    print_table(
        ["modality", *columns],
        [[name, *(f"{side[c]:,}" for c in columns)] for name, side in sides.items()],
        title=f"Written by {summary.generator}",
    )
    for modality_name, summed in summary.modalities.items():
        for reason, count in summed.failed.items():
            say(f"{modality_name}: {count} items without a record: {reason}")


def encode(
    workspace: WorkspaceArgument,
    encoder: Annotated[
        str | None,
        typer.Option(help="A Hugging Face name or a folder; the built-in MiniLM by default."),
    ] = None,
    device: DeviceOption = "cpu",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 64,
    as_json: JsonOption = False,
) -> None:
    """Encode descriptions and negatives to vectors; texts that are known already cost nothing."""
    from neggen.encoding.store import encode as run
    from neggen.encoding.text import EMBEDDED, TextEncoder
    from neggen.generation.run import read_records
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    records = read_records(place.records_path)
    text_encoder = TextEncoder(encoder or EMBEDDED, device=device, batch_size=batch_size)
    with counting("Encoding") as progress:
        summary = run(place, records, text_encoder, progress)
    figures = {"texts": summary.texts, "encoded": summary.encoded, "dim": summary.dim}
    if as_json:
        print_json({"encoder": text_encoder.name, **figures})
    else:
        print_table([text_encoder.name, ""], [[k, f"{v:,}"] for k, v in figures.items()])


def counts(data: Dataset) -> dict[str, int]:
    """Return the figures that describe a catalogue."""
    users, items = data.shape
    pictures = len(data.item_table) - data.item_table["image"].null_count()
    return {
        "users": users,
        "items": items,
        "interactions": len(data.users),
        "pictures": pictures,
        **{f"{name} features": int(given.mask.sum()) for name, given in data.features.items()},
    }


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

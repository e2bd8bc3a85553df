"""Commands that fill a workspace: import and encode."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neggen.cli.imported import counts, show_dry_run
from neggen.cli.output import console, counting, print_json, print_table, say, suggest
from neggen.errors import NegGenError, quoted

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset
    from neggen.data.download import Downloads
    from neggen.data.vectors import Reads

WorkspaceArgument = Annotated[Path, typer.Argument(help="The workspace folder.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]


def usable(device: str | None) -> str | None:
    """Return a device if it can be used here; for options."""
    if device not in (None, "cpu"):
        from neggen.models.device import check_device

        try:
            check_device(device)
        except NegGenError as error:  # typer names the option
            raise typer.BadParameter(str(error)) from None
    return device


DeviceOption = Annotated[str, typer.Option(help="cpu, cuda or cuda:N.", callback=usable)]


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
    download_images: Annotated[
        bool,
        typer.Option(
            "--download-images", help="Download pictures where their column holds web addresses."
        ),
    ] = False,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="HOST or HOST:PORT to download from though its address is not public. Repeatable."
        ),
    ] = None,
    downloads_at_once: Annotated[
        int, typer.Option(min=1, max=256, help="Downloads under way, from all hosts.")
    ] = 16,
    download_mib: Annotated[
        int, typer.Option(min=1, max=64, help="Largest picture to download, in MiB.")
    ] = 20,
    download_timeout: Annotated[
        float, typer.Option(min=1, help="Seconds until one download is given up.")
    ] = 60,
    user_column: Annotated[str, typer.Option(help="Name of the user column.")] = "user_id",
    item_column: Annotated[str, typer.Option(help="Name of the item column.")] = "item_id",
    image_column: Annotated[str, typer.Option(help="Name of the picture column.")] = "image",
    leave_out: Annotated[
        list[str] | None,
        typer.Option(
            help="A column of the items that is not taken, such as stock: it is in no text that a "
            "model or anybody else sees. Repeatable."
        ),
    ] = None,
    drop_unknown: Annotated[
        bool, typer.Option("--drop-unknown", help="Drop interactions with items that have no row.")
    ] = False,
    min_rating: Annotated[
        float | None,
        typer.Option(help="The lowest rating that counts; without it, every rating does."),
    ] = None,
    all_items: Annotated[
        bool,
        typer.Option("--all-items", help="Also keep items of published data that nobody used."),
    ] = False,
    k_core: Annotated[
        int, typer.Option(min=0, help="Keep users and items with at least this many interactions.")
    ] = 0,
    at_most: Annotated[
        int | None,
        typer.Option(
            min=1, help="Keep this many random interactions of users with more, before the core."
        ),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the data of another import.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would be imported, and write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Read a catalogue and its interactions into a workspace.

    Formats: CSV, TSV, JSONL or Parquet tables with a folder of pictures; MMRec .inter files
    with optional .npy features and .npz graphs of like items; RecBole's .inter and .item files;
    Amazon Reviews of 2014, 2018 and 2023; MovieLens; and sparse matrices (interactions.npz).

    With --download-images, pictures come from public web addresses on ports 80 and 443, and from
    hosts named with --allow-host. The same command again downloads only what is missing.
    """
    from neggen.data.importing_again import remarks_on_change
    from neggen.data.readers import ReadOptions, find_reader, read_source
    from neggen.data.store import check_before_downloads, save_dataset
    from neggen.workspace import Workspace

    place, left_out = Workspace(workspace), leave_out or []
    if images and download_images:
        raise NegGenError("Give either --images or --download-images, not both.")
    if allow_host and not download_images:
        raise NegGenError("--allow-host needs --download-images.")

    options: dict[str, Any] = {
        "interactions": interactions,
        "items": items,
        "images": images,
        "user_column": user_column,
        "item_column": item_column,
        "image_column": image_column,
        "drop_unknown": drop_unknown,
        "min_rating": min_rating,
        "all_items": all_items,
    }

    def read(downloads: Downloads | None = None) -> Dataset:
        data = read_source(source, leave_out=left_out, downloads=downloads, **options)
        if at_most is not None:
            data = data.at_most(at_most)
        return data.k_core(k_core) if k_core else data

    if dry_run:
        with console.status(f"Reading {source}"):
            data = read()
        for remark in remarks_on_change(place, data, left_out):
            say(remark)
        show_dry_run(find_reader(source, ReadOptions(**options)).name, data, as_json)
        return
    if download_images and not overwrite:
        check_before_downloads(place, read)
    downloads: Downloads | None = None
    shown: AbstractContextManager[Any] = (
        counting("Downloading") if download_images else console.status(f"Reading {source}")
    )
    with shown as progress:
        if download_images:
            from neggen.data.download import Downloads

            downloads = Downloads(
                folder=place.downloads_dir,
                concurrency=downloads_at_once,
                max_bytes=download_mib * 2**20,
                timeout=download_timeout,
                allow_hosts=tuple(allow_host or ()),
                on_progress=progress,
            )
        data = read(downloads)
        remarks = remarks_on_change(place, data, left_out) if overwrite else []
        wrote = save_dataset(
            place, data, source=str(source.resolve()), overwrite=overwrite, left_out=left_out
        )
    figures = counts(data)
    for note in (*data.notes, *remarks):
        say(note)
    if not wrote:
        say(f"{workspace} holds these very data already.")
    if as_json:
        print_json({"workspace": str(workspace), **figures, "notes": list(data.notes)})
    else:
        print_table([str(workspace), ""], [[name, f"{count:,}"] for name, count in figures.items()])
        if len(data.users):  # of new items alone, only a language model can say anything
            suggest("import", f"generate {quoted(workspace)}")


def encode(
    workspace: WorkspaceArgument,
    encoder: Annotated[
        str | None,
        typer.Option(help="A Hugging Face name or a folder; the built-in MiniLM by default."),
    ] = None,
    device: DeviceOption = "cpu",
    batch_size: Annotated[int, typer.Option(min=1, help="Texts encoded at once.")] = 64,
    attributes_only: Annotated[
        bool,
        typer.Option(
            "--attributes-only",
            help="Encode the key attributes of descriptions and negatives without their context.",
        ),
    ] = False,
    pictures: Annotated[
        str | None,
        typer.Option(
            help="Also encode the pictures, with a model such as openai/clip-vit-base-patch32 or "
            "a folder, for models that learn from features."
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(help="Encode on a Ray cluster: its address, 'auto', or 'local'."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Encode descriptions, negatives and the items' own texts; what is known costs nothing."""
    from neggen.data.store import load_dataset
    from neggen.encoding.image import ImageEncoder
    from neggen.encoding.pictures import check_pictures, encode_pictures
    from neggen.encoding.store import encode as run
    from neggen.encoding.text import EMBEDDED, TextEncoder
    from neggen.generation.record_files import current_records, earlier_import
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    data = load_dataset(place)
    records = current_records(place.records_path, place.journal_path, data)
    if remark := earlier_import(place.records_path, data):
        say(remark)
    text_encoder = TextEncoder(encoder or EMBEDDED, device=device, batch_size=batch_size)
    image_encoder = None
    if pictures is not None:  # before hours of texts
        check_pictures(place, data)
        image_encoder = ImageEncoder(pictures, device=device).loaded()
    reads: Reads = "attributes" if attributes_only else "descriptions"
    with counting("Encoding") as progress:
        if ray is None:
            summary = run(place, data, records, text_encoder, progress, reads)
        else:
            from neggen.encoding.distributed import encode_on_ray

            summary = encode_on_ray(
                place,
                data,
                records,
                text_encoder,
                None if ray == "local" else ray,
                gpus=float(device != "cpu"),
                on_progress=progress,
                reads=reads,
            )
    figures, seen = asdict(summary), None
    if image_encoder is not None:
        with counting("Encoding pictures") as progress:
            seen = asdict(encode_pictures(place, data, image_encoder, progress))
    if as_json:
        told = {"encoder": text_encoder.name, **figures}
        print_json(told if seen is None else {**told, "pictures": {"encoder": pictures, **seen}})
    else:
        for name, counted in ((text_encoder.name, figures), (pictures, seen)):
            if counted is not None:
                print_table([str(name), ""], [[k, f"{v:,}"] for k, v in counted.items()])
        if len(data.users):
            suggest("encode", f"train {quoted(workspace)}")

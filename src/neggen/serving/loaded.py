"""A run in memory, ready to answer."""

from __future__ import annotations

import hashlib
import math
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.errors import NegGenError, first_line
from neggen.models.base import DAMAGE, Recommender
from neggen.runs import Run
from neggen.serving.index import Index, build_index
from neggen.serving.settings import ServeSettings
from neggen.serving.words import Words, load_words
from neggen.workspace import Workspace

MOST_POINTED = 4096
"""Bytes of a file that names a run."""


@dataclass(frozen=True)
class Loaded:
    """A run that is served; nothing in it changes.

    Attributes:
        version: the run's name and the start of a hash over its weights and manifest.
        words: what needs the text encoder, or why that cannot be had.
        item_ids: external ids by internal item.
        users_of: how many users are known to have used an internal item, ``[items]``.
        attributes: what the workspace tells of the items, or None if the run came without one.
    """

    run: Run
    version: str
    trained: datetime
    manifest: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    model: Recommender
    index: Index
    words: Words | str
    item_ids: list[str]
    users_of: NDArray[np.int64]
    attributes: pl.DataFrame | None

    def seen(self, user: int) -> NDArray[np.int64]:
        """Return what an internal user is known to have used, int64 ``[items]``."""
        matrix = self.model._seen
        items: NDArray[np.int32] = matrix.indices[matrix.indptr[user] : matrix.indptr[user + 1]]
        return items.astype(np.int64)

    def attributes_of(self, item: int) -> dict[str, Any]:
        """Return what the workspace tells of an internal item; an infinite number is None."""
        row = {} if self.attributes is None else self.attributes.row(item, named=True)
        return {name: _as_json(value) for name, value in row.items() if name != "item_id"}


def follow(path: Path) -> Path:
    """Return the run folder that a path leads to: itself, a link, or a file with a name in it.

    Raises:
        NegGenError: If the file cannot be read as a name, or links lead in a circle.
    """
    try:
        if not path.is_file():
            return path.resolve()
        with path.open(encoding="utf-8") as file:
            name = file.read(MOST_POINTED).strip()
        return (path.parent / name).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise NegGenError(f"{path} cannot be read as the name of a run: {error}.") from None


def load_run(folder: Path, settings: ServeSettings) -> Loaded:
    """Load a run, build its index and try it out.

    Raises:
        NegGenError: If the folder holds no run, or one that is damaged or cannot recommend.
    """
    run = Run.open(folder)
    manifest, model = run.manifest, run.load_model()
    assert model.item_ids is not None  # it is loaded
    if model.user_ids is None or not len(model.user_ids):
        raise NegGenError(f"{folder} knows no user, so there is nobody to recommend to.")
    loaded = Loaded(
        run=run,
        version=f"{run.folder.name}@{_fingerprint(run)}",
        trained=datetime.fromtimestamp(run.manifest_path.stat().st_mtime, UTC),
        manifest=manifest,
        metrics=run.metrics,
        model=model,
        index=build_index(model, settings),
        words=load_words(run, model, wanted=settings.encoder),
        item_ids=model.item_ids.to_list(),
        users_of=model._popularity.numpy(),
        attributes=_item_table(run, model),
    )
    # Which also makes everything that is made when first used.
    found = loaded.index.search(0, 1, np.empty(0, dtype=np.int64))
    listed = model.recommend([model.user_ids[0]], 1, exclude_seen=False, exclude=[])
    if not len(found.items) or listed.is_empty():
        raise NegGenError(
            f"{folder} recommends nothing: its scores are no numbers; delete that folder and train "
            f"again with other settings."
        )
    model._item_index  # noqa: B018
    with suppress(NegGenError):  # of a model that does not know which items are alike
        model.similar_items(loaded.item_ids[:1], 1)
    return loaded


def _as_json(value: Any) -> Any:
    """Return a value without the numbers that JSON does not have."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list):
        return [_as_json(each) for each in value]
    if isinstance(value, dict):
        return {name: _as_json(each) for name, each in value.items()}
    return value


def _fingerprint(run: Run) -> str:
    digest = hashlib.sha256(run.manifest_path.read_bytes())
    with (run.model_dir / "model.safetensors").open("rb") as file:
        digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:12]


def _item_table(run: Run, model: Recommender) -> pl.DataFrame | None:
    """Return the workspace's attributes of the model's items; None without a workspace.

    Raises:
        NegGenError: If they cannot be read.
    """
    path = Workspace(run.folder.resolve().parent.parent).items_path
    if not path.is_file():
        return None
    known = pl.DataFrame({"item_id": model.item_ids})
    try:
        table = pl.read_parquet(path).drop("image", "image_sha256", strict=False)
        return known.join(table, on="item_id", how="left", maintain_order="left")
    except (*DAMAGE, pl.exceptions.PanicException) as error:
        raise NegGenError(
            f"{path} is damaged ({first_line(error)}); import the source again with --overwrite."
        ) from None

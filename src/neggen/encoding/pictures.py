"""The vectors of a workspace's pictures, kept by what the pictures are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.dataset import Dataset
from neggen.data.mapped import zeros
from neggen.encoding.image import ImageEncoder
from neggen.encoding.progress import advancing
from neggen.encoding.vector_store import VectorStore, vectors_path
from neggen.errors import NegGenError, quoted
from neggen.workspace import Workspace, read_toml, write_toml

SAVE_EVERY = 512
"""Pictures encoded between two writes; a killed run loses at most these."""
ROWS_AT_ONCE = 16384
"""Items whose vectors are looked up at once."""


@dataclass(frozen=True)
class PicturesSummary:
    """What an encoding run did: distinct pictures, how many were encoded now, and their width."""

    pictures: int
    encoded: int
    dim: int


def encode_pictures(
    workspace: Workspace,
    data: Dataset,
    encoder: ImageEncoder,
    on_progress: Callable[[int, int], None] | None = None,
) -> PicturesSummary:
    """Encode the pictures of the items of a workspace; a picture known already costs nothing.

    Args:
        workspace: where the vectors are kept.
        data: the catalogue.
        encoder: the picture encoder.
        on_progress: called with (pictures finished, pictures to encode).

    Raises:
        NegGenError: If no item has a picture, one cannot be read or is not the one that was
            imported any more, or there is no such encoder.
    """
    check_pictures(workspace, data)
    store = VectorStore(vectors_path(workspace, encoder.fingerprint))
    places = _by_digest(data)
    missing = store.missing(list(places))
    advance = advancing(on_progress, len(missing))
    for start in range(0, len(missing), SAVE_EVERY):
        chunk = missing[start : start + SAVE_EVERY]
        paths = (data.image_path(places[digest]) for digest in chunk)
        files = [path for path in paths if path is not None]  # who has a digest has a file
        store.add(chunk, encoder.encode(files, advance, digests=chunk))
    store.merge()
    told = {"encoder": encoder.name, "fingerprint": encoder.fingerprint, "pictures": len(places)}
    write_toml(workspace.pictures_manifest_path, told)
    return PicturesSummary(len(places), len(missing), store.get([next(iter(places))]).shape[1])


def load_pictures(workspace: Workspace, data: Dataset) -> NDArray[np.float32]:
    """Arrange the vectors of pictures by item, float32 ``[items, d]``.

    Raises:
        NegGenError: If pictures were never encoded, or one has no vector yet.
    """
    manifest = workspace.pictures_manifest_path
    if not manifest.is_file():
        raise NegGenError(
            f"The pictures of {workspace.path} are not encoded; run: neggen encode "
            f"{quoted(workspace.path)} --pictures MODEL, or leave pictures=true out."
        )
    made = read_toml(manifest, "encoder", "fingerprint")
    store = VectorStore(vectors_path(workspace, str(made["fingerprint"])))
    digests = data.item_table["image_sha256"]
    if missing := store.missing(digests.drop_nulls().to_list()):
        raise NegGenError(
            f"{len(missing)} pictures of {workspace.path} are not encoded; run: neggen encode "
            f"{quoted(workspace.path)} --pictures {quoted(made['encoder'])}"
        )
    there = np.flatnonzero(digests.is_not_null().to_numpy())
    width = store.get(digests.drop_nulls().head(1).to_list()).shape[1]
    rows = zeros((len(digests), width), workspace.vectors_dir)  # [items, d]
    for start in range(0, len(there), ROWS_AT_ONCE):
        some = there[start : start + ROWS_AT_ONCE]
        rows[some] = store.get(digests[some].to_list())
    return rows


def with_pictures(workspace: Workspace, data: Dataset) -> tuple[Dataset, str]:
    """Put the encoded pictures of a workspace beside the vectors of its data; return their hash.

    Raises:
        NegGenError: If pictures were not encoded.
    """
    assert data.vectors is not None  # beside which they lie
    vectors = replace(data.vectors, image=load_pictures(workspace, data))
    seen = vectors.pictures_hash
    assert seen is not None  # they are there
    return data.replace(vectors=vectors), seen


def check_pictures(workspace: Workspace, data: Dataset) -> None:
    """Raise NegGenError if no item has a picture."""
    if not data.item_table["image"].count():
        raise NegGenError(
            f"No item of {workspace.path} has a picture; leave --pictures out, or import with "
            "pictures."
        )


def _by_digest(data: Dataset) -> dict[str, int]:
    """Return an item with each distinct picture, by the picture's SHA-256."""
    table = data.item_table.select("image_sha256").with_row_index("place").drop_nulls()
    first = table.unique("image_sha256", keep="first", maintain_order=True)
    return dict(zip(first["image_sha256"], first["place"].cast(pl.Int64), strict=True))

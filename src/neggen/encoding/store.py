"""What a catalogue needs encoded, and its vectors arranged by item and modality.

:mod:`neggen.encoding.vector_store` keeps the vectors: a text is encoded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.data.attributes import texts_of
from neggen.data.dataset import Dataset
from neggen.data.indexing import positions
from neggen.data.mapped import zeros
from neggen.data.vectors import ItemVectors, Reads
from neggen.encoding.progress import advancing
from neggen.encoding.text import TextEncoder
from neggen.encoding.vector_store import VectorStore as VectorStore
from neggen.encoding.vector_store import vectors_path
from neggen.errors import NegGenError, quoted
from neggen.generation.subsets import as_read
from neggen.workspace import Workspace, read_toml, write_toml

SAVE_EVERY = 2048
"""Texts encoded between two writes; a killed run loses at most these."""
TEXTS_AT_ONCE = 16384
"""Texts whose vectors are looked up at once."""


@dataclass(frozen=True)
class EncodingSummary:
    """What an encoding run did: distinct texts, how many were encoded now, and their width."""

    texts: int
    encoded: int
    dim: int


def encode(
    workspace: Workspace,
    data: Dataset,
    records: pl.DataFrame,
    encoder: TextEncoder,
    on_progress: Callable[[int, int], None] | None = None,
    reads: Reads = "descriptions",
) -> EncodingSummary:
    """Encode all descriptions, negatives and own texts of the items of a workspace.

    Texts known already cost nothing.

    Args:
        workspace: where the vectors are kept.
        data: the catalogue, whose items' own texts are encoded too.
        records: what generation wrote, with ``description`` and ``negative``.
        encoder: the text encoder.
        on_progress: called with (texts finished, texts to encode).
        reads: whether it is given whole descriptions and negatives, or key attributes alone.
    """

    def encoded(missing: list[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        advance = advancing(on_progress, len(missing))
        for start in range(0, len(missing), SAVE_EVERY):
            chunk = missing[start : start + SAVE_EVERY]
            yield chunk, encoder.encode(chunk, advance)

    return keep_encoded(workspace, data, records, encoder, encoded, reads)


def keep_encoded(
    workspace: Workspace,
    data: Dataset,
    records: pl.DataFrame,
    encoder: TextEncoder,
    encoded: Callable[[list[str]], Iterator[tuple[list[str], NDArray[np.float32]]]],
    reads: Reads,
) -> EncodingSummary:
    """Keep the vectors of all descriptions, negatives and own texts of the items of a workspace.

    Args:
        workspace: where the vectors are kept.
        data: the catalogue, whose items' own texts are encoded too.
        records: what generation wrote, with ``description`` and ``negative``.
        encoder: the text encoder.
        encoded: takes the distinct texts without a vector and yields some of them with their
            vectors ``[texts, d]`` at a time; each time they are written.
        reads: see :func:`encode`.
    """
    store = VectorStore(vectors_path(workspace, encoder.fingerprint))
    texts = _texts(as_read(records, reads), own_texts(data))
    missing = store.missing(texts)
    for chunk, vectors in encoded(missing):
        store.add(chunk, vectors)
    store.merge()
    write_toml(
        workspace.vectors_manifest_path,
        {
            "encoder": encoder.name,
            "fingerprint": encoder.fingerprint,
            "reads": reads,
            "texts": len(texts),
        },
    )
    dim = store.get(texts[:1]).shape[1]
    return EncodingSummary(texts=len(texts), encoded=len(missing), dim=dim)


def encoder_of(workspace: Workspace) -> str:
    """Return the fingerprint of the encoder of a workspace's vectors.

    Raises:
        NegGenError: If ``neggen encode`` has not run yet.
    """
    return str(_manifest(workspace)["fingerprint"])


def reads_of(workspace: Workspace) -> Reads:
    """Return what a workspace's vectors are encodings of.

    Raises:
        NegGenError: If ``neggen encode`` has not run yet.
    """
    return _reads(_manifest(workspace))


def encode_command(workspace: Workspace, reads: Reads | None = None) -> str:
    """Return what to type after ``neggen`` to encode a workspace; None reads what was read before.

    >>> encode_command(Workspace("shop"), "attributes")
    'encode shop --attributes-only'
    """
    if reads is None and workspace.vectors_manifest_path.is_file():
        reads = reads_of(workspace)
    option = " --attributes-only" if reads == "attributes" else ""
    return f"encode {quoted(workspace.path)}{option}"


def load_vectors(workspace: Workspace, data: Dataset, records: pl.DataFrame) -> ItemVectors:
    """Arrange the workspace's vectors by item and modality.

    Raises:
        NegGenError: If ``neggen encode`` has not run since the records or the items changed.
    """
    made = _manifest(workspace)
    store, reads = VectorStore(vectors_path(workspace, made["fingerprint"])), _reads(made)
    read, own = as_read(records, reads), own_texts(data)
    if missing := store.missing(_texts(read, own)):
        raise NegGenError(
            f"{len(missing)} texts of {workspace.path} are not encoded, the first being "
            f"{missing[0][:60]!r}; run: neggen {encode_command(workspace)}"
        )
    vectors = arrange(data, read, own, store.get, workspace.vectors_dir)
    return replace(vectors, reads=reads, encoder=made["fingerprint"])


def encode_records(
    data: Dataset, records: pl.DataFrame, encoder: TextEncoder, reads: Reads = "descriptions"
) -> ItemVectors:
    """Encode records and own texts in memory, without a workspace; see :func:`encode`."""
    read, own = as_read(records, reads), own_texts(data)
    texts = _texts(read, own)
    encoded = encoder.encode(texts)
    rows = {text: row for row, text in enumerate(texts)}
    vectors = arrange(data, read, own, lambda wanted: encoded[[rows[text] for text in wanted]])
    return replace(vectors, reads=reads, encoder=encoder.fingerprint)


def arrange(
    data: Dataset,
    records: pl.DataFrame,
    own: Mapping[int, str],
    vectors_of: Callable[[Sequence[str]], NDArray[np.float32]],
    folder: Path | None = None,
) -> ItemVectors:
    """Lay the vectors of records out as ``[items, completions, modalities, d]``, own texts beside.

    An item with fewer completions than others repeats the first one it has.

    Args:
        data: the catalogue.
        records: what generation wrote, as the encoder read it.
        own: the items' own texts; see :func:`own_texts`.
        vectors_of: looks vectors up, texts to ``[texts, d]``.
        folder: where large arrays lie while they are in use; None holds them in memory.

    Raises:
        NegGenError: If no record belongs to an item of the catalogue, or the folder is full.
    """
    modalities = tuple(sorted(records["modality"].unique()))
    known = records.filter(pl.col("item_id").is_in(data.item_ids.implode()))
    if known.is_empty():
        raise NegGenError("None of the records belongs to an item of this catalogue.")
    item = positions(known["item_id"], data.item_ids)  # [records]
    modality = positions(known["modality"], pl.Series(modalities))
    completion = known["completion"].to_numpy()
    width = vectors_of([known["description"][0]]).shape[1]

    shape = (len(data.item_ids), int(completion.max()) + 1, len(modalities), width)
    filled = np.zeros(shape[:3], dtype=bool)
    filled[item, completion, modality] = True
    mask: NDArray[np.bool_] = np.logical_or.reduce(filled, axis=1)  # [items, modalities]
    positives, negatives = zeros((shape[0], *shape[2:]), folder), zeros(shape, folder)
    for start in range(0, len(known), TEXTS_AT_ONCE):
        rows = slice(start, start + TEXTS_AT_ONCE)
        i, k, m = item[rows], completion[rows], modality[rows]
        positives[i, m] = vectors_of(known["description"][rows].to_list())
        negatives[i, k, m] = vectors_of(known["negative"][rows].to_list())
    first = filled.argmax(axis=1)  # [items, modalities]
    lacking = np.nonzero(~filled & mask[:, None])
    for start in range(0, len(lacking[0]), TEXTS_AT_ONCE):
        of, which, at = (index[start : start + TEXTS_AT_ONCE] for index in lacking)
        negatives[of, which, at] = negatives[of, first[of, at], at]
    text = zeros((shape[0], width), folder)  # [items, d]
    places, texts = list(own), list(own.values())
    for start in range(0, len(places), TEXTS_AT_ONCE):
        rows = slice(start, start + TEXTS_AT_ONCE)
        text[places[rows]] = vectors_of(texts[rows])
    return ItemVectors(modalities, positives, negatives, mask, text)


def own_texts(data: Dataset) -> dict[int, str]:
    """Return the own text of every item that has one, by position."""
    texts = enumerate(texts_of(data.item_table))
    return {position: text for position, text in texts if text is not None}


def _texts(records: pl.DataFrame, own: Mapping[int, str]) -> list[str]:
    """Return the distinct texts of records and items that a workspace needs the vectors of."""
    return list(dict.fromkeys([*records["description"], *records["negative"], *own.values()]))


def _manifest(workspace: Workspace) -> dict[str, Any]:
    path = workspace.vectors_manifest_path
    if not path.is_file():
        raise NegGenError(
            f"{workspace.path} has no vectors yet; run: neggen {encode_command(workspace)}"
        )
    return read_toml(path, "fingerprint")


def _reads(manifest: Mapping[str, Any]) -> Reads:
    return "attributes" if manifest.get("reads") == "attributes" else "descriptions"

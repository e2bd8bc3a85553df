"""Vectors on disk, addressed by the content of the text they encode.

One safetensors file an encoder holds the SHA-256 of every text and its vector. A text is encoded
once, whichever records it appears in; a changed record simply asks for another key, so nothing
can be stale.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.workspace import Workspace, atomic_path, read_toml, write_toml

SAVE_EVERY = 2048
"""Texts encoded between two writes of the file; a killed run loses at most these."""


@dataclass(frozen=True)
class EncodingSummary:
    """What an encoding run did: distinct texts, how many were encoded now, and their width."""

    texts: int
    encoded: int
    dim: int


class VectorStore:
    """The vectors of one encoder: a mapping from text to vector."""

    def __init__(self, path: Path) -> None:
        """Read ``path`` if it exists.

        Raises:
            NegGenError: If the file is damaged.
        """
        self.path = path
        self._rows: dict[bytes, int] = {}
        self._vectors = np.empty((0, 0), dtype=np.float32)
        if path.is_file():
            try:
                stored = load_file(path)
                self._vectors, keys = stored["vectors"], stored["keys"]
            except (SafetensorError, KeyError) as error:
                raise NegGenError(
                    f"{path} is damaged ({error}); delete it and run neggen encode again."
                ) from None
            self._rows = {key.tobytes(): row for row, key in enumerate(keys)}

    def missing(self, texts: Sequence[str]) -> list[str]:
        """Return the distinct texts that have no vector yet, in order of first appearance."""
        return [text for text in dict.fromkeys(texts) if _key(text) not in self._rows]

    def add(self, texts: Sequence[str], vectors: NDArray[np.float32]) -> None:
        """Append vectors ``[texts, d]`` of new texts and write the file."""
        start = len(self._rows)
        self._rows.update({_key(text): start + row for row, text in enumerate(texts)})
        self._vectors = np.concatenate([self._vectors.reshape(start, vectors.shape[1]), vectors])
        keys = np.frombuffer(b"".join(self._rows), dtype=np.uint8).reshape(-1, 32)
        with atomic_path(self.path) as temporary:
            save_file({"keys": keys, "vectors": self._vectors}, temporary)

    def get(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the vectors of texts that are all known, float32 ``[texts, d]``."""
        return self._vectors[[self._rows[_key(text)] for text in texts]]


def encode(
    workspace: Workspace,
    data: Dataset,
    records: pl.DataFrame,
    encoder: TextEncoder,
    on_progress: Callable[[int, int], None] | None = None,
) -> EncodingSummary:
    """Encode all descriptions, negatives and own texts of the items of a workspace.

    Texts known already cost nothing.

    Args:
        workspace: where the vectors are kept.
        data: the catalogue, whose items' own texts are encoded too.
        records: what generation wrote, with ``description`` and ``negative``.
        encoder: the text encoder.
        on_progress: called with (texts finished, texts to encode).
    """

    def encoded(missing: list[str]) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        finished = 0

        def advance(count: int) -> None:
            nonlocal finished
            finished += count
            if on_progress is not None:
                on_progress(finished, len(missing))

        for start in range(0, len(missing), SAVE_EVERY):
            chunk = missing[start : start + SAVE_EVERY]
            yield chunk, encoder.encode(chunk, advance)

    return keep_encoded(workspace, data, records, encoder, encoded)


def keep_encoded(
    workspace: Workspace,
    data: Dataset,
    records: pl.DataFrame,
    encoder: TextEncoder,
    encoded: Callable[[list[str]], Iterator[tuple[list[str], NDArray[np.float32]]]],
) -> EncodingSummary:
    """Keep the vectors of all descriptions, negatives and own texts of the items of a workspace.

    Args:
        workspace: where the vectors are kept.
        data: the catalogue, whose items' own texts are encoded too.
        records: what generation wrote, with ``description`` and ``negative``.
        encoder: the text encoder.
        encoded: takes the distinct texts without a vector and yields some of them with their
            vectors ``[texts, d]`` at a time; each time they are written.
    """
    store = VectorStore(_path(workspace, encoder.fingerprint))
    texts = _texts(data, records)
    missing = store.missing(texts)
    for chunk, vectors in encoded(missing):
        store.add(chunk, vectors)
    write_toml(
        workspace.vectors_dir / "manifest.toml",
        {"encoder": encoder.name, "fingerprint": encoder.fingerprint, "texts": len(texts)},
    )
    dim = store.get(texts[:1]).shape[1]
    return EncodingSummary(texts=len(texts), encoded=len(missing), dim=dim)


def encoder_of(workspace: Workspace) -> str:
    """Return the fingerprint of the encoder of a workspace's vectors.

    Raises:
        NegGenError: If ``neggen encode`` has not run yet.
    """
    manifest = workspace.vectors_dir / "manifest.toml"
    if not manifest.is_file():
        raise NegGenError(
            f"{workspace.path} has no vectors yet; run: neggen encode {workspace.path}"
        )
    return str(read_toml(manifest)["fingerprint"])


def load_vectors(workspace: Workspace, data: Dataset, records: pl.DataFrame) -> ItemVectors:
    """Arrange the workspace's vectors by item and modality.

    Raises:
        NegGenError: If ``neggen encode`` has not run since the records or the items changed.
    """
    store = VectorStore(_path(workspace, encoder_of(workspace)))
    if missing := store.missing(_texts(data, records)):
        raise NegGenError(
            f"{len(missing)} texts of {workspace.path} are not encoded, the first being "
            f"{missing[0][:60]!r}; run: neggen encode {workspace.path}"
        )
    return arrange(data, records, store.get)


def encode_records(data: Dataset, records: pl.DataFrame, encoder: TextEncoder) -> ItemVectors:
    """Encode records and the items' own texts in memory, without a workspace."""
    texts = _texts(data, records)
    vectors = encoder.encode(texts)
    rows = {text: row for row, text in enumerate(texts)}
    return arrange(data, records, lambda wanted: vectors[[rows[text] for text in wanted]])


def arrange(
    data: Dataset,
    records: pl.DataFrame,
    vectors_of: Callable[[Sequence[str]], NDArray[np.float32]],
) -> ItemVectors:
    """Lay the vectors of records out as ``[items, completions, modalities, d]``, own texts beside.

    An item with fewer completions than others repeats the first one it has.

    Raises:
        NegGenError: If no record belongs to an item of the catalogue.
    """
    modalities = tuple(sorted(records["modality"].unique()))
    index = {item: position for position, item in enumerate(data.item_ids)}
    known = records.filter(pl.col("item_id").is_in(data.item_ids.implode()))
    if known.is_empty():
        raise NegGenError("None of the records belongs to an item of this catalogue.")
    item = np.array([index[i] for i in known["item_id"]])  # [records]
    modality = np.array([modalities.index(m) for m in known["modality"]])
    completion = known["completion"].to_numpy()
    positive = vectors_of(known["description"].to_list())  # [records, d]
    negative = vectors_of(known["negative"].to_list())

    shape = (len(data.item_ids), int(completion.max()) + 1, len(modalities), positive.shape[1])
    filled = np.zeros(shape[:3], dtype=bool)
    filled[item, completion, modality] = True
    negatives = np.zeros(shape, dtype=np.float32)
    negatives[item, completion, modality] = negative
    mask: NDArray[np.bool_] = np.logical_or.reduce(filled, axis=1)  # [items, modalities]
    first = filled.argmax(axis=1)[:, None, :, None]  # [items, 1, modalities, 1]
    repeated = np.take_along_axis(negatives, first, axis=1)
    negatives = np.where(filled[..., None], negatives, repeated)
    positives = np.zeros((shape[0], *shape[2:]), dtype=np.float32)
    positives[item, modality] = positive
    own_texts = _own_texts(data)
    own = np.zeros((shape[0], shape[3]), dtype=np.float32)  # [items, d]
    if own_texts:
        own[list(own_texts)] = vectors_of(list(own_texts.values()))
    return ItemVectors(modalities, positives, negatives, mask, own)


def _own_texts(data: Dataset) -> dict[int, str]:
    """Return the own text of every item that has one, by position."""
    texts = ((position, data.item_text(position)) for position in range(len(data.item_ids)))
    return {position: text for position, text in texts if text is not None}


def _texts(data: Dataset, records: pl.DataFrame) -> list[str]:
    """Return the distinct texts that a workspace needs the vectors of."""
    written = [*records["description"], *records["negative"]]
    return list(dict.fromkeys([*written, *_own_texts(data).values()]))


def _path(workspace: Workspace, fingerprint: str) -> Path:
    return workspace.vectors_dir / f"{fingerprint[:16]}.safetensors"


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()

"""The data of a study, read once a process and split however many fits ask for it."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from neggen.comparison.encoder import KeptEncoder
from neggen.comparison.rows import Negatives
from neggen.comparison.variants import one_modality, varied
from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset
from neggen.data.tables import PARTS
from neggen.encoding.pictures import with_pictures
from neggen.errors import NegGenError
from neggen.runs import with_vectors
from neggen.workspace import Workspace

KEPT = 5
"""Splits, and variants of the vectors, that stay in memory."""
Stamp = tuple[tuple[int, int] | None, ...]
"""When each file of a workspace was written, and its size; None if it is not there."""


def split_data(workspace: Workspace, split: SplitConfig, *, described: bool) -> Dataset:
    """Return the data of a split, with records and vectors if they are asked for.

    Raises:
        NegGenError: If the workspace lacks what is asked for.
    """
    return _split(workspace.path, split, described, _stamp(workspace))


def whole_data(workspace: Workspace, split: SplitConfig) -> Dataset:
    """Return the data of a split, with records and vectors if all of these are there."""
    stamp = _stamp(workspace)
    kept = workspace.records_path, workspace.vectors_manifest_path
    described = all(path.is_file() for path in kept) and _is_whole(workspace.path, stamp)
    return _split(workspace.path, split, described, stamp)


def varied_data(
    workspace: Workspace,
    split: SplitConfig,
    negatives: Negatives,
    modality: str | None,
    seed: int,
    device: str,
    *,
    pictures: bool = False,
) -> tuple[Dataset, str]:
    """Return what a row that learns from vectors is given, test parts left out, and their hash.

    Args:
        workspace: generated and encoded.
        split: the division into parts.
        negatives: the name of a variant; see :mod:`neggen.comparison.variants`.
        modality: the only one that is kept, or None.
        seed: seeds what the variant draws, if it draws anything.
        device: where new texts are encoded.
        pictures: whether it is also given the encoded pictures, which are part of the hash then.
    """
    drawn = 0 if negatives == "generated" else seed
    return _varied(
        workspace.path, split, negatives, modality, drawn, device, pictures, _stamp(workspace)
    )


def without_test(data: Dataset) -> Dataset:
    """Return data from which the test part and every further test set are gone."""
    assert data.parts is not None
    kept = data.parts != PARTS.index("test")
    return data.replace(
        users=data.users[kept],
        items=data.items[kept],
        time=None if data.time is None else data.time[kept],
        given_parts=None if data.given_parts is None else data.given_parts[kept],
        parts=data.parts[kept],
        test_sets={},
    )


@lru_cache(maxsize=KEPT)
def _split(path: Path, split: SplitConfig, described: bool, stamp: Stamp) -> Dataset:
    data = load_dataset(Workspace(path), split)
    if not described:
        return data
    whole = _described(path, stamp)  # whose vectors all splits share
    return data.replace(records=whole.records, vectors=whole.vectors)


@lru_cache(maxsize=1)
def _described(path: Path, stamp: Stamp) -> Dataset:
    workspace = Workspace(path)
    return with_vectors(workspace, load_dataset(workspace))


@lru_cache(maxsize=KEPT)
def _is_whole(path: Path, stamp: Stamp) -> bool:
    try:
        _described(path, stamp)
    except NegGenError:  # which tells those who need the vectors what is missing
        return False
    return True


@lru_cache(maxsize=KEPT)
def _varied(
    path: Path,
    split: SplitConfig,
    negatives: Negatives,
    modality: str | None,
    seed: int,
    device: str,
    pictures: bool,
    stamp: Stamp,
) -> tuple[Dataset, str]:
    data = without_test(_split(path, split, True, stamp))
    if negatives != "generated":
        data = varied(data, negatives, seed, KeptEncoder(Workspace(path), device))
    vectors = data.vectors
    assert vectors is not None
    if modality is not None:
        vectors = one_modality(vectors, modality)
        data = data.replace(vectors=vectors)
    told = vectors.content_hash
    if pictures:
        data, seen = with_pictures(Workspace(path), data)
        told = f"{told} {seen}"
    return data, told


def _stamp(workspace: Workspace) -> Stamp:
    """Tell whether what was read may be stale: another process may have imported or encoded."""
    files = (
        workspace.manifest_path,
        workspace.records_path,
        workspace.vectors_manifest_path,
        workspace.pictures_manifest_path,
    )
    found = [path.stat() if path.is_file() else None for path in files]
    return tuple(stat and (stat.st_mtime_ns, stat.st_size) for stat in found)

"""Slots whose replacement says nearly the same as the value it stands for."""

from __future__ import annotations

import re

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.encoding.store import VectorStore
from neggen.encoding.text import TextEncoder
from neggen.workspace import Workspace

SYNONYM_COSINE = 0.8
"""Cosine of two slot phrases under all-MiniLM-L6-v2 from which on they count as near-synonyms.

Calibrated on 60 pairs of synonyms and 60 of contrasts, and on the slots of recorded answers of a
strong language model, which hold few synonyms: it finds 30% of the synonyms (such as office chair,
desk chair), accuses 7% of the contrasts (transparent, opaque: the encoder sees the topic, not the
sign), and 0.05% of the recorded slots. A lower bound would find more and accuse far more: at 0.7,
45% of the synonyms, 17% of the contrasts and 0.2% of the recorded slots. So a share is a lower
bound of the true one, good for comparing generators.
"""


def slot_cosines(
    workspace: Workspace, records: pl.DataFrame, encoder: TextEncoder | None = None
) -> pl.Series:
    """Return the cosines of value and replacement, a list of float32 a record, ``[slots]`` each.

    Phrases are encoded once and kept in the workspace. Two phrases that differ in their numbers (3
    and 12 pages) are contrasts however alike they sound: their cosine counts as 0.

    Args:
        workspace: where encoded phrases are kept.
        records: rows with ``values`` and ``replacements``.
        encoder: the embedded encoder by default, which ``SYNONYM_COSINE`` is calibrated for.
    """
    encoder = encoder or TextEncoder()
    slots = records["values"].list.len().to_numpy()
    values = records["values"].explode().to_list()
    replacements = records["replacements"].explode().to_list()
    store = VectorStore(workspace.quality_dir / f"phrases-{encoder.fingerprint[:16]}.safetensors")
    if missing := store.missing([*values, *replacements]):
        store.add(missing, encoder.encode(missing))
    pairs = zip(values, replacements, strict=True)
    numbered = np.array([_numbers(old) != _numbers(new) for old, new in pairs])
    cosines = (store.get(values) * store.get(replacements)).sum(1)  # [slots of all records]
    cosines[numbered] = 0.0
    return _by_record(cosines, slots)


def _by_record(cosines: NDArray[np.float32], slots: NDArray[np.uint32]) -> pl.Series:
    parts = np.split(cosines, np.cumsum(slots)[:-1])
    return pl.Series("slot_cosines", [part.tolist() for part in parts], pl.List(pl.Float32))


def _numbers(phrase: str) -> list[str]:
    return re.findall(r"\d+(?:[.,]\d+)*", phrase)

"""Key attributes exchanged one at a time, and what that changes of the effects of items."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.generation.records import Record
from neggen.generation.subsets import as_read, one_slot_negatives
from neggen.models.described_items import Described

SLOT = {
    "item_id": pl.String(),
    "modality": pl.String(),
    "slot": pl.Int64(),
    "value": pl.String(),
    "replacement": pl.String(),
}
AT_ONCE = 4096
"""Changed items whose effects are computed at once."""


class Interventions(NamedTuple):
    """Key attributes of items, and what the items' effects owe to each."""

    slots: pl.DataFrame
    """One row a slot: the columns of ``SLOT``, and ``item``, its position in the data."""
    effects: Tensor
    """c_i − c_i^(k), ``[slots, d]``."""


def intervene(
    model: Described,
    data: Dataset,
    vectors: ItemVectors,
    items: NDArray[np.int64],
    encoder: TextEncoder,
) -> Interventions:
    """Exchange every slot of some items, distinct internal ones, and see what that changes."""
    assert data.records is not None
    if vectors.encoder not in (None, encoder.fingerprint):
        raise NegGenError(
            f"The encoder '{encoder.name}' is another one than the data were encoded with; take "
            f"the encoder that made their vectors."
        )
    slots, texts = _one_slot_changes(data, as_read(data.records, vectors.reads), items)
    place = slots["item"].to_numpy()
    modality = np.array([vectors.modalities.index(name) for name in slots["modality"]], dtype=int)
    distinct = {text: row for row, text in enumerate(dict.fromkeys(texts))}
    row_of = np.array([distinct[text] for text in texts], dtype=int)  # [slots]
    width = vectors.positive.shape[2]
    encoded = encoder.encode(list(distinct)) if distinct else np.zeros((0, width), np.float32)
    if encoded.shape[1] != width:
        raise NegGenError(
            f"The encoder gives vectors of width {encoded.shape[1]}, but those of the data are "
            f"{width} wide; take the encoder that made them."
        )
    effects = []
    for start in range(0, max(1, len(place)), AT_ONCE):
        few = slice(start, start + AT_ONCE)
        before = learned_vectors(model, vectors, place[few])
        positive = before.positive.copy()  # [few, modalities, width]
        positive[np.arange(len(positive)), modality[few]] = encoded[row_of[few]]
        after = replace(before, positive=positive)
        with torch.no_grad():
            effects.append(model.effects_of(before) - model.effects_of(after))
    return Interventions(slots, torch.cat(effects))


def _one_slot_changes(
    data: Dataset, records: pl.DataFrame, items: NDArray[np.int64]
) -> tuple[pl.DataFrame, list[str]]:
    """Return the slots of items in their first completion, and each one's changed description."""
    wanted = pl.DataFrame({"item_id": data.item_ids[items], "item": items})
    chosen = (
        records.join(wanted, on="item_id")
        .sort("item", "modality", "completion")
        .unique(["item", "modality"], keep="first", maintain_order=True)
    )
    rows: list[tuple[object, ...]] = []
    texts: list[str] = []
    for item, written in zip(
        chosen["item"], chosen.select(list(Record.model_fields)).iter_rows(named=True), strict=True
    ):
        record = Record(**written)
        texts += one_slot_negatives(record)
        pairs = zip(record.values, record.replacements, strict=True)
        rows += [
            (item, record.item_id, record.modality, slot, *pair) for slot, pair in enumerate(pairs)
        ]
    return pl.DataFrame(rows, schema={"item": pl.Int64(), **SLOT}, orient="row"), texts


def learned_vectors(
    model: Described, vectors: ItemVectors, items: NDArray[np.int64]
) -> ItemVectors:
    """Return the vectors of some items, in their order, as the model learned from them."""
    rows = replace(
        vectors,
        positive=vectors.positive[items],
        negative=vectors.negative[items],
        mask=vectors.mask[items],
        text=None if vectors.text is None else vectors.text[items],
    )
    return model.as_learned(rows, items)

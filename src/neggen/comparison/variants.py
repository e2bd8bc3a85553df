"""Variants of the data for ablations: each takes one thing away from what the negatives say.

A variant changes ``data.vectors`` alone. Vectors move between items of the same modalities only, so
that nothing is learned from what is missing.

``generated`` are the workspace's own negatives, and ``catalog-generator`` those that the model-free
catalogue generator writes for the same items, beside the same recorded descriptions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from neggen.comparison.rows import Negatives
from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.encoding.store import encode_records
from neggen.encoding.text import TextEncoder
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.run import generate_records
from neggen.generation.subsets import as_read


def varied(data: Dataset, negatives: Negatives, seed: int, encoder: TextEncoder) -> Dataset:
    """Return data with other negatives.

    Args:
        data: split, with records and vectors.
        negatives: the name of the variant.
        seed: seeds what is drawn.
        encoder: encodes the texts of the variants that write new ones.
    """
    vectors, records = data.vectors, data.records
    assert vectors is not None
    assert records is not None
    if negatives == "shuffled":
        vectors = shuffled(vectors, seed)
    elif negatives == "none":
        vectors = without_negatives(vectors)
    elif negatives == "other-item":
        vectors = others_descriptions(vectors, seed)
    elif negatives == "random-slots":
        changed = random_slots(as_read(records, vectors.reads), seed)
        vectors = _with_negatives_of(data, changed, encoder)
    elif negatives == "catalog-generator":
        written = generate_records(data, CatalogueBackend(data, seed=seed))
        vectors = _with_negatives_of(data, as_read(written, vectors.reads), encoder)
    return data.replace(vectors=vectors)


def shuffled(vectors: ItemVectors, seed: int) -> ItemVectors:
    """Give every item the negatives of another one: the placebo.

    What negatives are like stays; that they belong to their item goes.
    """
    return replace(vectors, negative=vectors.negative[others(vectors.mask, seed)])


def without_negatives(vectors: ItemVectors) -> ItemVectors:
    """Give every item the mean negative of each modality, which says nothing about it."""
    negative = vectors.negative.copy()  # [items, completions, modalities, d]
    for m, present in enumerate(vectors.mask.T):
        if present.any():
            negative[present, :, m] = negative[present, :, m].mean((0, 1))
    return replace(vectors, negative=negative)


def others_descriptions(vectors: ItemVectors, seed: int) -> ItemVectors:
    """Take the descriptions of other items as negatives: nothing is completed.

    As many as there are completions, each of another item where there are enough.
    """
    drawn = [
        vectors.positive[others(vectors.mask, seed, step=k + 1)]
        for k in range(vectors.negative.shape[1])
    ]
    return replace(vectors, negative=np.stack(drawn, axis=1))


def one_modality(vectors: ItemVectors, modality: str) -> ItemVectors:
    """Keep one modality of descriptions, or none for ``own``: own texts and pictures stay.

    An item without it has no description at all.
    """
    only = [m for m, name in enumerate(vectors.modalities) if name == modality]
    return replace(
        vectors,
        modalities=tuple(vectors.modalities[m] for m in only),
        positive=vectors.positive[:, only],
        negative=vectors.negative[:, :, only],
        mask=vectors.mask[:, only],
    )


def random_slots(records: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Change words anywhere instead of the key attributes: nothing is masked.

    In every description as many words as were masked, at random places, give way to words drawn
    from the replacements of other items in the same modality.

    Returns:
        The records with other ``negative`` texts, whose templates no longer belong to them.
    """
    rng = np.random.default_rng(seed)
    pools: dict[str, tuple[list[str], list[str]]] = {}  # modality: words, and whose they are
    for row in records.iter_rows(named=True):
        words, owners = pools.setdefault(row["modality"], ([], []))
        own = " ".join(row["replacements"]).split()
        words += own
        owners += [row["item_id"]] * len(own)

    def word_of_another(item: str, modality: str) -> str:
        words, owners = pools[modality]
        place = 0
        for place in rng.integers(len(words), size=20).tolist():
            if owners[place] != item:
                break
        return words[place]

    negatives = []
    for row in records.iter_rows(named=True):
        words = row["description"].split()
        masked = min(len(" ".join(row["values"]).split()), len(words))
        for place in rng.choice(len(words), size=masked, replace=False):
            words[place] = word_of_another(row["item_id"], row["modality"])
        negatives.append(" ".join(words))
    return records.with_columns(negative=pl.Series(negatives, dtype=pl.String))


def others(mask: NDArray[np.bool_], seed: int, step: int = 1) -> NDArray[np.int64]:
    """Return for each item another one that has the same modalities; itself if there is none.

    Items of the same modalities stand in a circle in random order, and the other one is ``step``
    places on.

    Args:
        mask: bool ``[items, modalities]``.
        seed: seeds the order.
        step: how far, from 1; where the circle is smaller, it goes on at 1.
    """
    rng = np.random.default_rng(seed)
    found = np.arange(len(mask))
    for kind in np.unique(mask, axis=0):
        alike = rng.permutation(np.flatnonzero((mask == kind).all(1)))
        if len(alike) > 1:
            found[alike] = np.roll(alike, 1 + (step - 1) % (len(alike) - 1))
    return found


def _with_negatives_of(data: Dataset, records: pl.DataFrame, encoder: TextEncoder) -> ItemVectors:
    """Take the negatives of other records, as they are to be read, beside those recorded.

    A side of an item that the other records lack gets their mean negative or, where they lack the
    modality, the mean recorded one: either says nothing about the item.
    """
    vectors = data.vectors
    assert vectors is not None
    found = encode_records(data, records, encoder)
    completions = found.negative.shape[1]
    typical = without_negatives(vectors).negative[:, :1]
    negative = np.repeat(typical, completions, axis=1)  # [items, completions, modalities, d]
    for m, name in enumerate(vectors.modalities):
        if name in found.modalities:
            theirs = found.negative[:, :, found.modalities.index(name)]
            known = found.mask[:, found.modalities.index(name)]
            negative[:, :, m] = np.where(known[:, None, None], theirs, theirs[known].mean((0, 1)))
    negative.transpose(0, 2, 1, 3)[~vectors.mask] = 0
    return replace(vectors, negative=negative)

"""Data with descriptions and negatives, made if need be."""

from __future__ import annotations

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.encoding.store import encode_records
from neggen.encoding.text import TextEncoder
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.run import generate_records


def described(data: Dataset, *, seed: int, device: str) -> tuple[Dataset, ItemVectors]:
    """Return data with vectors, generating and encoding records if need be.

    Data without records get those of the model-free catalogue generator.

    Args:
        data: split, because the generator learns from the training part.
        seed: seeds the generator.
        device: where the text encoder runs.
    """
    vectors = data.vectors
    if vectors is None:
        records = data.records
        if records is None:
            records = generate_records(data, CatalogueBackend(data, seed=seed))
        vectors = encode_records(data, records, TextEncoder(device=device))
        data = data.replace(records=records, vectors=vectors)
    return data, vectors

"""What a data set gives to generation: the sides of its items that can be described."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import repeat
from pathlib import Path

from neggen.data.dataset import Dataset
from neggen.data.fingerprint import content_hash
from neggen.data.picture import UnreadablePicture, read_picture_file
from neggen.errors import NegGenError, nearest
from neggen.generation.records import MODALITIES, Modality
from neggen.generation.requests import ItemInput


def describable_sides(data: Dataset, names: Sequence[str] | None) -> dict[Modality, list[int]]:
    """Return the items that have each side, for the sides asked for or else all there are.

    Raises:
        NegGenError: For an unknown modality, or when no item has any side asked for.
    """
    for name in names or ():
        if name not in MODALITIES:
            raise NegGenError(
                f"There is no modality '{name}'; choose from {', '.join(MODALITIES)}."
                f"{nearest(name, MODALITIES)}"
            )
    chosen = [name for name in MODALITIES if names is None or name in names]
    sides = {name: items for name in chosen if (items := describable(data, name))}
    if not sides:
        raise NegGenError(
            f"No item has any {' or '.join(chosen)}, so there is nothing to describe; "
            "import the items with attribute columns or an image folder."
        )
    return sides


def describable(data: Dataset, modality: Modality) -> list[int]:
    """Return the internal indices of the items that have this side."""
    has = data.image_path if modality == "image" else data.item_text
    return [index for index in range(len(data.item_ids)) if has(index) is not None]


def side_hash(data: Dataset, modality: Modality) -> str:
    """Return a SHA-256 over this side of all items: their texts, or the bytes of their pictures.

    The order of the items, their interactions and the names of the files are not part of it.
    """
    columns = ["image_sha256"] if modality == "image" else data.text_columns
    side = data.item_table.select("item_id", *columns).sort("item_id")
    return content_hash({modality: side}, {})


def item_inputs(data: Dataset, sides: Mapping[Modality, Iterable[int]]) -> Iterator[ItemInput]:
    """Read the sides of items, one at a time, so that pictures never fill the memory.

    Args:
        data: the catalogue.
        sides: internal indices of items, ascending, by modality.

    Returns:
        The sides in the order of the catalogue, those of one item together.

    Raises:
        NegGenError: If a picture cannot be read any more.
    """
    together = heapq.merge(*(zip(indices, repeat(name)) for name, indices in sides.items()))
    for index, modality in together:
        item_id = str(data.item_ids[index])
        if modality == "text":
            yield ItemInput(item_id, modality, text=data.item_text(index))
        else:
            path = data.image_path(index)
            assert path is not None  # `sides` has only items with a picture
            yield ItemInput(item_id, modality, image=read_picture(path, item_id))


def read_picture(path: Path, item_id: str) -> bytes:
    """Return the bytes of an item's picture.

    Raises:
        NegGenError: If it is no plain file, too large, or cannot be read.
    """
    try:
        return read_picture_file(path)
    except UnreadablePicture as error:
        raise NegGenError(
            f"The picture {path} of item '{item_id}' cannot be read ({error}); put it back or "
            "import the source again."
        ) from None

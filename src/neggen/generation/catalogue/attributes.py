"""Which item has which value of which attribute."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix

Found = list[tuple[str, str]]
"""What one item has, as (slot, value) pairs such as ``("brand", "HP")``."""


@dataclass(frozen=True, eq=False)
class Attributes:
    """The values worth exchanging, and who has them.

    Attributes:
        slots: the kind of each value, such as ``color``. ``[values]``
        values: the values as they read in a sentence. ``[values]``
        membership: 1 where an item has a value, CSR ``[items, values]`` float32.
    """

    slots: tuple[str, ...]
    values: tuple[str, ...]
    membership: csr_matrix

    def of_item(self, item: int) -> list[int]:
        """Return the positions of an item's values."""
        start, end = self.membership.indptr[item : item + 2]
        return [int(value) for value in self.membership.indices[start:end]]


def collect_attributes(
    per_item: Sequence[Found], *, least_items: int, most_share: float, most_values: int
) -> Attributes:
    """Keep the values that recur without being everywhere.

    Args:
        per_item: what each item has. ``[items]``
        least_items: a value needs this many items, or its behavior cannot be told from chance.
        most_share: a value held by a larger share of the items distinguishes nothing.
        most_values: when more remain, the most frequent ones are kept.
    """
    counts = Counter(pair for found in per_item for pair in set(found))
    most_items = most_share * len(per_item)
    kept = [pair for pair, count in counts.items() if least_items <= count <= most_items]
    kept = sorted(sorted(kept), key=lambda pair: -counts[pair])[:most_values]
    position = {pair: index for index, pair in enumerate(kept)}
    rows, columns = [], []
    for item, found in enumerate(per_item):
        for pair in set(found):
            if pair in position:
                rows.append(item)
                columns.append(position[pair])
    membership = csr_matrix(
        (np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(len(per_item), len(kept))
    )
    membership.sort_indices()
    return Attributes(
        tuple(slot for slot, _ in kept), tuple(value for _, value in kept), membership
    )

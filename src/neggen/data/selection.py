"""Part of a data set: some interactions, and the users and items that still occur."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neggen.data.indexing import moved

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset


def selected(data: Dataset, keep: NDArray[np.bool_]) -> Dataset:
    """Keep some interactions, and the users and items that still occur; notes say what went."""
    users, new_users = np.unique(data.users[keep], return_inverse=True)
    items, new_items = np.unique(data.items[keep], return_inverse=True)
    user_moves = moved(users, len(data.user_ids))
    item_moves = moved(items, len(data.item_ids))
    test_sets, notes = {}, list(data.notes)
    for what, left, all_of_them in (
        ("users", users, data.user_ids),
        ("items", items, data.item_ids),
    ):
        if gone := len(all_of_them) - len(left):
            notes.append(f"Left out, as no interaction of theirs is kept: {gone:,} {what}.")
    for name, pairs in data.test_sets.items():
        new = np.stack([user_moves[pairs[:, 0]], item_moves[pairs[:, 1]]], axis=1)
        test_sets[name] = new[(new >= 0).all(axis=1)]
        if gone := len(new) - len(test_sets[name]):
            notes.append(f"Left out with them: {gone:,} of {len(new):,} pairs of '{name}'.")
    return data.replace(
        notes=tuple(notes),
        user_ids=data.user_ids[users],
        item_ids=data.item_ids[items],
        users=new_users.astype(np.int32),
        items=new_items.astype(np.int32),
        item_table=data.item_table[items],
        time=None if data.time is None else data.time[keep],
        given_parts=None if data.given_parts is None else data.given_parts[keep],
        parts=None,
        split_config=None,
        features={name: given.select(items) for name, given in data.features.items()},
        graphs={name: given.select(items, item_moves) for name, given in data.graphs.items()},
        test_sets=test_sets,
        records=None,
        vectors=None,
    )

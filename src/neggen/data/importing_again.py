"""What another import of a catalogue changes for what was made from the one before."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import compress

from neggen.data.attributes import texts_of
from neggen.data.dataset import Dataset
from neggen.data.indexing import positions
from neggen.data.store import load_items
from neggen.errors import NegGenError, quoted
from neggen.workspace import Workspace


def remarks_on_change(workspace: Workspace, data: Dataset, left_out: Sequence[str]) -> list[str]:
    """Return what is to be said before data take the place of those in a workspace.

    That is: which columns were left out before and are not now; and how many texts changed, if
    records were made of them.

    Args:
        workspace: the folder, which need not be a workspace yet, or may be damaged.
        data: what is imported.
        left_out: names of the columns that are left out of it.
    """
    try:
        before = workspace.manifest().get("left_out", [])
        held = load_items(workspace)
    except NegGenError:
        return []
    remarks = []
    taken = data.item_table.columns
    if back := [name for name in before if name in taken and name not in left_out]:
        there = [name for name in before if name in taken or name in left_out]
        again = " ".join(f"--leave-out {quoted(name)}" for name in there)
        remarks.append(
            f"The import before left out {', '.join(back)}, and this one does not; to leave out "
            f"the same: {again}"
        )
    if workspace.records_path.is_file():
        changed, both = changed_texts(held, data)
        if changed:
            remarks.append(
                f"The text of {changed:,} of {both:,} items changed, so that neggen generate asks "
                f"for them anew."
            )
    return remarks


def changed_texts(before: Dataset, after: Dataset) -> tuple[int, int]:
    """Return how many items have another text than before, and how many there were and still are.

    >>> from polars import DataFrame
    >>> one = Dataset.from_frames(None, DataFrame({"item_id": ["a", "b"], "title": ["x", "y"]}))
    >>> two = Dataset.from_frames(None, DataFrame({"item_id": ["b", "a"], "title": ["y", "z"]}))
    >>> changed_texts(one, two)
    (1, 2)
    """
    places = positions(after.item_ids, before.item_ids)  # [items after]
    known = places >= 0
    old = texts_of(before.item_table[places[known]])
    new = compress(texts_of(after.item_table), known)
    return sum(one != other for one, other in zip(old, new, strict=True)), int(known.sum())

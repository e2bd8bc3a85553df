"""A sparse matrix ``interactions.npz`` with ``users.txt`` and a table of items."""

from __future__ import annotations

from pathlib import Path

from scipy.sparse import save_npz

from neggen.data.dataset import Dataset
from neggen.data.writers.base import Writer, place_pictures_in
from neggen.errors import NegGenError


def write_matrix(data: Dataset, folder: Path, name: str) -> list[str]:
    """Write the matrix, 0/1 CSR ``[users, items]``, the ids of its rows and the items' table.

    Raises:
        NegGenError: If there is no interaction, or a user's id has a line break.
    """
    del name
    if not len(data.users):
        raise NegGenError("A matrix has interactions, and these data have none; take parquet.")
    users = data.user_ids
    broken = users.filter(users.str.contains(r"[\r\n]") | (users.str.strip_chars() != users))
    if len(broken):
        raise NegGenError(
            f"users.txt holds one id a line, without line breaks and blanks around it, which "
            f"{broken[0]!r} has; take parquet."
        )
    place_pictures_in(data, folder)
    save_npz(folder / "interactions.npz", data.everything)
    (folder / "users.txt").write_text("".join(f"{name}\n" for name in users), "utf-8")
    data.to_frames()[1].write_parquet(folder / "items.parquet")
    return []


MATRIX = Writer("matrix", frozenset({"attributes", "pictures", "order of users"}), write_matrix)

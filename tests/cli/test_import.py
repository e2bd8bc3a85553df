"""``neggen import``: how much of a log is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from conftest import Cli


def test_a_log_is_thinned_before_its_core_is_taken(cli: Cli, tmp_path: Path) -> None:
    log = [(user, item) for user in range(8) for item in range(6)] + [(9, 0)]
    (tmp_path / "source").mkdir()
    pl.DataFrame(log, schema=["user_id", "item_id"], orient="row").write_csv(
        tmp_path / "source" / "interactions.csv"
    )
    place = tmp_path / "w"
    thin = cli("import", tmp_path / "source", place, "--at-most", 3, "--json").json()
    assert (thin["users"], thin["interactions"]) == (9, 8 * 3 + 1)
    assert "very data already" in cli("import", tmp_path / "source", place, "--at-most", 3).err

    both = ("--at-most", 3, "--k-core", 2)
    core = cli("import", tmp_path / "source", tmp_path / "core", *both, "--json").json()
    assert (core["users"], core["interactions"]) == (8, 8 * 3)

    bad = cli("import", tmp_path / "source", tmp_path / "bad", "--at-most", 0)
    assert bad.code == 2
    assert "--at-most" in bad.remark()

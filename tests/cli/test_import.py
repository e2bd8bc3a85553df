"""``neggen import``: how much of a log is kept, and what of the items."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from neggen.data.readers import read_source
from neggen.data.store import load_dataset
from neggen.errors import NegGenError
from neggen.workspace import Workspace

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


ITEMS = {
    "item_id": ["a", "b", "c"],
    "title": ["Tea", "Cup", "Pot"],
    "stock": [5, 0, 7],
    "sku_id": [1, 2, 3],
}


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """A source with a column that changes every day."""
    folder = tmp_path / "shop"
    folder.mkdir()
    log = {"user_id": ["u", "u", "v"], "item_id": ["a", "b", "c"]}
    pl.DataFrame(log).write_csv(folder / "interactions.csv")
    pl.DataFrame(ITEMS).write_csv(folder / "items.csv")
    return folder


def test_columns_can_be_left_out(cli: Cli, shop: Path, tmp_path: Path) -> None:
    place = Workspace(tmp_path / "w")
    options = ("--leave-out", "stock", "--leave-out", "sku_id")
    told = cli("import", shop, place.path, *options, "--dry-run", "--json").json()
    assert told["item text"] == ["title"]
    assert told["other item columns"] == []
    ended = cli("import", shop, place.path, *options)
    assert ended.code == 0, ended.err
    assert "Left out of the items, as asked: stock, sku_id." in ended.remark()
    data = load_dataset(place)
    assert data.item_text(0) == "title: Tea"
    assert place.manifest()["left_out"] == ["stock", "sku_id"]
    assert data.content_hash == read_source(shop, leave_out=["sku_id", "stock"]).content_hash
    # The next day, nothing has changed that anybody is asked about.
    pl.DataFrame({**ITEMS, "stock": [4, 1, 7]}).write_csv(shop / "items.csv")
    assert "very data already" in cli("import", shop, place.path, *options).remark()
    again = cli("import", shop, place.path, "--overwrite", "--leave-out", "sku_id").remark()
    assert "before left out stock, and this one does not" in again
    assert "leave out the same: --leave-out stock --leave-out sku_id" in again


def test_a_column_to_leave_out_has_to_be_there(shop: Path) -> None:
    wrong = r"no column 'stok' to leave out, only title, stock, sku_id\. Did you mean 'stock'\?"
    with pytest.raises(NegGenError, match=wrong):
        read_source(shop, leave_out=["stok"])
    with pytest.raises(NegGenError, match="no column 'item_id' to leave out"):
        read_source(shop, leave_out=["item_id"])


def test_another_import_says_how_many_texts_changed(cli: Cli, shop: Path, tmp_path: Path) -> None:
    place = tmp_path / "w"
    assert cli("import", shop, place).code == 0
    pl.DataFrame({**ITEMS, "stock": [4, 0, 8]}).write_csv(shop / "items.csv")
    assert "changed" not in cli("import", shop, place, "--dry-run").remark(), "nothing was written"
    Workspace(place).records_path.touch()
    for options in (["--dry-run"], ["--overwrite"]):
        told = cli("import", shop, place, *options).remark()
        assert "The text of 2 of 3 items changed, so that neggen generate asks" in told
    assert "changed" not in cli("import", shop, place, "--overwrite").remark()

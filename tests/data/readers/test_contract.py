"""Every reader keeps the contract that those of other packages are held to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from neggen.data.readers import READERS, Reader
from neggen.testing import ReaderContract

Write = Callable[[Path], Path]


def mmrec(folder: Path) -> Path:
    (folder / "x.inter").write_text("userID\titemID\tx_label\n0\t0\t0\n0\t1\t1\n1\t2\t0\n1\t0\t2\n")
    np.save(folder / "image_feat.npy", np.eye(3, dtype=np.float32))
    return folder


def tables(folder: Path) -> Path:
    (folder / "interactions.csv").write_text("user_id,item_id,timestamp\nu1,a,1\nu1,b,2\nu2,a,3\n")
    (folder / "items.csv").write_text("item_id,title\na,Mug\nb,Pot\n")
    return folder


class Layouts(ReaderContract):
    """The layouts that a reader reads; a subclass names it."""

    name: str
    write: Write

    def reader(self) -> Reader:
        return READERS.find(self.name)()

    def source(self, folder: Path) -> Path:
        return self.write(folder)


def test_no_reader_is_forgotten() -> None:
    assert {cls.name for cls in Layouts.__subclasses__()} == set(READERS.built_in)


class TestAmazon(Layouts):
    name = "amazon"

    @pytest.fixture(
        autouse=True, params=["amazon_2014", "amazon_2018", "amazon_2023", "amazon_parquet"]
    )
    def of(self, request: pytest.FixtureRequest, layouts: dict[str, Write]) -> None:
        self.write = layouts[request.param]


class TestMovieLens(Layouts):
    name = "movielens"

    @pytest.fixture(autouse=True, params=["ml_100k", "ml_1m", "ml_csv"])
    def of(self, request: pytest.FixtureRequest, layouts: dict[str, Write]) -> None:
        self.write = layouts[request.param]


class TestRecBole(Layouts):
    name = "recbole"

    @pytest.fixture(autouse=True)
    def of(self, layouts: dict[str, Write]) -> None:
        self.write = layouts["recbole"]


class TestMatrix(Layouts):
    name = "matrix"

    @pytest.fixture(autouse=True)
    def of(self, layouts: dict[str, Write]) -> None:
        self.write = layouts["matrix"]


class TestMMRec(Layouts):
    name = "mmrec"
    write = staticmethod(mmrec)


class TestTables(Layouts):
    name = "tables"
    write = staticmethod(tables)

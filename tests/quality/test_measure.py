"""A whole workspace measured: files, figures, worst items, and the filter's effect."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import save_dataset
from neggen.encoding.store import encode
from neggen.errors import NegGenError
from neggen.generation.records import SCHEMA, fill
from neggen.quality.measure import measure_quality, worst_records
from neggen.runs import Run, train_run
from neggen.workspace import Workspace

PAIRS = 6
FALSE = (1, 4, 11)
"""Items whose negative is planted as the description of the item used with them."""


class Axes:
    """An encoder with an axis for every word: texts with no common word have cosine 0."""

    name, fingerprint = "axes", "a" * 64

    def __init__(self) -> None:
        self.words: dict[str, int] = {}

    def encode(self, texts, on_progress=None):
        vectors = np.zeros((len(texts), 512), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, self.words.setdefault(word, len(self.words))] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def row(item: int, value: str, replacement: str) -> dict:
    template = "[MASK] item"
    return {
        "item_id": f"i{item}",
        "modality": "text",
        "completion": 0,
        "description": fill(template, (value,)),
        "template": template,
        "values": [value],
        "replacements": [replacement],
        "negative": fill(template, (replacement,)),
        "generator": "test",
    }


def plant(folder: Path, users_of_both=range(6), **changed: str) -> Workspace:
    """Items 2p and 2p + 1 are used together; the negatives of FALSE describe the other one.

    Of the six users of a pair, those not in ``users_of_both`` use one of the two. ``changed`` gives
    items other replacements.
    """
    rows = [
        row(item, f"kind{item} sort{item}", changed.get(f"i{item}", f"other{item} else{item}"))
        for item in range(2 * PAIRS)
    ]
    for item in FALSE:
        rows[item] = row(item, f"kind{item} sort{item}", f"kind{item ^ 1} new{item}")
    pairs = [
        (6 * p + u, 2 * p + i)
        for p in range(PAIRS)
        for u in range(6)
        for i in (0, 1)
        if u in users_of_both or i == u // 2 % 2
    ]
    log = pl.DataFrame(
        {"user_id": [f"u{u}" for u, _ in pairs], "item_id": [f"i{i}" for _, i in pairs]}
    ).with_columns(part=pl.lit("train"))
    rest = pl.DataFrame(
        {"user_id": ["u0", "u1"], "item_id": ["i7", "i8"], "part": ["valid", "test"]}
    )
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(2 * PAIRS)]})
    workspace = Workspace(folder)
    data = Dataset.from_frames(pl.concat([log, rest]), items)
    save_dataset(workspace, data, source="test")
    records = pl.DataFrame(rows, schema=SCHEMA)
    records.write_parquet(workspace.records_path)
    encode(workspace, data, records, Axes())
    return workspace


@pytest.fixture
def planted(tmp_path: Path) -> Workspace:
    return plant(tmp_path / "planted")


def test_the_planted_faults_are_the_worst_items(planted: Workspace) -> None:
    summary = measure_quality(planted, encoder=Axes())
    table = pl.read_parquet(planted.quality_dir / "items.parquet")
    assert len(table) == summary["records"] == summary["items"] == 2 * PAIRS
    worst = table.head(len(FALSE))
    assert sorted(worst["item_id"]) == sorted(f"i{item}" for item in FALSE)
    assert worst["false_negative"].all()
    assert worst["why"].str.contains("fits what its users like").all()
    assert not table["false_negative"][len(FALSE) :].any()
    assert table["badness"].is_sorted(descending=True)
    share = len(FALSE) / (2 * PAIRS)
    assert summary["filter"]["text"]["dropped"] == pytest.approx(share)
    assert summary["measures"]["all"]["false_negatives"] == pytest.approx(share)
    assert summary["preference"]["text"]["closer_share"] == pytest.approx(share)
    texts = worst_records(planted, 3)
    assert texts["item_id"].to_list() == worst["item_id"].to_list()
    assert texts["negative"].str.contains("kind").all()


def test_half_of_the_users_find_them_and_the_others_see_the_gain(planted: Workspace) -> None:
    found = measure_quality(planted, encoder=Axes())["filter"]["text"]
    assert found["dropped_by_half"] == pytest.approx(found["dropped"])
    assert found["closer_share_before"] == pytest.approx(found["dropped"])
    assert found["closer_share_after"] == 0
    # The three pairs have the highest cosine; each item has one companion among the 11 others.
    assert found["top_lift_before"] == pytest.approx(11)
    assert found["top_lift_after"] is None


def test_the_users_who_decide_are_not_those_who_tell(tmp_path: Path) -> None:
    """Only every second user uses both items of a pair, so the others know of no pair."""
    deciding = measure_quality(plant(tmp_path / "even", (0, 2, 4)), encoder=Axes())["filter"][
        "text"
    ]
    assert deciding["dropped_by_half"] == pytest.approx(len(FALSE) / (2 * PAIRS))
    assert deciding["closer_share_before"] is None
    telling = measure_quality(plant(tmp_path / "odd", (1, 3, 5)), encoder=Axes())["filter"]["text"]
    assert telling["dropped_by_half"] == 0
    assert telling["closer_share_before"] == pytest.approx(len(FALSE) / (2 * PAIRS))


def test_among_those_without_a_fault_the_least_different_is_worst(tmp_path: Path) -> None:
    workspace = plant(tmp_path / "w", i6="kind6 else6")
    measure_quality(workspace, encoder=Axes())
    table = pl.read_parquet(workspace.quality_dir / "items.parquet")
    assert table["item_id"][len(FALSE)] == "i6"
    assert table["why"][len(FALSE)] == "differs less than most"
    assert table["contrast"][len(FALSE)] == pytest.approx(1 / 3)


def test_the_figures_of_vectors(planted: Workspace) -> None:
    figures = measure_quality(planted, encoder=Axes())["measures"]["text"]
    table = pl.read_parquet(planted.quality_dir / "items.parquet")
    # Of three words each, description and negative share one, "item".
    assert np.allclose(table["contrast"], 2 / 3)
    assert np.allclose(table["distance"], (4 / 3) ** 0.5)
    assert figures["contrast"] == pytest.approx(2 / 3)
    assert figures["cohesion_of_descriptions"] == pytest.approx(1 / 3)
    # The nearest ten of a false negative: one shares two words of three, nine share one.
    false = table.filter("false_negative")["cohesion"]
    assert np.allclose(false, (2 / 3 + 9 * 1 / 3) / 10)
    assert (figures["slots"], figures["unchanged"], figures["duplicates"]) == (1, 1, 0)
    assert figures["context_share"] == pytest.approx(1 / 3)
    assert figures["synonym_share"] == 0
    assert np.allclose(table["balance"], 1)


def test_the_files(planted: Workspace) -> None:
    summary = measure_quality(planted, encoder=Axes())
    assert json.loads((planted.quality_dir / "summary.json").read_text("utf-8")) == summary
    assert summary["run"] is None
    assert summary["hardness"] is None
    assert summary["diversity"] is None
    assert summary["split"] == "given"
    plots = sorted(path.name for path in planted.quality_dir.glob("*.png"))
    assert plots == ["distances.png", "lift.png"]
    for name in plots:
        with Image.open(planted.quality_dir / name) as picture:
            assert len(np.unique(np.asarray(picture.convert("L")))) > 20, "not a blank picture"


def lightgcn(workspace: Workspace, split: str = "random") -> Run:
    return train_run(
        workspace, "lightgcn", {"epochs": 1, "dim": 4}, SplitConfig.build({"kind": split})
    )


def test_a_run_is_measured(ready: Workspace) -> None:
    popularity = train_run(ready, "popularity", {}, SplitConfig.build({}))
    run = lightgcn(ready)
    summary = measure_quality(ready, encoder=Axes())
    assert summary["run"] == run.folder.name
    assert set(summary["hardness"]["by_sampler"]) == {
        "uniform", "dns", "mixgcf", "generated", "alike",
    }  # fmt: skip
    assert 0 < summary["diversity"]["coverage@20"] <= 1
    assert (ready.quality_dir / "hardness.png").is_file()
    hardness = pl.read_parquet(ready.quality_dir / "items.parquet")["hardness"]
    assert hardness.drop_nulls().is_between(0, 1, closed="none").all()

    without = measure_quality(ready, popularity, encoder=Axes())
    assert without["hardness"] is None
    assert 0 < without["diversity"]["novelty@20"] < summary["diversity"]["novelty@20"]
    assert not (ready.quality_dir / "hardness.png").exists(), "a plot of another run is misleading"


def test_only_the_runs_training_interactions_count(planted: Workspace) -> None:
    """In the split of the run, half of the pairs were held out, so that no item has a companion."""
    run = lightgcn(planted, split="cold-items")
    summary = measure_quality(planted, run, encoder=Axes())
    assert summary["split"] == "cold-items-0"
    train = run.load_data().train
    together = (train.T @ train).toarray()
    np.fill_diagonal(together, 0)
    table = pl.read_parquet(planted.quality_dir / "items.parquet").sort("item_id")
    order = {f"i{item}": item for item in range(2 * PAIRS)}
    told = [together[order[name]].sum() > 0 for name in table["item_id"]]
    assert table["closer_share"].is_not_null().to_list() == told


def test_another_workspaces_run_is_refused(planted: Workspace, ready: Workspace) -> None:
    with pytest.raises(NegGenError, match="is not a run of"):
        measure_quality(planted, lightgcn(ready), encoder=Axes())


def test_worst_records_before_measuring(planted: Workspace) -> None:
    with pytest.raises(NegGenError, match="neggen quality"):
        worst_records(planted, 3)

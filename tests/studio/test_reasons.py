"""Reasons under recommended items: the strongest of the explanation, or why there are none."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import polars as pl
import pytest

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset, save_dataset
from neggen.encoding.store import encode
from neggen.encoding.text import TextEncoder
from neggen.generation.record_files import read_records
from neggen.generation.records import Record, fill, records_frame
from neggen.models.reasons import LEAST_SHARE, REASONS, Reason, strongest_reasons
from neggen.runs import Run, train_run
from neggen.workspace import Workspace, read_toml, write_toml

EVIL = "<script>evil()</script><b onclick=evil()>"
USER = f"user 1 {EVIL}"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of hostile texts with a NegGen run; odd users like odd items."""
    workspace = Workspace(tmp_path_factory.mktemp("told") / "w")
    pairs = [(u, i) for u in range(16) for i in range(u % 2, 40, 2) if (u * i + i + u) % 3]
    log = pl.DataFrame(
        {"user_id": [f"user {u} {EVIL}" for u, _ in pairs], "item_id": [f"i{i}" for _, i in pairs]}
    )
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(40)]})
    save_dataset(workspace, Dataset.from_frames(log, items), source="test")
    records = []
    for item in range(40):
        kinds = ("wool sock", "tin can") if item % 2 else ("tin can", "wool sock")
        values, replacements = (
            [f"{kind} {EVIL}", size] for kind, size in zip(kinds, "ab", strict=True)
        )
        template = "A [MASK] of size [MASK]."
        description, negative = (fill(template, tuple(each)) for each in (values, replacements))
        records.append(
            Record(
                item_id=f"i{item}", modality="text", description=description, template=template,
                values=tuple(values), replacements=tuple(replacements), negative=negative,
            )
        )  # fmt: skip
    records_frame(records, "test").write_parquet(workspace.records_path)
    data = load_dataset(workspace, SplitConfig.build({}))
    encode(workspace, data, read_records(workspace.records_path), TextEncoder())
    settings = {"epochs": 2, "dim": 8, "heads": 2, "effect_weights": (1.0,), "backbone": "ease"}
    train_run(workspace, "neggen", settings, SplitConfig.build({}), name="why")
    return workspace.path


def test_reasons_stand_under_the_items_of_models_that_have_some(told, page_of, runs_of, tmp_path):
    workspace = Workspace.open(told)
    page, html = page_of(workspace, runs_of(workspace), tmp_path / "r.html")
    assert page.values("class").count("because") > 10
    reasons = re.findall(r'<li><bdi>(.+?)</bdi> <b class="up">\+([^<]+)</b>', html)
    assert len(reasons) > 10
    assert {value.split(" &lt;")[0] for value, _ in reasons} <= {"wool sock", "tin can", "a"}
    assert all(float(contribution) > 0 for _, contribution in reasons)
    assert "what its score by descriptions would lose" in page.text
    assert "is not shown" not in page.text
    # Markup of strangers stays text.
    assert not any(tag == "script" for tag, _ in page.elements)
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    only_ease = [run for run in runs_of(workspace) if run.folder.name != "why"]
    assert only_ease
    page, _ = page_of(workspace, only_ease, tmp_path / "r.html")
    assert "because" not in page.values("class")
    assert "by descriptions would lose" not in page.text


def test_the_report_says_why_there_are_no_reasons(told, page_of, runs_of, tmp_path):
    place = Workspace.open(shutil.copytree(told, tmp_path / "w"))
    shutil.rmtree(place.path / "studies", ignore_errors=True)  # vectors of an earlier report
    manifest = place.vectors_dir / "manifest.toml"
    written = read_toml(manifest)
    write_toml(manifest, {**written, "encoder": "not-here"})
    page, _ = page_of(place, runs_of(place))
    assert page.text.count("Why NegGen recommends these is not shown: The encoder 'not-here'") == 1
    assert "because" not in page.values("class")
    write_toml(manifest, written)
    run = Run.open(place.runs_dir / "why")
    write_toml(run.manifest_path, {**run.manifest, "vectors_hash": "other"})
    page, _ = page_of(place, runs_of(place))
    assert "have changed since" in page.text


def test_the_strongest_reasons_are_few_positive_and_told_once():
    rows = [("i", "text", "wood", 3.0, 0.4), ("i", "image", "wood", 2.0, 0.3),
            ("i", "image", "red", 1.0, 0.2), ("i", "text", "big", 0.5, 0.06),
            ("i", "text", "old", 0.4, 0.05), ("j", "text", "red", -1.0, -1.0),
            ("k", "text", "red", 0.9, 0.95), ("k", "text", "big", 0.049, 0.049)]  # fmt: skip
    names = ["item_id", "modality", "value", "contribution", "share"]
    explained = pl.DataFrame(rows, names, orient="row").with_columns(user_id=pl.lit("u"))
    assert strongest_reasons(explained) == {
        ("u", "i"): (
            Reason("wood", "text", 3.0), Reason("red", "image", 1.0), Reason("big", "text", 0.5)
        ),
        ("u", "k"): (Reason("red", "text", 0.9),),
    }  # fmt: skip
    assert REASONS == 3
    assert LEAST_SHARE == 0.05

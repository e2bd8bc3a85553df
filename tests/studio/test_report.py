"""The page as a whole: complete, self-contained, safe with anything in it."""

from __future__ import annotations

import re
import shutil

import numpy as np
import polars as pl
import pytest

from neggen.config import SplitConfig
from neggen.data.store import load_dataset
from neggen.errors import NegGenError
from neggen.generation.records import Record, records_frame
from neggen.runs import train_run, with_vectors
from neggen.studio.report import write_report
from neggen.workspace import Workspace, read_toml, write_toml


@pytest.fixture(scope="module")
def whole(finished, runs_of, page_of, tmp_path_factory):
    workspace = Workspace.open(finished)
    path = tmp_path_factory.mktemp("report") / "report.html"
    return page_of(workspace, runs_of(workspace), path)


def test_every_section_is_there(whole):
    page, _ = whole
    for words in (
        "The idea, on one item",
        "Which model finds",
        "How they learned",
        "What was written about the items",
        "What they would recommend",
        "The same again",
        "No language model was used.",
        "shifted",
        "LightGCN",
        "mean of 2 runs",
        "This item has no picture",
        "neggen train",
        "--set dim=8",
    ):
        assert words in page.text
    assert len(page.values("src")) > 12


def test_it_needs_nothing_from_outside(whole):
    page, html = whole
    assert re.search(r"https?:|//[a-z]|@import", re.sub(r'"data:[^"]*"', "", html)) is None
    assert all(source.startswith("data:image/webp;base64,") for source in page.values("src"))
    assert all(link.startswith("#") for link in page.values("href"))
    assert {"script", "link", "iframe", "object"}.isdisjoint(tag for tag, _ in page.elements)
    policy = [attrs["content"] for _, attrs in page.elements if "http-equiv" in attrs]
    assert policy[0].startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
    assert len(html) < 3_000_000


def test_ids_are_unique_and_every_reference_has_one(whole):
    page, html = whole
    ids = page.values("id")
    assert len(ids) == len(set(ids))
    wanted = [*re.findall(r"url\(#([^)]+)\)", html), *(link[1:] for link in page.values("href"))]
    assert wanted
    assert set(wanted) | set(page.values("aria-labelledby")) <= set(ids)


def test_every_picture_has_words(whole):
    page, _ = whole
    for tag, attrs in page.elements:
        if tag == "img":
            assert attrs["alt"]
        if attrs.get("role") == "img":
            assert attrs["aria-label"]


def test_the_same_call_gives_the_same_page(workspace, page_of, runs_of):
    def html(seed: int) -> str:
        return page_of(workspace, runs_of(workspace), cards=3, users=1, seed=seed)[1]

    assert html(3) == html(3)
    assert html(3) != html(4)


def test_as_many_cards_and_users_as_asked_for(workspace, page_of, runs_of):
    page, _ = page_of(workspace, runs_of(workspace), cards=5, users=2)
    articles = [attrs.get("class") for tag, attrs in page.elements if tag == "article"]
    assert articles == [None] * 5 + ["user"] * 2


def test_an_imported_catalogue_alone(workspace, page_of):
    workspace.records_path.unlink()
    shutil.rmtree(workspace.vectors_dir)
    page, _ = page_of(workspace, [])
    assert "Nothing has been generated yet" in page.text
    assert "No run yet" in page.text
    assert "No language model" not in page.text


def test_an_encoding_that_was_cut_short_is_none(workspace, page_of):
    for path in workspace.vectors_dir.iterdir():
        path.unlink()  # the folder is made before anything is in it
    page, _ = page_of(workspace, [], cards=3, users=0)
    assert "What was written about the items" in page.text
    assert "neggen encode" not in page.text


def test_records_without_vectors_have_no_contrast(workspace, page_of):
    shutil.rmtree(workspace.vectors_dir)
    page, html = page_of(workspace, [])
    assert "context kept" in page.text
    assert "Contrast" not in page.text
    assert "<dt>contrast</dt>" not in html


def test_one_run_without_metrics(workspace, page_of, runs_of):
    run = next(run for run in runs_of(workspace) if run.manifest["model"] == "ease")
    run.metrics_path.unlink()
    page, _ = page_of(workspace, [run])
    assert "No run has been evaluated yet" in page.text
    assert "How they learned" not in page.text
    assert "What they would recommend" in page.text


def test_one_evaluated_run(workspace, page_of, runs_of):
    page, _ = page_of(workspace, runs_of(workspace)[:1])
    assert "there is no other run to compare" in page.text


def test_a_language_model_is_named(workspace, page_of):
    records = pl.read_parquet(workspace.records_path)
    named = records.with_columns(generator=pl.lit("openai-compatible: Qwen3-VL-8B"))
    named.write_parquet(workspace.records_path)
    page, _ = page_of(workspace, [])
    assert "written by openai-compatible: Qwen3-VL-8B" in page.text
    assert "neggen generate" in page.text
    assert "No language model" not in page.text


def test_runs_of_earlier_descriptions_are_named(workspace, page_of, runs_of):
    told = "learned from other descriptions than are shown here"
    run, *_ = runs_of(workspace)
    held = with_vectors(workspace, load_dataset(workspace)).vectors.content_hash
    write_toml(run.manifest_path, {**run.manifest, "vectors_hash": held})
    page, _ = page_of(workspace, runs_of(workspace))
    assert told not in page.text
    write_toml(run.manifest_path, {**run.manifest, "vectors_hash": "other"})
    page, _ = page_of(workspace, runs_of(workspace))
    assert page.text.count(told) == 1
    assert f"The run {run.folder.name} {told}." in page.text


def test_runs_that_cannot_be_shown_are_left_out_and_named(workspace, page_of, runs_of):
    of_model = {run.manifest["model"]: run for run in runs_of(workspace)}
    first, second = [run for run in runs_of(workspace) if run.manifest["model"] == "lightgcn"]

    def change(run, **changes):
        write_toml(run.manifest_path, {**read_toml(run.manifest_path), **changes})

    change(of_model["ease"], content_hash="other")
    change(of_model["popularity"], model="of-a-plugin")
    change(first, settings={**first.manifest["settings"], "sampler": {"name": "of-a-plugin"}})
    page, _ = page_of(workspace, runs_of(workspace))
    assert "EASE" not in page.text
    assert f"The run {of_model['ease'].folder.name} is left out: " in page.text
    assert "was trained on other data" in page.text
    assert "train again with --overwrite" in page.text
    assert "There is no model 'of-a-plugin'" in page.text
    assert f"The run {first.folder.name} is left out: There is no sampler" in page.text
    assert second.folder.name in page.text
    assert "What they would recommend" in page.text

    weights = second.model_dir / "model.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    page, _ = page_of(workspace, runs_of(workspace))
    assert f"The run {second.folder.name} is left out: {second.model_dir} cannot be" in page.text
    weights.write_bytes(whole)

    second.history_path.write_text("[]", encoding="utf-8")
    left_out = write_report(workspace, runs_of(workspace), workspace.path / "report.html")
    assert list(left_out) == [run.folder.name for run in runs_of(workspace)]
    assert "history.json cannot be read" in left_out[second.folder.name]
    page, _ = page_of(workspace, runs_of(workspace))
    assert "No run can be shown." in page.text
    assert "No run yet" not in page.text


def test_old_vectors_are_refused(workspace):
    record = Record(
        item_id="p00000", modality="text", description="A new thing.", template="A [MASK] thing.",
        values=("new",), replacements=("old",), negative="A old thing.",
    )  # fmt: skip
    records_frame([record], "by hand").write_parquet(workspace.records_path)
    with pytest.raises(NegGenError, match="run: neggen encode"):
        write_report(workspace, [], workspace.path / "report.html")


def test_a_report_that_cannot_be_written(workspace):
    with pytest.raises(NegGenError, match="choose another file"):
        write_report(workspace, [], workspace.runs_dir)
    with pytest.raises(NegGenError, match="cards = -1"):
        write_report(workspace, [], workspace.path / "report.html", cards=-1)


def test_a_catalogue_without_pictures(tmp_path, build_workspace, page_of):
    rng = np.random.default_rng(0)
    colors = ["red", "blue", "green", "black"]
    items = pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(24)],
            "title": [f"A {colors[item % 4]} {['cup', 'bag'][item % 2]}" for item in range(24)],
            "color": [colors[item % 4] for item in range(24)],
        }
    )
    pairs = [(u, i) for u in range(16) for i in rng.permutation(24)[:8]]
    log = pl.DataFrame(
        {"user_id": [f"u{u}" for u, _ in pairs], "item_id": [f"i{i}" for _, i in pairs]}
    )
    workspace = build_workspace(tmp_path / "plain", items, log, None)
    run = train_run(workspace, "ease", {}, SplitConfig.build({}))
    page, _ = page_of(workspace, [run])
    assert page.values("src") == []
    assert "This item has no picture" in page.text
    assert load_dataset(workspace).item_table["image"].null_count() == 24

"""Whatever a stranger wrote into a catalogue, an answer or a name stays text."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import polars as pl
import pytest

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import save_dataset
from neggen.generation.records import Record, records_frame
from neggen.runs import evaluate_run, train_run
from neggen.workspace import Workspace

EVIL = "\"'><script>document.documentElement.dataset.ran=1</script><img src=x onerror=evil()>"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def hostile(tmp_path: Path) -> Workspace:
    """Markup in every text that a stranger could have written."""
    pairs = [(user, item) for user in range(12) for item in range(20) if (user * item + item) % 3]
    log = pl.DataFrame(
        {
            "user_id": [f"user {user} {EVIL}" for user, _ in pairs],
            "item_id": [f"item {item} {EVIL}" for _, item in pairs],
        }
    )
    items = pl.DataFrame(
        {
            "item_id": [f"item {item} {EVIL}" for item in range(20)],
            "title": [f"title {item} {EVIL}" for item in range(20)],
        }
    )
    workspace = Workspace(tmp_path / "<b onclick=evil()>")
    data = Dataset.from_frames(log, items)
    save_dataset(workspace, data.replace(notes=(EVIL,)), source=EVIL)
    records = [
        Record(
            item_id=item_id, modality="text", description=f"{EVIL} {EVIL}.",
            template=f"[MASK] {EVIL}.", values=(EVIL,), replacements=(f"no {EVIL}",),
            negative=f"no {EVIL} {EVIL}.",
        )
        for item_id in data.item_ids
    ]  # fmt: skip
    records_frame(records, EVIL).write_parquet(workspace.records_path)
    run = train_run(workspace, "lightgcn", {"epochs": 1, "dim": 4}, SplitConfig.build({}))
    evaluate_run(run)
    name = "<script>document.documentElement.dataset.ran=1<x onload=evil()>"
    run.folder.rename(workspace.runs_dir / name)
    return workspace


def test_strange_texts_are_shown_and_never_become_markup(hostile, page_of, runs_of):
    page, html = page_of(hostile, runs_of(hostile))
    assert page.text.count("<script>") > 40
    assert not any(tag in ("script", "x") for tag, _ in page.elements)
    assert not any(tag == "b" and "class" not in attrs for tag, attrs in page.elements)
    assert not any(name.startswith("on") for _, attrs in page.elements for name in attrs)
    assert html.count("onerror=evil()>") == 0


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_nothing_runs_in_a_browser(hostile, tmp_path, page_of, runs_of):
    def ran(path: Path) -> bool:
        command = [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic",
            "--no-first-run", "--disable-background-networking", "--disable-component-update",
            "--disable-sync", f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom",
            path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "</html>" in done.stdout
        return 'data-ran="1"' in done.stdout.partition("<head")[0]

    safe = hostile.path / "report.html"
    _, html = page_of(hostile, runs_of(hostile), safe)
    broken = tmp_path / "broken.html"
    broken.write_text(html.replace("</main>", f"{EVIL}</main>"))
    unsafe = tmp_path / "unsafe.html"
    unsafe.write_text(f"<!doctype html><html><head></head><body>{EVIL}</body></html>")
    assert ran(unsafe), "the browser runs no scripts at all, so this test would prove nothing"
    assert not ran(safe)
    assert not ran(broken), "the content security policy should stop what was not escaped"

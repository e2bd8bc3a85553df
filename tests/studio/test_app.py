"""The review app in a real browser, served by the real command; then encode and train see it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

import neggen
from neggen.cli import main
from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.data.store import load_dataset, save_dataset
from neggen.encoding.store import encode
from neggen.encoding.text import TextEncoder
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.journal.reviews import read_reviews
from neggen.generation.record_files import read_records
from neggen.generation.records import Record, records_frame
from neggen.generation.run import generate
from neggen.runs import evaluate_run, train_run, with_vectors
from neggen.workspace import Workspace

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ENVIRONMENT = {
    **{name: value for name, value in os.environ.items() if not name.startswith("NEGGEN_")},
    "PYTHONPATH": str(Path(neggen.__file__).parents[1]),
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
}
TOKEN = "a-token-of-some-length"
EVIL = '<script>document.documentElement.dataset.ran=1</script><img src=x onerror="document.documentElement.dataset.ran=2">${document.documentElement.dataset.ran=3}'  # noqa: E501
expect.set_options(timeout=30_000)  # the machine may be busy
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="module")
def studio() -> Iterator[Callable[..., str]]:
    """Start the command on a workspace; returns the address it tells."""
    processes: list[subprocess.Popen[str]] = []

    def start(workspace: Workspace, *options: str) -> str:
        process = subprocess.Popen(
            [sys.executable, "-m", "neggen.cli", "studio", str(workspace.path), "--port", "0",
             "--reviewer", "Ann", *options],
            stderr=subprocess.PIPE, text=True, env=ENVIRONMENT,
        )  # fmt: skip
        processes.append(process)
        assert process.stderr is not None
        said = ""
        for line in process.stderr:
            said += line
            if found := re.search(r"is at (http://\S+);", line):
                return found[1]
        pytest.fail(f"the studio ended: {said}")

    yield start
    for process in processes:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=120)
        assert process.returncode in (0, 130)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """The built-in shop with pictures, generated and encoded."""
    folder = tmp_path_factory.mktemp("studio")
    made = make_shop(56, 40)
    made.draw(folder / "pictures")
    workspace = Workspace(folder / "shop")
    data = Dataset.from_frames(made.interactions, made.items, image_dir=folder / "pictures")
    save_dataset(workspace, data, source="the built-in shop")
    data = load_dataset(workspace, SplitConfig.build({}))
    generate(workspace, data, CatalogueBackend(data))
    encode(workspace, data, read_records(workspace.records_path), TextEncoder())
    return workspace


def opened(browser: Browser, address: str) -> tuple[Page, list[str]]:
    """A page of the app, and every address that it asks for."""
    page = browser.new_page(viewport={"width": 1280, "height": 800})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    return page, asked


def neggen_command(*arguments: object) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "neggen.cli", *map(str, arguments), "--json"],
        capture_output=True, text=True, timeout=300, env=ENVIRONMENT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    told: dict[str, object] = json.loads(done.stdout)
    return told


def test_what_is_reviewed_in_the_browser_is_encoded_and_trained_on(browser, studio, shop) -> None:
    data = load_dataset(shop)
    before = with_vectors(shop, data).vectors
    records = read_records(shop.records_path)

    page, asked = opened(browser, studio(shop))
    message, badge = page.locator("#message .message"), page.locator(".ng.card .badge")
    shown = page.locator(".ng.card .id")
    expect(page.locator("#place")).to_contain_text(f"1 of {len(records)}, worst first")
    worst = pl.read_parquet(shop.quality_dir / "items.parquet").head(2)
    expect(shown).to_have_text(worst["item_id"][0])
    expect(page.locator(".ng.card img")).to_have_attribute("src", re.compile("^data:image/webp"))
    expect(page.locator(".ng.card mark.not").first).to_be_visible()

    replacements = page.locator("#replacements textarea")
    right = replacements.input_value()
    replacements.fill("one\none\none")
    page.get_by_role("button", name="Save edit").click()
    expect(message).to_have_class(re.compile("failed"))
    expect(replacements).to_have_value("one\none\none")
    assert read_reviews(shop.journal_path) == []
    replacements.fill(right.replace(right.splitlines()[0], "a velvet curtain", 1))
    replacements.press("Control+Enter")
    expect(message).to_have_text("Saved.")
    expect(badge).to_have_text("edited")
    expect(page.locator(".ng.card")).to_contain_text("a velvet curtain")
    replacements.press("Escape")

    page.keyboard.press("j")
    expect(badge).to_have_text("open")
    rejected = shown.inner_text(), page.locator(".ng.card .soft").first.inner_text()
    page.keyboard.press("r")
    expect(message).to_contain_text("Rejected")
    expect(page.locator("#place")).to_contain_text(f"of {len(records) - 2}")
    page.keyboard.press("a")
    expect(message).to_have_text("Approved.")
    page.keyboard.press("g")
    expect(message).not_to_contain_text("Asking", timeout=60_000)

    page.get_by_role("tab", name="Audit trail").click()
    rows = page.locator(".ng.trail tbody tr")
    expect(rows.last).to_contain_text("Ann")
    expect(rows.last).to_contain_text("a velvet curtain")
    page.locator(".ng.trail button.link").last.click()
    expect(shown).to_have_text(worst["item_id"][0])
    expect(badge).to_have_text("edited")

    page.get_by_role("tab", name="Browse").click()
    expect(page.locator("#found")).to_contain_text("of ")
    page.locator("#search input, #search textarea").fill("velvet curtain")
    page.locator("#search input, #search textarea").press("Enter")
    expect(page.locator("#found")).to_contain_text("1–1 of 1")
    page.get_by_role("button", name="Review", exact=False).last.click()
    expect(badge).to_have_text("edited")
    page.get_by_role("tab", name="Compare runs").click()
    expect(page.locator("#compare-message")).to_contain_text("Two runs are needed")
    outside = [url for url in asked if not url.startswith((page.url, "data:", "blob:"))]
    assert outside == []
    page.close()

    trail = [(review.action, review.key[0]) for review in read_reviews(shop.journal_path)]
    assert trail[:2] == [("edit", worst["item_id"][0]), ("reject", rejected[0])]
    changed = len(set(read_records(shop.records_path)["negative"]) - set(records["negative"]))
    told = neggen_command("encode", shop.path)
    assert 1 <= told["encoded"] <= 2 * changed
    after = with_vectors(shop, data).vectors
    assert before is not None
    assert after is not None
    modality = {"picture": "image", "text": "text"}[rejected[1].removeprefix("from the ")]
    item = data.item_ids.to_list().index(rejected[0])
    assert before.mask[item, before.modalities.index(modality)]
    assert not after.mask[item, after.modalities.index(modality)]
    assert (before.mask != after.mask).sum() == 1
    edited = data.item_ids.to_list().index(worst["item_id"][0])
    assert not np.array_equal(before.negative[edited], after.negative[edited])
    run = neggen_command("train", shop.path, "--model", "neggen-linear")
    assert Path(str(run["run"]), "run.toml").is_file()


def test_a_strangers_texts_never_run(browser, serve_app, tmp_path) -> None:
    workspace = Workspace(tmp_path / "hostile")
    pairs = [(user, item) for user in range(8) for item in range(12) if (user + item) % 3]
    log = pl.DataFrame(
        {
            "user_id": [f"u{u} {EVIL}" for u, _ in pairs],
            "item_id": [f"i{i} {EVIL}" for _, i in pairs],
        }
    )
    items = pl.DataFrame(
        {
            "item_id": [f"i{i} {EVIL}" for i in range(12)],
            "title": [f"t{i} {EVIL}" for i in range(12)],
        }
    )
    save_dataset(workspace, Dataset.from_frames(log, items), source=EVIL)
    records = [
        Record(
            item_id=f"i{i} {EVIL}", modality="text", description=f"{EVIL} a {EVIL}.",
            template=f"[MASK] a {EVIL}.", values=(EVIL,), replacements=(f"no {EVIL}",),
            negative=f"no {EVIL} a {EVIL}.",
        )
        for i in range(12)
    ]  # fmt: skip
    records_frame(records, EVIL).write_parquet(workspace.records_path)
    for model in ("popularity", "ease"):
        evaluate_run(train_run(workspace, model, {}, SplitConfig.build({})))

    page, asked = opened(browser, serve_app(workspace, None))
    message = page.locator("#message .message")
    expect(page.locator(".ng.card h2")).to_be_visible()
    page.locator("#reviewer input, #reviewer textarea").fill(EVIL[:70])
    page.get_by_role("button", name="Reject").click()
    expect(message).to_contain_text("Rejected")
    page.get_by_role("button", name="Save edit").click()
    expect(message).to_have_class(re.compile("failed"))
    expect(page.locator(".ng.card mark.not")).to_contain_text("<script>")
    for tab, shown in (
        ("Audit trail", ".ng.trail tbody tr"), ("Browse", ".ng.browse article"),
        ("Compare runs", ".ng.versus button"),
    ):  # fmt: skip
        page.get_by_role("tab", name=tab).click()
        expect(page.locator(shown).first).to_contain_text("<script>" if tab != "Browse" else "t")
    page.locator(".ng.versus button").first.click()
    expect(page.locator(".ng.lists h3")).to_contain_text("<script>")
    assert page.evaluate("document.documentElement.dataset.ran") is None
    assert page.locator(".ng script, .ng img[onerror]").count() == 0
    page.evaluate("(html) => { document.body.insertAdjacentHTML('beforeend', html) }", EVIL)
    page.wait_for_function("document.querySelector('img[onerror]').complete")
    assert page.evaluate("document.documentElement.dataset.ran") is None, (
        "the policy should stop it"
    )
    assert [url for url in asked if not url.startswith((page.url, "data:", "blob:"))] == []


def test_a_token_is_asked_for(browser, serve_app, described) -> None:
    page, _ = opened(browser, serve_app(Workspace.open(described), TOKEN))
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_contain_text("not the token")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator(".ng.card h2")).to_be_visible()
    assert TOKEN not in page.content()


def test_without_a_token_other_addresses_are_refused(described, monkeypatch, capsys) -> None:
    monkeypatch.setattr(sys, "argv", ["neggen", "studio", str(described), "--host", "0.0.0.0"])
    monkeypatch.delenv("NEGGEN_STUDIO_TOKEN", raising=False)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Without a token only this machine is served" in capsys.readouterr().err

"""What the page of reviews shows when something could not be done."""

from __future__ import annotations

import gradio as gr
import pytest

from neggen.config import SplitConfig
from neggen.data.store import load_dataset
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.journal.reviews import read_reviews
from neggen.generation.run import generate
from neggen.studio.choosing import TO_REVIEW
from neggen.studio.desk import Desk
from neggen.studio.review_page import ReviewPage, Shown
from neggen.workspace import Workspace

LIST = (TO_REVIEW, "text")


@pytest.fixture
def page(ready: Workspace) -> ReviewPage:
    desk = Desk(ready, lambda number: pytest.fail("nobody is asked"))
    with gr.Blocks():
        return ReviewPage(desk, gr.Textbox())


def generate_anew(workspace: Workspace) -> None:
    data = load_dataset(workspace, SplitConfig.build({}))
    generate(workspace, data, CatalogueBackend(data, seed=5))


def texts(shown: Shown) -> tuple[str, str]:
    return shown[1], shown[2]


def test_a_record_that_was_replaced_is_shown_before_it_is_decided_about(page: ReviewPage) -> None:
    looked = page.first(*LIST)
    generate_anew(page._desk.workspace)
    for told in (
        page._reject("Ben", looked[-1], *LIST),
        page._approve("Ben", looked[-1], *LIST, *texts(looked)),
        page._undo("Ben", looked[-1], *LIST),
    ):
        assert "failed" in told[4]
        assert told[-1] != looked[-1]
        assert texts(told) != texts(looked), "what stood there would overwrite the new record"
    assert (
        "Somebody else has changed this"
        in page._approve("Ben", looked[-1], *LIST, *texts(looked))[4]
    )
    assert read_reviews(page._desk.workspace.journal_path) == []
    assert "Rejected" in page._reject("Ben", told[-1], *LIST)[4]


def test_what_was_typed_outlives_a_failure(page: ReviewPage) -> None:
    looked = page.first(*LIST)
    key = looked[-1][0]
    unsaved = page._approve("Ann", looked[-1], *LIST, "A [red] mug.", "blue")
    assert "save it first" in unsaved[4]
    nameless = page._reject(" ", looked[-1], *LIST)
    assert "Say who you are" in nameless[4]
    generate_anew(page._desk.workspace)
    stale = page._save("Ann", looked[-1], *LIST, "A [red] mug.", "blue")
    assert "Somebody else" in stale[4]
    for shown in (unsaved, nameless, stale):
        assert texts(shown) == (gr.skip(), gr.skip())
    saved = page._save("Ann", stale[-1], *LIST, "A [red] mug.", "blue")
    assert "Saved" in saved[4]
    assert [review.key for review in read_reviews(page._desk.workspace.journal_path)] == [key]

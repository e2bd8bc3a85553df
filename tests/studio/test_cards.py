"""Texts in pieces, figures of quality, and which items are shown."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neggen.data.dataset import Dataset
from neggen.data.vectors import ItemVectors
from neggen.generation.records import MASK, Record, fill, records_frame
from neggen.studio.cards import choose_example, choose_items, make_cards, record_view
from neggen.studio.cards import qualities as qualities_of
from neggen.studio.pictures import Thumbnails

words = st.text(st.sampled_from("ab <&[.\n"), max_size=6)


@given(st.lists(words, min_size=2, max_size=5), st.data())
def test_pieces_join_to_the_texts(context, data):
    template = MASK.join(context)
    slots = template.count(MASK)
    values, others = (tuple(data.draw(words) for _ in range(slots)) for _ in range(2))
    view = record_view(
        {"modality": "text", "template": template, "values": values, "replacements": others}, None
    )
    assert "".join(piece.text for piece in view.positive) == fill(template, values)
    assert "".join(piece.text for piece in view.negative) == fill(template, others)
    assert [piece.text for piece in view.positive if piece.is_slot] == list(values)
    assert sum(piece.is_slot for piece in view.masked) == view.slots == slots
    assert 0 <= view.kept <= 1


def record(item: int, modality: str, completion: int = 0) -> Record:
    return Record(
        item_id=f"i{item}", modality=modality, description="A red cup, with dots.",
        template="A [MASK] cup, with [MASK].", values=("red", "dots"),
        replacements=("blue", f"stripes {completion}"),
        negative=f"A blue cup, with stripes {completion}.", completion=completion,
    )  # fmt: skip


@pytest.fixture
def data() -> Dataset:
    """Twelve items; the last three lack the text, the image and both records."""
    items = pl.DataFrame({"item_id": [f"i{i}" for i in range(12)], "Title": ["cup"] * 12})
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["i0"]})
    records = [record(item, "text", n) for item in (*range(9), 10) for n in range(2)]
    records += [record(item, "image") for item in range(10)]
    return Dataset.from_frames(log, items).replace(records=records_frame(records, "by hand"))


def test_context_kept_counts_words_not_commas(data):
    (card,) = make_cards(data, [0], Thumbnails(data))
    assert [view.side for view in card.records] == ["picture", "text"]
    assert card.records[1].kept == pytest.approx(3 / 5)
    assert card.records[1].negative[-2].text == "stripes 0"


def test_every_kind_of_item_is_shown(data):
    for seed in range(20):
        chosen = choose_items(data, 5, np.random.default_rng(seed))
        assert len(set(chosen)) == 5
        assert {9, 10, 11} <= set(chosen)
        assert chosen[-1] == 11
    assert choose_items(data, 0, np.random.default_rng(0)) == []
    assert len(choose_items(data, 100, np.random.default_rng(0))) == 12


def test_the_example_has_both_sides(data):
    for seed in range(10):
        found = choose_example(data, Thumbnails(data), np.random.default_rng(seed))
        assert found is not None
        assert len(found[0].records) == 2


def test_what_is_missing_is_said_and_why(data):
    cards = make_cards(data, [0, 9, 11], Thumbnails(data))
    assert cards[0].lacking == ()
    assert cards[1].lacking == (
        "Nothing is used for its text (no valid answer, or rejected in review); that side is left "
        "out.",
    )
    assert cards[2].lacking[0] == (
        "This item has no picture; the model leaves that side out for it."
    )


def test_of_a_side_of_which_the_first_negative_was_rejected_the_next_is_shown(data):
    assert data.records is not None
    left = data.records.filter(
        (pl.col("item_id") != "i0") | (pl.col("modality") != "text") | (pl.col("completion") == 1)
    )
    (card,) = make_cards(data.replace(records=left), [0], Thumbnails(data))
    assert card.lacking == ()
    assert [view.side for view in card.records] == ["picture", "text"]
    assert card.records[1].negative[-2].text == "stripes 1"


def test_contrast_is_one_minus_the_cosine(data):
    positive = np.zeros((12, 2, 3), dtype=np.float32)
    negative = np.zeros((12, 2, 2, 3), dtype=np.float32)
    mask = np.zeros((12, 2), dtype=bool)
    positive[:9] = [[2, 0, 0], [0, 1, 0]]
    negative[:9, 0] = [[0, 3, 0], [0, 1, 0]]
    mask[:9] = True
    encoded = data.replace(vectors=ItemVectors(("image", "text"), positive, negative, mask))
    (card,) = make_cards(encoded, [0], Thumbnails(encoded))
    assert [view.contrast for view in card.records] == [pytest.approx(1), pytest.approx(0)]
    means = {quality.side: quality for quality in qualities_of(encoded)}
    assert means["picture"].contrast == pytest.approx(1)
    assert means["text"].contrast == pytest.approx(0)
    assert (means["text"].items, means["text"].records) == (10, 20)


@pytest.mark.parametrize(
    ("columns", "title"),
    [
        ({"brand": ["Acme"], "title": ["  A\n cup "]}, "A cup"),
        ({"Name": ["Cup"], "brand": ["Acme"]}, "Cup"),
        ({"title": [" "], "brand": ["Acme"]}, "Acme"),
        ({"price": [3]}, "i0"),
        ({"title": ["x" * 200]}, "x" * 89 + "…"),
    ],
)
def test_titles(columns, title):
    log = pl.DataFrame({"user_id": ["u"], "item_id": ["i0"]})
    data = Dataset.from_frames(log, pl.DataFrame({"item_id": ["i0"], **columns}))
    assert data.item_title(0) == title

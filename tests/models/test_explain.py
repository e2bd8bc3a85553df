"""Explanations of a shop in which people choose by the material alone, and colors are chance."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from neggen.data.dataset import Dataset
from neggen.encoding.store import encode_records
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.generation.records import Record, fill, records_frame
from neggen.generation.subsets import with_slots
from neggen.models.base import Recommender
from neggen.models.ease import EASE
from neggen.models.explain import explain, slot_importance
from neggen.models.linear_neggen import LinearNegGen
from neggen.models.neggen import NegGen
from neggen.negatives.false_negatives import false_negatives

MATERIALS = ["wood", "glass", "steel", "wool"]
COLORS = ["red", "green", "white", "black"]
TEMPLATES = {
    "image": "The photo shows a [MASK] bowl made of [MASK].",
    "text": "A [MASK] [MASK] bowl.",
}
ITEMS, USERS = 64, 48
TEXTLESS = "item-05"
"""An item without any record; ``item-06`` lacks the one of its picture."""


def material_of(number: int) -> str:
    """Of a user, what they like; of an item, what it is made of."""
    return MATERIALS[number % 4]


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder()


@pytest.fixture(scope="module")
def data(encoder: TextEncoder) -> Dataset:
    rng = np.random.default_rng(0)
    colors = rng.permutation(np.arange(ITEMS) % 4)
    log = [
        (f"user-{user:02d}", f"item-{item:02d}")
        for user in range(USERS)
        for item in rng.choice(np.arange(user % 4, ITEMS, 4), 8, replace=False)
    ]
    records = []
    for item in range(ITEMS):
        now = {"color": COLORS[colors[item]], "material": material_of(item)}
        for completion in range(2):
            other = {
                "color": str(rng.choice([c for c in COLORS if c != now["color"]])),
                "material": str(rng.choice([m for m in MATERIALS if m != now["material"]])),
            }
            for modality, template in TEMPLATES.items():
                texts = [
                    template.replace("[MASK]", "{}").format(*way.values()) for way in (now, other)
                ]
                records.append(
                    Record(
                        item_id=f"item-{item:02d}", modality=modality, template=template,
                        description=texts[0], negative=texts[1], values=tuple(now.values()),
                        replacements=tuple(other.values()), completion=completion,
                    )
                )  # fmt: skip
    lacking = {(TEXTLESS, "text"), (TEXTLESS, "image"), ("item-06", "image")}
    kept = [r for r in records if (r.item_id, r.modality) not in lacking]
    frame = records_frame(kept, "test")
    made = Dataset.from_frames(
        pl.DataFrame(log, ["user_id", "item_id"], orient="row"),
        pl.DataFrame({"item_id": [f"item-{item:02d}" for item in range(ITEMS)]}),
    )
    return made.split().replace(records=frame, vectors=encode_records(made, frame, encoder))


@pytest.fixture(scope="module")
def model(data: Dataset) -> NegGen:
    made = NegGen(
        dim=16, heads=2, epochs=5, backbone="ease", base={"regularization": 100.0},
        effect_weights=(1.0,),
    )  # fmt: skip
    return made.fit(data)


def test_slots_are_exchanged_in_what_the_encoder_read(
    data: Dataset, model: NegGen, encoder: TextEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = data.records
    assert records is not None
    read = data.replace(vectors=encode_records(data, records, encoder, "attributes"))
    with pytest.raises(NegGenError, match="learned from encoded descriptions, but these vectors"):
        explain(model, read, [data.user_ids[0]], ["item-07"], encoder)
    linear = LinearNegGen().fit(read)
    told: list[str] = []
    honest = encoder.encode

    def listening(texts: list[str], *rest: object) -> object:
        told.extend(texts)
        return honest(texts, *rest)

    monkeypatch.setattr(encoder, "encode", listening)
    user = [data.user_ids[0]]
    found = explain(linear, read, user, ["item-07"], encoder)
    assert found["value"].to_list() != []
    assert told
    assert all(text.count(", ") == 1 and len(text.split()) == 2 for text in told), told


@pytest.fixture(scope="module")
def recommended(model: NegGen, data: Dataset) -> pl.DataFrame:
    return model.recommend(data.user_ids.to_list(), 3)


@pytest.fixture(scope="module")
def explained(model: NegGen, data: Dataset, recommended, encoder: TextEncoder) -> pl.DataFrame:
    return explain(model, data, recommended["user_id"], recommended["item_id"], encoder)


def one(data: Dataset, item: str, **changes: np.ndarray) -> object:
    """The vectors of one item, with its description changed."""
    row = [data.item_ids.to_list().index(item)]
    v = data.vectors
    few = replace(
        v, positive=v.positive[row].copy(), negative=v.negative[row], mask=v.mask[row],
        text=None if v.text is None else v.text[row],
    )  # fmt: skip
    for modality, vector in changes.items():
        few.positive[0, v.modalities.index(modality)] = vector
    return few


def test_a_history_explains_as_its_user_does(
    model: NegGen, data: Dataset, encoder: TextEncoder
) -> None:
    items = data.item_ids[:4].to_list()
    histories = {
        f"person {user}": data.item_ids[data.train[user].indices].to_list() for user in (5, 2)
    }
    pairs = [name for name in histories for _ in items], items * 2
    found = explain(model, data, *pairs, encoder, histories)
    users = [data.user_ids[user] for user in (5, 2) for _ in items]
    expected = explain(model, data, users, pairs[1], encoder)
    assert found["user_id"].unique(maintain_order=True).to_list() == list(histories)
    same = ["item_id", "modality", "slot", "value"]
    assert found.select(same).equals(expected.select(same))
    for column in ("contribution", "score", "causal", "base"):
        assert np.allclose(found[column], expected[column], atol=1e-5)
    with pytest.raises(NegGenError, match="no user 'person 1'"):
        explain(model, data, ["person 1"], items[:1], encoder, histories)


def test_what_decides_contributes_most(explained: pl.DataFrame) -> None:
    check_material_decides(explained)


def test_what_decides_contributes_most_in_closed_form(data: Dataset, encoder: TextEncoder) -> None:
    best = (model := LinearNegGen().fit(data)).recommend(data.user_ids.to_list(), 3)
    check_material_decides(explain(model, data, best["user_id"], best["item_id"], encoder))


def check_material_decides(explained: pl.DataFrame) -> None:
    kind = pl.col("value").is_in(MATERIALS)
    both = explained.group_by("user_id", "item_id", "modality").agg(
        material=pl.col("contribution").filter(kind).first(),
        color=pl.col("contribution").filter(~kind).first(),
    )
    assert both.height > 250
    assert (both["material"] > both["color"]).mean() >= 0.9
    assert (both["material"] > 0).mean() >= 0.9


def test_an_item_of_the_wrong_material_is_held_back_by_it(model, data, encoder) -> None:
    # Explain glass bowls, of which the negative says wood, to those who like wood.
    glass = data.records.filter(
        pl.col("completion") == 0, pl.col("modality") == "text",
        pl.col("description").str.contains("glass"), pl.col("negative").str.contains("wood"),
    )  # fmt: skip
    items = glass["item_id"].to_list()
    assert items
    found = explain(model, data, ["user-00"] * len(items), items, encoder)
    assert (found.filter(value="glass")["contribution"] < 0).all()


def test_contributions_are_what_a_lone_exchange_costs(
    explained, recommended, model, data, encoder
) -> None:
    records = {
        (row["item_id"], row["modality"]): Record(**{k: row[k] for k in Record.model_fields})
        for row in data.records.filter(pl.col("completion") == 0).iter_rows(named=True)
    }
    seen = explained.unique(["user_id", "item_id"], maintain_order=True)
    assert seen["user_id", "item_id"].rows() == [
        pair for pair in recommended["user_id", "item_id"].rows() if pair[1] != TEXTLESS
    ]
    for row in explained.head(40).iter_rows(named=True):
        record = records[row["item_id"], row["modality"]]
        assert row["value"] == record.values[row["slot"]]
        assert row["replacement"] == record.replacements[row["slot"]]
        user = torch.tensor([data.user_ids.to_list().index(row["user_id"])])
        taste = model.tastes(user)[0]
        changed = encoder.encode([with_slots(record, {row["slot"]})])[0]
        before = taste @ model.effects_of(one(data, row["item_id"]))[0]
        after = taste @ model.effects_of(one(data, row["item_id"], **{row["modality"]: changed}))[0]
        assert row["contribution"] == pytest.approx(float(before - after), abs=1e-4)
        assert row["causal"] == pytest.approx(float(before), abs=1e-4)
        item = data.item_ids.to_list().index(row["item_id"])
        base = float(model.backbone.score_index(user)[0, item])
        assert row["base"] == pytest.approx(base, abs=1e-4)
        assert row["score"] == pytest.approx(base + float(before), abs=1e-4)


def test_all_slots_together_turn_the_description_into_its_negative(
    explained, model, data, encoder
) -> None:
    for row in explained.unique(["user_id", "item_id"], maintain_order=True).head(20).to_dicts():
        own = data.records.filter(pl.col("item_id") == row["item_id"], pl.col("completion") == 0)
        negatives = dict(
            zip(own["modality"], encoder.encode(own["negative"].to_list()), strict=True)
        )
        user = torch.tensor([data.user_ids.to_list().index(row["user_id"])])
        before, after = (
            model.effects_of(one(data, row["item_id"], **changes))[0] for changes in ({}, negatives)
        )
        lost = float(model.tastes(user)[0] @ (before - after))
        assert row["together"] == pytest.approx(lost, abs=1e-4)


def test_rows_are_sorted_and_shares_are_of_all_that_moves(explained) -> None:
    for _, pair in explained.group_by("user_id", "item_id"):
        assert pair["contribution"].to_list() == sorted(pair["contribution"], reverse=True)
        size = pair["contribution"].abs().sum()
        assert pair["share"].to_list() == pytest.approx((pair["contribution"] / size).to_list())


def test_pairs_may_repeat_and_an_item_without_records_has_no_rows(model, data, encoder) -> None:
    found = explain(
        model, data, ["user-01"] * 4, ["item-06", TEXTLESS, "item-01", "item-06"], encoder
    )
    assert found["item_id"].to_list() == ["item-06"] * 2 + ["item-01"] * 4 + ["item-06"] * 2
    assert found[:2].equals(found[-2:])
    assert explain(model, data, ["user-01"], [TEXTLESS], encoder).is_empty()


def test_negatives_left_out_as_false_are_left_out_of_the_reasons(data, encoder) -> None:
    # Half of the items get the negative of another color, which the item's own users like as well.
    rows = [
        row if int(row["item_id"][-2:]) % 8 < 4 else of_another_color(row)
        for row in data.records.select(list(Record.model_fields)).iter_rows(named=True)
    ]
    frame = records_frame([Record(**row) for row in rows], "test")
    wrong = data.replace(records=frame, vectors=encode_records(data, frame, encoder))
    false = false_negatives(wrong.train, wrong.vectors).any((1, 2))
    assert 4 < false.sum() < ITEMS
    few = {"dim": 16, "heads": 2, "epochs": 5, "backbone": "ease", "contrast": 0.5}
    model = NegGen(**few, effect_weights=(1.0,), filter_false_negatives=True).fit(wrong)
    items = [item for item, lies in zip(data.item_ids, false, strict=True) if lies]
    user = torch.tensor([7])
    found = explain(model, wrong, [data.user_ids[7]] * len(items), items, encoder)
    found = found.unique("item_id", maintain_order=True)
    assert found["item_id"].to_list() == items
    place = np.flatnonzero(false)
    base = model.backbone.score_index(user)[0, place].numpy()
    causal = (model.tastes(user) @ model.item_vectors(torch.from_numpy(place)).T)[0].numpy()
    assert np.allclose(found["base"], base, atol=1e-4)
    assert np.allclose(found["causal"], causal, atol=1e-4)
    raw = (model.tastes(user) @ model.effects_of(wrong.vectors).T)[0, place].numpy()
    assert np.abs(raw - causal).max() > 0.01, "with the false ones they would be others"
    all_of_them = model.as_learned(wrong.vectors, np.arange(ITEMS))
    assert np.allclose(model.effects_of(all_of_them), model.effects, atol=1e-5)
    kept = NegGen(model.config.updated(filter_false_negatives=False)).fit(wrong)
    assert np.array_equal(
        kept.as_learned(wrong.vectors, np.arange(ITEMS)).negative, wrong.vectors.negative
    )


def of_another_color(row: dict[str, Any]) -> dict[str, Any]:
    """Return a record whose negative differs from its description in the color alone."""
    color, material = row["values"]
    others = (COLORS[COLORS.index(color) - 1], material)
    return {**row, "replacements": others, "negative": fill(row["template"], others)}


def test_importance_is_the_mean_over_those_who_used_the_item(model, data, encoder) -> None:
    items = data.item_ids.to_list()[::-1]
    found = slot_importance(model, data, items, encoder)
    users, used = data.train.nonzero()
    each = explain(model, data, data.user_ids[users], data.item_ids[used], encoder)
    key = ["item_id", "modality", "slot"]
    mean = each.group_by(key).agg(mean=pl.col("contribution").mean(), number=pl.len())
    both = found.join(mean, on=key)
    assert both.height == found.height == mean.height
    assert np.allclose(both["contribution"], both["mean"], atol=1e-5)
    assert (both["users"] == both["number"]).all()
    causal = found.filter(pl.col("value").is_in(MATERIALS))["contribution"].mean()
    assert causal > 2 * abs(found.filter(pl.col("value").is_in(COLORS))["contribution"].mean())


def test_slots_and_people_are_taken_a_few_at_a_time(
    model, data, encoder, explained, recommended, monkeypatch
):
    monkeypatch.setattr("neggen.models.interventions.AT_ONCE", 7)
    monkeypatch.setattr("neggen.models.explain.AT_ONCE", 2)
    again = explain(model, data, recommended["user_id"], recommended["item_id"], encoder)
    keys = ["user_id", "item_id", "modality", "slot"]
    assert again.sort(keys)[keys].equals(explained.sort(keys)[keys])
    for figure in ("contribution", "score", "causal", "together"):
        assert np.allclose(again.sort(keys)[figure], explained.sort(keys)[figure], atol=1e-5)


def test_refusals_say_what_to_do(model: NegGen, data: Dataset, encoder: TextEncoder) -> None:
    def refused(
        match: str, users=("user-00",), items=("item-00",), data: Dataset = data,
        model: Recommender = model,
    ) -> None:  # fmt: skip
        with pytest.raises(NegGenError, match=match):
            explain(model, data, users, items, encoder)

    refused("'nobody'", users=["nobody"])
    refused("'nothing'", items=["nothing"])
    refused("2 users and 1 items make no pairs", users=["user-00", "user-01"])
    refused("no pair of a user and an item", users=[], items=[])
    refused("'ease' does not score by descriptions", model=EASE().fit(data))
    refused("have no records", data=data.replace(records=None))
    refused("have no vectors", data=data.replace(vectors=None))
    others = replace(data.vectors, encoder="another")
    refused("is another one than the data were encoded with", data=data.replace(vectors=others))
    refused("is not fitted", model=NegGen())
    refused("fitted on other users or items", data=data.replace(item_ids=data.item_ids.reverse()))


def test_refuses_an_encoder_of_another_width(model, data) -> None:
    class Short(TextEncoder):
        def encode(self, texts, on_progress=None):
            return np.zeros((len(texts), 3), np.float32)

    with pytest.raises(NegGenError, match="of width 3, but those of the data are 384 wide"):
        explain(model, data, ["user-00"], ["item-00"], Short())

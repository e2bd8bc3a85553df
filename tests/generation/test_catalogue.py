"""The generator without a language model, on a catalogue whose truth is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw
from scipy.sparse import csr_matrix

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.catalogue.affinity import co_consumption_lift
from neggen.generation.catalogue.columns import read_columns
from neggen.generation.catalogue.marking import ENOUGH_VALUES
from neggen.generation.catalogue.pictures import measure
from neggen.generation.catalogue.prose import passages, phrases, runs_of
from neggen.generation.run import generate, generate_records
from neggen.workspace import Workspace

MOODS = ("cozy", "stark")
COLORS = {"red": (200, 40, 40), "blue": (40, 90, 200)}


def world(folder: Path, items: int = 120, users: int = 150) -> Dataset:
    """Users stick to one mood and to one color; season, brand and place are noise."""
    rng = np.random.default_rng(3)
    moods, colors = rng.choice(MOODS, items), rng.choice(list(COLORS), items)
    rows = []
    for item in range(items):
        season, place = rng.choice(["summer", "winter"]), rng.choice(["kitchen", "garden"])
        shop, size = rng.choice(["outlet", "market"]), rng.choice(["small", "large"])
        picture = Image.new("RGB", (48, 48), (246, 246, 244))
        draw = ImageDraw.Draw(picture)
        draw.rectangle((12, 12, 36, 36), fill=COLORS[colors[item]])
        picture.save(folder / f"{item}.png")
        rows.append(
            {
                "item_id": f"i{item}",
                "image": f"{item}.png",
                "title": f"For {season} in {place}, {size} from {shop}: {moods[item]} [{item}]",
                "brand": str(rng.choice(["Acme", "Bolt", "Corso"])),
            }
        )
    log = []
    for user in range(users):
        mood, color = rng.choice(MOODS), rng.choice(list(COLORS))
        liked = np.flatnonzero((moods == mood) & (colors == color))
        picked = rng.choice(liked, 12, replace=False)
        log += [{"user_id": f"u{user}", "item_id": f"i{item}"} for item in picked]
    return Dataset.from_frames(pl.DataFrame(log), pl.DataFrame(rows), image_dir=folder).split()


def test_the_words_that_decide_are_masked_and_exchanged_for_their_contrary(tmp_path: Path) -> None:
    records = generate_records(world(tmp_path), CatalogueBackend(world(tmp_path)))
    text = records.filter(pl.col("modality") == "text")
    assert len(text) == 120
    for row in text.iter_rows(named=True):
        exchanged = dict(zip(row["values"], row["replacements"], strict=True))
        moods = set(exchanged) & set(MOODS)
        assert len(moods) == 1
        assert len(exchanged) == ENOUGH_VALUES  # noise only fills up, and never takes its place
        assert exchanged[moods.pop()] in MOODS
        assert f"({row['item_id'][1:]})" in row["description"]


def test_the_color_that_decides_is_masked_in_the_picture(tmp_path: Path) -> None:
    records = generate_records(world(tmp_path), CatalogueBackend(world(tmp_path)))
    image = records.filter(pl.col("modality") == "image")
    assert len(image) == 120
    for row in image.iter_rows(named=True):
        exchanged = dict(zip(row["values"], row["replacements"], strict=True))
        colors = set(exchanged) & set(COLORS)
        assert len(colors) == 1
        assert exchanged[colors.pop()] in COLORS
        assert "a boxy outline" in row["description"]


def test_the_same_seed_gives_the_same_answers_and_says_who_wrote_them(tmp_path: Path) -> None:
    data = world(tmp_path)
    first, second = (generate_records(data, CatalogueBackend(data, seed=1)) for _ in "12")
    assert first.equals(second)
    assert first["generator"].unique().to_list() == ["catalogue (no language model)"]


def test_it_goes_through_the_journal(tmp_path: Path) -> None:
    data, workspace = world(tmp_path), Workspace(tmp_path / "w")
    generate(workspace, data, CatalogueBackend(data), modalities=["text"])
    again = generate(workspace, data, CatalogueBackend(data), modalities=["text"])
    assert (again.modalities["text"].reused, again.modalities["text"].valid) == (120, 120)
    other = generate(workspace, data, CatalogueBackend(data, seed=1), modalities=["text"])
    assert other.modalities["text"].asked == 120


def test_an_item_without_text_or_picture_gets_no_record_for_it(tmp_path: Path) -> None:
    data = world(tmp_path)
    bare = pl.col("item_id") == "i0"
    table = data.item_table.with_columns(
        pl.when(~bare).then(pl.col(name)).alias(name) for name in ("title", "brand", "image")
    )
    data = data.replace(item_table=table)
    records = generate_records(data, CatalogueBackend(data))
    assert "i0" not in records["item_id"]
    assert len(records) == 238


def test_a_catalogue_in_which_nothing_recurs_fails_item_by_item(tmp_path: Path) -> None:
    ids = [f"i{i}" for i in range(30)]
    table = pl.DataFrame({"item_id": ids, "title": [f"Unique{i}x word{i}y" for i in range(30)]})
    log = pl.DataFrame({"user_id": [f"u{i % 5}" for i in range(30)], "item_id": ids})
    data = Dataset.from_frames(log, table)
    with pytest.raises(NegGenError, match="not split"):
        CatalogueBackend(data)
    data = data.split()
    summary = generate(Workspace(tmp_path), data, CatalogueBackend(data))
    assert summary.modalities["text"].failed == {"nothing to exchange": 30}


def test_lift_is_one_by_chance_and_high_on_the_diagonal_of_what_decides() -> None:
    rng = np.random.default_rng(0)
    decides, noise = rng.integers(2, size=200), rng.integers(2, size=200)
    train = np.zeros((400, 200), dtype=np.float32)
    for user in range(400):
        train[user, rng.choice(np.flatnonzero(decides == user % 2), 10, replace=False)] = 1
    values = np.stack([decides, 1 - decides, noise, 1 - noise], axis=1).astype(np.float32)
    lift = co_consumption_lift(csr_matrix(train), csr_matrix(values), rng)
    assert np.allclose(lift, lift.T, atol=1e-4)
    assert lift[0, 0] > 1.8
    assert lift[1, 1] > 1.8
    assert lift[0, 1] < 0.1
    assert np.allclose(lift[2:, 2:], 1.0, atol=0.05)


def test_columns_are_told_from_prose() -> None:
    table = pl.DataFrame(
        {
            "title": [f"Film number {i}" for i in range(30)],
            "asin": [f"B{i:05}" for i in range(30)],
            "director": [("Lang", "Unknown", None)[i % 3] for i in range(30)],
            "genres": [["Drama", "War"] if i % 2 else ["Comedy"] for i in range(30)],
            "actors": [f"Ann Lee, Bo Ek, Extra {i}" for i in range(30)],
            "plot": [f"In town {i} a man meets a woman and they quarrel." for i in range(30)],
        }
    ).with_columns(director=pl.col("director").replace("Lang", "Fritz Lang"))
    table = table.with_columns(
        director=pl.when(pl.arange(30) % 6 == 1).then(pl.lit("Ida Lupino")).otherwise("director")
    )
    columns = read_columns(table, tuple(table.columns))
    assert columns.single == ("director",)
    assert columns.several == ("genres", "actors")
    assert columns.prose == ("title", "plot")
    assert columns.found[1] == [
        ("director", "Ida Lupino"),
        ("genres", "Drama"),
        ("genres", "War"),
        ("actors", "Ann Lee"),
        ("actors", "Bo Ek"),
        ("actors", "Extra 1"),
    ]
    assert "director" not in dict(columns.found[2])


def test_passages_hold_no_markup_and_whole_sentences() -> None:
    table = pl.DataFrame(
        {
            "title": ["Pen [blue] &amp; case", None],
            "text": ["<b>Writes</b> well.\x00 " + "Word " * 60 + "end.", None],
        }
    )
    first, second = passages(table, ("title", "text"))
    assert first == "Pen (blue) & case. Writes well."
    assert second == ""


def test_words_that_stand_together_are_one_phrase() -> None:
    pens = [f"{a} gel pen, {b} ink" for a in ("fine", "bold") for b in ("black", "green")]
    other = ["black lamp", "green lamp", "fine lamp", "bold lamp", "table ink"]
    found = phrases([runs_of(text) for text in pens * 5 + other * 20])
    assert ("phrase", "gel pen") in found[0]
    assert ("phrase", "fine lamp") not in found[22]  # often, but no more than by chance
    assert ("phrase", "pen black") not in found[0]  # a comma stands between


@pytest.mark.parametrize(("color", "name"), [((204, 38, 42), "red"), ((30, 130, 130), "teal")])
def test_pictures_are_measured(color: tuple[int, int, int], name: str) -> None:
    picture = Image.new("RGB", (200, 200), (28, 40, 92))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((80, 30, 120, 170), fill=color)
    measures = measure(picture)
    assert (measures.color, measures.background) == (name, "navy")
    assert 0.7 < measures.extent < 0.86
    assert measures.slenderness > 0.8
    assert measures.symmetry > 0.9


def test_the_direction_of_stripes_is_measured() -> None:
    stripes = np.zeros((64, 64, 3), dtype=np.uint8)
    stripes[:, (np.arange(64) // 4) % 2 == 0] = 255
    upright = measure(Image.fromarray(stripes))
    assert upright.coherence > 0.9
    assert abs(upright.angle - 90) < 10
    lying = measure(Image.fromarray(np.ascontiguousarray(stripes.transpose(1, 0, 2))))
    assert min(lying.angle, 180 - lying.angle) < 10


def test_a_picture_of_one_color_can_be_measured() -> None:
    assert measure(Image.new("RGB", (5, 5), (22, 22, 24))).color == "black"

"""The generator without a language model, on a catalogue whose truth is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from threading import Event

import numpy as np
import polars as pl
import pytest
from PIL import Image, ImageDraw
from scipy.sparse import csr_matrix

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends import catalogue as backend_module
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.catalogue.affinity import co_consumption_lift
from neggen.generation.catalogue.attributes import Found, collect_attributes
from neggen.generation.catalogue.columns import read_columns
from neggen.generation.catalogue.contrast import Contrasts, Exchange
from neggen.generation.catalogue.grammar import is_plural, plural, possessive, singular, takes_an
from neggen.generation.catalogue.kinds import kinds
from neggen.generation.catalogue.marking import ENOUGH_VALUES
from neggen.generation.catalogue.passages import passages, plain
from neggen.generation.catalogue.pictures import measure
from neggen.generation.catalogue.prose import PHRASE, phrases, runs_of
from neggen.generation.catalogue.stopping import Stopped, until
from neggen.generation.catalogue.substitutes import substitutes
from neggen.generation.catalogue.texts import text_answers
from neggen.generation.records import Answer
from neggen.generation.run import generate, generate_async, generate_records
from neggen.workspace import Workspace

MOODS = ("cozy", "stark")
COLORS = {"red": (200, 40, 40), "blue": (40, 90, 200)}


def world(folder: Path, items: int = 120, users: int = 150) -> Dataset:
    """Users stick to one mood and to one color; kind, season, brand and place are noise."""
    rng = np.random.default_rng(3)
    moods, colors = rng.choice(MOODS, items), rng.choice(list(COLORS), items)
    rows = []
    for item in range(items):
        season, place = rng.choice(["summer", "winter"]), rng.choice(["kitchen", "garden"])
        shop = rng.choice(["outlet", "market", "bazaar", "auction"])
        kind, size = rng.choice(["Mug", "Lamp"]), rng.choice(["small", "large"])
        picture = Image.new("RGB", (48, 48), (246, 246, 244))
        draw = ImageDraw.Draw(picture)
        draw.rectangle((12, 12, 36, 36), fill=COLORS[colors[item]])
        picture.save(folder / f"{item}.png")
        rows.append(
            {
                "item_id": f"i{item}",
                "image": f"{item}.png",
                "title": f"{kind} for {season} in {place}, {size} from {shop}: {moods[item]} "
                f"[{item}]",
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
    data = world(tmp_path)
    records = generate_records(data, CatalogueBackend(data))
    text = records.filter(pl.col("modality") == "text")
    assert len(text) == 120
    for row in text.iter_rows(named=True):
        exchanged = dict(zip(row["values"], row["replacements"], strict=True))
        moods = set(exchanged) & set(MOODS)
        assert len(moods) == 1
        assert (
            len(exchanged) == ENOUGH_VALUES
        )  # noise never takes its place, but the kind goes first
        assert {row["values"][0], row["replacements"][0]} == {"Mug", "Lamp"}
        assert exchanged[moods.pop()] in MOODS
        assert f"({row['item_id'][1:]})" in row["description"]


def test_the_color_that_decides_is_masked_in_the_picture(tmp_path: Path) -> None:
    data = world(tmp_path)
    records = generate_records(data, CatalogueBackend(data))
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


def test_ctrl_c_ends_it_while_it_looks_at_the_catalogue(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looking, ended = Event(), Event()

    def look(data: Dataset, train: csr_matrix, seed: int, stop: Event) -> dict[int, Answer]:
        looking.set()
        try:
            for _ in until(stop, iter(int, 1)):
                time.sleep(0.01)
        finally:
            ended.set()
        return {}

    monkeypatch.setattr(backend_module, "text_answers", look)
    data = world(tmp_path)

    async def interrupt() -> None:
        backend = CatalogueBackend(data)
        run = asyncio.create_task(
            generate_async(Workspace(tmp_path / "w"), data, backend, modalities=["text"])
        )
        while not looking.is_set():  # the loop is free meanwhile
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(run, 10)
        monkeypatch.setattr(backend_module, "text_answers", text_answers)
        again = await generate_async(Workspace(tmp_path / "w"), data, backend, modalities=["text"])
        assert again.modalities["text"].valid == len(data.item_ids)

    asyncio.run(interrupt())
    assert ended.wait(10)
    stop = Event()
    stop.set()
    with pytest.raises(Stopped):
        text_answers(data, data.train, 0, stop)


def test_one_backend_serves_several_runs(tmp_path: Path) -> None:
    data = world(tmp_path)
    backend = CatalogueBackend(data)
    for modality in ("text", "image"):
        assert len(generate_records(data, backend, modalities=[modality])) == 120


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
    assert first == ("Pen (blue) & case.", "Pen (blue) & case. Writes well.")
    assert second == ("", "")


def test_sentences_that_no_record_may_hold_are_left_out() -> None:
    table = pl.DataFrame(
        {"text": ["Good pens. See www.pens.example for more. A lorem ipsum dolor."]}
    )
    assert passages(table, ("text",)) == [("Good pens.", "Good pens.")]


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("AT&amp;T Phone &amp;quot;X&amp;quot;", 'AT&T Phone "X"'),
        ("HP 60XL CC641WN#140 INK CARTRIDGE (C9319FN)", "HP 60XL INK Cartridge"),
        (".headerM .APlusHeader hr.dashed ul li Fast.", "Fast."),
        ("Toy Story (1995), 500GB, 8.5X11 [12]", "Toy Story (1995), 500GB, 8.5X11 (12)"),
        ("Acme\u00ae Glue(TM), 71502", "Acme Glue"),
    ],
)
def test_entities_item_numbers_style_sheets_and_shouting_are_cleaned(raw: str, text: str) -> None:
    assert plain(raw) == text


@pytest.mark.parametrize(
    ("one", "many"),
    [("ink pen", "ink pens"), ("box", "boxes"), ("battery", "batteries"), ("knife", "knives"),
     ("child", "children"), ("tray", "trays"), ("brush", "brushes")],
)  # fmt: skip
def test_plurals(one: str, many: str) -> None:
    assert (plural(one), singular(many)) == (many, one)
    assert (is_plural(one), is_plural(many)) == (False, True)
    assert singular(one) == one


def test_articles_and_possessives() -> None:
    assert all(map(takes_an, ("eraser", "HP printer", "hour", "8-sheet shredder", "XML file")))
    assert not any(map(takes_an, ("pen", "unique pen", "USB hub", "European pen", "one")))
    assert not any(map(is_plural, ("glass", "canvas")))
    assert (possessive("Canon"), possessive("Texas Instruments")) == (
        "Canon's",
        "Texas Instruments'",
    )


def test_the_head_of_a_title_is_its_kind() -> None:
    titles = [
        *[f"{color} Ink Pens with Clip, {color}" for color in ("Red", "Blue", "Gray", "Pink")],
        *[f"Wooden Desk {number}, Oak" for number in range(4)],
        "Mega 2X Desk Turbo - Large",
        "Steel bookend",
    ]
    found, written = kinds(titles, frozenset({"pens", "desk", "bookend"}))
    names = [kind for (_, kind), *_ in found]
    assert names == ["ink pen"] * 4 + ["wooden desk"] * 4 + ["desk", "bookend"]
    assert "ink pens" in written
    assert "ink pen" not in written
    names_of_films = [f"The {word} of Doctor {word}" for word in ("Rise", "Fall", "Sorrow", "Joy")]
    assert kinds(names_of_films, frozenset()) == ([[]] * 4, frozenset())


def shop(titles: list[str], **columns: Sequence[object]) -> Dataset:
    """Make a catalogue in which every user uses items of one title."""
    items = len(titles) * 12
    table = pl.DataFrame(
        {
            "item_id": [f"i{item}" for item in range(items)],
            "title": [f"{titles[item % len(titles)]} {item}" for item in range(items)],
            **{
                name: [values[item % len(values)] for item in range(items)]
                for name, values in columns.items()
            },
        }
    )
    log = [
        {"user_id": f"u{user}", "item_id": f"i{item}"}
        for user in range(30)
        for item in range(user % len(titles), items, len(titles))
    ]
    return Dataset.from_frames(pl.DataFrame(log), table).split()


def test_replacements_agree_in_number_article_and_case(tmp_path: Path) -> None:
    titles = [
        "Red pens, two pens a box: pens",
        "Green crayons, two a box: crayons",
        "Tall lamp, a lamp to read by",
        "Oak chair, a chair to read on",
        "Old easel, an easel to paint on",
        "Icy igloo, an igloo to live in",
    ]
    story = [f"Pens are fun and lamps are not says {number}." for number in range(72)]
    data = shop(titles, story=story)
    records = generate_records(data, CatalogueBackend(data))
    assert len(records) == 60  # for "lamps" there is no plural: no title says "chairs"
    for row in records.iter_rows(named=True):
        pairs = list(zip(row["values"], row["replacements"], strict=True))
        assert pairs
        for value, replacement in pairs:
            assert is_plural(value) == is_plural(replacement)
            for word in (0, -1):
                own, other = value.split()[word], replacement.split()[word]
                assert own[0].isupper() == other[0].isupper()
        for before, replacement in zip(
            row["template"].split("[MASK]"), row["replacements"], strict=False
        ):
            if before.endswith((" a ", " an ")):
                assert takes_an(replacement) == before.endswith(" an ")


def test_nothing_is_written_that_the_parser_refuses(tmp_path: Path) -> None:
    brands = ["AT&amp;T", "Etc", "Alternative", "Various", "{Brace}", "www.shop.example"]
    data = shop([f"{brand} phone, black, box" for brand in brands], brand=brands)
    summary = generate(Workspace(tmp_path), data, CatalogueBackend(data))
    text = summary.modalities["text"]
    assert text.rejected == 0
    records = Workspace(tmp_path).records_path
    written = pl.read_parquet(records)["replacements"].explode().unique().to_list()
    assert "AT&T" in written
    assert not {"Etc", "Alternative", "AT&amp;T", "{Brace}"} & set(written)


def test_a_word_of_a_list_is_not_meant_by_the_same_word_in_prose() -> None:
    titles = ["Soldiers of World War two", "Dances at the lake", "Nights at the lake"]
    data = shop(titles, genres=[["War", "Drama"], ["Comedy", "Crime"], ["Crime", "Drama"]])
    records = generate_records(data, CatalogueBackend(data))
    soldiers = records.filter(pl.col("description").str.contains("Soldiers"))
    assert len(soldiers) == 12
    for template in soldiers["template"]:
        assert "World War two" in template
        assert "The genres include [MASK]" in template


def test_replacements_of_one_item_come_from_one_donor() -> None:
    rng = np.random.default_rng(0)
    brands, forms = [f"brand {n}" for n in range(20)], [f"form {n}" for n in range(20)]
    found: list[Found] = [[("brand", brands[n % 20]), ("form", forms[n % 20])] for n in range(100)]
    attributes = collect_attributes(found, least_items=1, most_share=1.0, most_values=100)
    lift = np.ones((40, 40), dtype=np.float32) + np.eye(40, dtype=np.float32)
    contrasts = Contrasts(attributes, lift, substitutes(attributes, [], frozenset()))
    for item in range(20):
        exchange = Exchange(contrasts, item, rng)
        drawn = [exchange.replacement(value) for value in contrasts.strongest(item)]
        assert None not in drawn
        numbers = {attributes.values[value].split()[1] for value in drawn if value is not None}
        assert len(numbers) == 1
        assert str(item) not in numbers


def test_no_value_replaces_more_than_twice_as_many_items_as_have_it() -> None:
    found: list[Found] = [[("brand", f"brand {n // 4}")] for n in range(40)]
    attributes = collect_attributes(found, least_items=1, most_share=1.0, most_values=100)
    lift = np.tile(np.linspace(0.1, 2, 10, dtype=np.float32), (10, 1))  # all want the same least
    contrasts = Contrasts(attributes, lift, substitutes(attributes, [], frozenset()))
    rng = np.random.default_rng(0)
    drawn = []
    for item in range(40):
        (value,) = attributes.of_item(item)
        drawn.append(Exchange(contrasts, item, rng).replacement(value))
    counts = np.bincount([value for value in drawn if value is not None], minlength=10)
    assert counts.sum() == 40
    assert counts.max() == 8
    assert counts[-3:].sum() == 0  # what is wanted most is drawn last


def said(texts: list[str]) -> list[list[str]]:
    return [[run.text for run in runs_of(text)] for text in texts]


def candidates_of(texts: list[str], common: set[str]) -> dict[str, set[str]]:
    runs = [runs_of(text) for text in texts]
    attributes = collect_attributes(
        phrases(said(texts)), least_items=3, most_share=0.9, most_values=100
    )
    candidates = substitutes(attributes, runs, frozenset(common))
    return {
        value: {attributes.values[option] for option in options}
        for value, options in zip(attributes.values, candidates, strict=True)
    }


def test_phrases_need_several_common_frames_to_replace_each_other() -> None:
    frames = ["We sell {} things.", "It feels {} today.", "They look {} anyway.", "Be {} now."]
    texts = [frame.format(word) for frame in frames for word in ("cozy", "stark", "Karl")]
    texts += [f"Once {word} here." for word in ("cozy", "muddy") for _ in range(4)]
    found = candidates_of(texts, {"cozy", "stark", "muddy"})
    assert found["cozy"] == {"stark"}  # a name is no word, and one frame is no evidence
    assert found["stark"] == {"cozy"}
    assert found["muddy"] == set()


def test_alternatives_replace_each_other_without_a_common_frame() -> None:
    texts = [
        f"{word.title()} {n}, {noun}"
        for n in range(4)
        for word, noun in (
            ("navy", "mug"),
            ("pink", "pot"),
            ("huge", "box"),
            ("giant", "cup"),
            ("tiny", "jar"),
        )
    ]
    found = candidates_of(texts, set())
    assert found["navy"] == {"pink"}
    assert found["huge"] == {"tiny"}  # "giant" says nearly the same
    assert found["tiny"] == {"huge", "giant"}


def test_words_that_stand_together_are_one_phrase() -> None:
    pens = [f"{a} gel pen, {b} ink" for a in ("fine", "bold") for b in ("black", "green")]
    other = ["black lamp", "green lamp", "fine lamp", "bold lamp", "table ink"]
    found = phrases(said(pens * 5 + other * 20))
    assert (PHRASE, "gel pen") in found[0]
    assert (PHRASE, "fine lamp") not in found[22]  # often, but no more than by chance
    assert (PHRASE, "pen black") not in found[0]  # a comma stands between


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

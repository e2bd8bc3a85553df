"""Answers of the right form that mean nothing, and the good ones that only look like them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from neggen.data.shop import make_shop
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.parsing import record_from_answer
from neggen.generation.records import Answer, InvalidAnswer, Record
from neggen.generation.run import generate_records
from neggen.generation.stock import stock_replacements


def record(marked: str, *replacements: str) -> Record:
    return record_from_answer("7", "text", Answer(marked=marked, replacements=replacements))


def refusal_of(marked: str, *replacements: str) -> InvalidAnswer:
    with pytest.raises(InvalidAnswer) as caught:
        record(marked, *replacements)
    assert caught.value.reason.endswith(".")
    assert len(caught.value.kind.split()) <= 5
    return caught.value


def pair(value: str, replacement: str) -> str:
    """Return the kind under which a replacement is refused; the reason quotes it."""
    error = refusal_of(f"It is [{value}] and more.", replacement)
    assert repr(replacement) in error.reason
    return error.kind


@pytest.mark.parametrize(
    ("value", "replacement"),
    [
        ("red mug", "Red Mug"),
        ("a red mug", "the red mug"),
        ("red mug", "red-mug"),
        ("red mugs", "red mug"),
        ("striped", "stripes"),
        ("dotted", "dots"),
        ("berries", "berry"),
        ("café chairs", "cafe chairs"),
        ("red and blue", "blue and red"),
        ("child's toy", "childs toy"),
        ("red, soft", "red & soft!"),
        ("ｒed", "red"),
        ("red", "re\u200cd"),
        ("no lid", "without a lid"),
        ("don't know", "do not know"),
    ],
)
def test_the_same_again_is_unchanged(value: str, replacement: str) -> None:
    assert pair(value, replacement) == "unchanged replacement"


@pytest.mark.parametrize(
    ("value", "replacement", "kind"),
    [
        ("red", "not red", "negated value"),
        ("red", "non-red", "negated value"),
        ("a handle", "without a handle", "negated value"),
        ("a mug with a handle", "a mug without any handle", "negated value"),
        ("without a lid", "a lid", "negated value"),
        ("comfortable", "uncomfortable", "negated value"),
        ("formal", "informal", "negated value"),
        ("sugar", "sugar-free", "negated value"),
        ("is friendly", "isn't friendly", "negated value"),
        ("red", "bright red", "contained value"),
        ("bright red", "red", "contained value"),
        ("red", "red one", "contained value"),
        ("red", "a very red kind", "contained value"),
        ("calculator", "talking calculator", "contained value"),
        ("red", "something else", "stock replacement"),
        ("red", "Other", "stock replacement"),
        ("red", "N/A", "stock replacement"),
        ("red", "None.", "stock replacement"),
        ("red", "unknown", "stock replacement"),
        ("red", "Various", "stock replacement"),
        ("red", "a different color", "stock replacement"),
        ("red mug", "another mug", "stock replacement"),
        ("red mug", "a completely different item", "stock replacement"),
        ("red", "the opposite of red", "stock replacement"),
        ("red", "opposite of the above", "stock replacement"),
        ("red", "MASK", "stock replacement"),
        ("red", "[MASK]", "nested or unbalanced brackets"),
        ("red", "<mask>", "markup"),
        ("red", "...", "empty replacement"),
        ("red", "—", "empty replacement"),
        ("red", "\u200d", "empty replacement"),
        ("red", "1. blue", "chatter"),
        ("red", "red -> blue", "chatter"),
        ("red", "Replacement: blue", "chatter"),
        ("red", "**blue**", "markup"),
        ("red", "`blue`", "markup"),
        ("red", "<b>blue</b>", "markup"),
        ("red", "{color}", "placeholder"),
        ("red", "_____", "placeholder"),
        ("red", "at www.example.com", "web address"),
        ("red", "I’m sorry, but I can’t help with that", "refusal"),
        ("red", "I cannot", "refusal"),
    ],
)
def test_replacements_that_are_no_other_value(value: str, replacement: str, kind: str) -> None:
    assert pair(value, replacement) == kind


@pytest.mark.parametrize(
    ("value", "replacement"),
    [
        ("a large house", "without a family"),
        ("a silent hero", "no mercy"),
        ("no cats at home", "no home"),
        ("dog bites man on ship", "man bites dog on ship"),
        ("black on white", "white on black"),
        ("20 sheets", "160 sheets"),
        ("8.5 by 11", "11 by 8.5"),
        ("3.5 mm", "35 mm"),
        ("C++", "C#"),
        ("5 inches", "5%"),
        ("a basic corded telephone", "a cordless telephone"),
        ("paper", "paper shredder"),
        ("a mug", "a saucer for a mug"),
        ("pencils", "notes"),
        ("refill", "replacement"),
        ("his last summer", "the bar"),
        ("young men", "other people's wives"),
        ("a quiet town", "a different kind of love"),
        ("an inside job", "the side door"),
        ("sorry", "happy"),
        ("हिंदी किताब", "हिंदी कागज"),
        ("红色", "蓝色"),
        ("❤", "a skull"),
        ("lined paper", "blank sheets"),
        ("an apology", "an unfortunate heir"),
        ("a 1. FC Köln scarf", "a Bayern scarf"),
    ],
)
def test_contrasts_that_only_look_alike_pass(value: str, replacement: str) -> None:
    assert record(f"It is [{value}] and more.", replacement).replacements == (replacement,)


def test_one_replacement_for_two_values_is_refused_but_not_for_one_value_twice() -> None:
    error = refusal_of("A [red] mug with [dots].", "blue", "Blue")
    assert error.kind == "repeated replacement"
    assert "'red'" in error.reason
    assert "'dots'" in error.reason
    assert record("A [red] mug in [red].", "blue", "blue").negative == "A blue mug in blue."


def test_the_prompts_own_example_is_no_answer() -> None:
    marked = (
        "A [slim calculator] that works in [reverse Polish notation], kept within reach by "
        "[bankers] working out loans."
    )
    assert refusal_of(marked, "a", "b", "c").kind == "copied example"
    copied = ("talking wall clock", "plain spoken sentences")
    assert refusal_of("A [mug] with [dots].", *copied).kind == "copied example"
    assert record("A [mug] with [dots].", copied[0], "stripes")


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with [that].",
        "I’m sorry, but the [picture] is too dark.",
        "A [mug]. I’m so sorry, but I cannot describe the rest of it.",
        "Unfortunately, I am unable to identify the [person] shown here.",
        "I apologize, but I can not provide a description of [this].",
        "As an AI language model, I have no [eyes] to see this.",
        "The image cannot be [described] by me.",
        "No image was provided, so [nothing] can be said.",
        "It is not possible to determine the [item] shown.",
        "Describing [this] would be against my guidelines.",
        "Es tut mir leid, aber ich kann das [Bild] nicht sehen.",
        "Lo siento, pero no puedo ver la [imagen].",
        "Je suis désolé, mais je ne peux pas décrire [ceci].",
        "Mi dispiace, ma non posso aiutare con [questo].",
        "Desculpe, mas não posso descrever [isto].",
        "抱歉，我无法描述[这个]。",
        "申し訳ありませんが、[これ]は説明できません。",
        "Извините, но я не могу описать [это].",
    ],
)
def test_refusals_are_recognized(text: str) -> None:
    assert refusal_of(text, "a blue lamp").kind == "refusal"


@pytest.mark.parametrize(
    "text",
    [
        "Sorry, Wrong Number is a [thriller] about an overheard call.",
        "I Can't Sleep is a [thriller].",
        "I'm Sorry is a [thriller].",
        "I Am Not an Easy Man turns [roles] around.",
        "Sure Thing, a [romance] on the road.",
        "Unfortunately for a shy clerk, [love] comes late.",
        "As an AI gains a mind, its [maker] despairs.",
        "A clerk says he is sorry. I, Robot it is not: a [farce].",
        "A story without a family, without [hope] and with no way back.",
        "The image is of a [mug] on a table.",
        "Obus Forme Ergonomic [Seat], Navy. No description available.",
        "Here is a mug for [coffee], made by hand.",
        "M*A*S*H is a [war satire] & more; AT&T sponsored it, 5* acting.",
        "Answering machine: a [digital] one with $20 off, <3 and 2 < 4.",
        "A$AP Rocky sings of $ke on a [record].",
        "Model # 5 of Noodler&#39;s [ink] and AT&amp;T.",
        "Face [mask] in blue_green_mix for Halloween.",
        "👩\u200d👩\u200d👧 and ❤️\u200d🔥 on a [mug], caf\u00e9 Việt.",
    ],
)
def test_descriptions_that_only_sound_alike_pass(text: str) -> None:
    assert record(text, "a plain blue lamp").template == text.replace(
        text[text.index("[") : text.index("]") + 1], "[MASK]"
    )


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Sure! Here is a [mug].", "chatter"),
        ("Certainly! A [mug] with dots.", "chatter"),
        ("Here is the description: a [mug].", "chatter"),
        ("Here's my answer: a [mug].", "chatter"),
        ("Description: a [mug] with dots.", "chatter"),
        ("A [mug] with dots. Let me know if you want more.", "chatter"),
        ("A [mug] with dots. I hope this helps you.", "chatter"),
        ("A **[red]** mug.", "markup"),
        ("A *slim* [mug].", "markup"),
        ("# Mug A [red] mug.", "markup"),
        ("A <b>[red]</b> mug.", "markup"),
        ("A [red] mug. <script>alert(1)</script>", "markup"),
        ("A [red] mug </item-data> and more.", "markup"),
        ("A [red] mug &#60;b&#62; here.", "markup"),
        ("A {color} mug that is [round].", "placeholder"),
        ("A mug, $reason, that is [round].", "placeholder"),
        ("A ____ mug that is [round].", "placeholder"),
        ("A [red] mug, see https://example.com for it.", "web address"),
        ("A [red] mug, mail me@example.com for it.", "web address"),
    ],
)
def test_descriptions_that_are_no_natural_text(text: str, kind: str) -> None:
    assert refusal_of(text, "blue").kind == kind


def table(replacements: list[list[str]], values: list[list[str]]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "item_id": [str(row) for row in range(len(values))],
            "modality": ["text"] * len(values),
            "values": values,
            "replacements": replacements,
        }
    )


def test_a_phrase_that_replaces_everything_is_stock() -> None:
    values = [[f"thing {row}", f"use {row}"] for row in range(1000)]
    used = [["A different item" if row < 300 else f"x {row}", f"y {row}"] for row in range(1000)]
    frame = table(used, values)
    assert stock_replacements(frame) == {("text", "a different item")}
    assert stock_replacements(frame.lazy()) == {("text", "a different item")}
    # In another modality, or for too small a share of the items, it is no habit.
    assert stock_replacements(frame.with_columns(modality=pl.lit("image"))) == {
        ("image", "a different item")
    }
    many = pl.concat([frame.with_columns(item_id=f"{part} " + pl.col("item_id")) for part in "ab"])
    rare = many.with_columns(
        replacements=pl.when(pl.int_range(pl.len()) < 39)
        .then(pl.concat_list(pl.lit("A different item")))
        .otherwise(pl.concat_list(pl.lit("x") + pl.col("item_id"))),
        values=pl.concat_list(pl.col("item_id")),
    )
    assert stock_replacements(rare) == frozenset()
    assert stock_replacements(rare.head(1900)) == {("text", "a different item")}


def test_completions_of_one_item_count_once() -> None:
    values = [[f"thing {row}"] for row in range(30)]
    frame = table([["a different item"]] * 30, values)
    assert stock_replacements(frame) == {("text", "a different item")}
    one_item = frame.with_columns(item_id=pl.lit("7"))
    assert stock_replacements(one_item) == frozenset()


def test_a_vocabulary_of_values_is_not_stock() -> None:
    # Blue stands for 39 other colors, but it is a color of the catalogue itself.
    values = [[f"color {row % 40}" if row % 5 else "blue"] for row in range(1000)]
    frame = table([["blue" if row % 5 else "red"] for row in range(1000)], values)
    assert stock_replacements(frame) == frozenset()
    assert stock_replacements(frame.filter(pl.col("values").list.first() != "blue")) == {
        ("text", "blue")
    }
    assert stock_replacements(frame.clear()) == frozenset()


def test_a_catalogue_completed_with_its_own_values_has_no_stock_replacements() -> None:
    data = make_shop(items=300, users=300).dataset(Path()).split("random")
    records = generate_records(data, CatalogueBackend(data), modalities=["text"])
    assert len(records) == 300
    used = records["replacements"].explode().value_counts(sort=True)
    assert used["count"][0] > 20
    assert stock_replacements(records) == frozenset()

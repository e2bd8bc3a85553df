"""Thousands of damaged answers: each becomes a valid record or an ``InvalidAnswer``, in no time."""

from __future__ import annotations

import json
import random
import time
import unicodedata
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from neggen.generation.parsing import clean_description, parse_json, record_from_answer
from neggen.generation.records import Answer, InvalidAnswer, Record

VALID = [
    ("A [slim mug] with [blue dots] for [tea].", ["stout lamp", "red stripes", "reading"]),
    (
        "In [Paris], [a shy clerk] finds [love], and a [small] dog.",
        ["Oslo", "a spy", "ruin", "vast"],
    ),
    ("Ein [grüner] Stuhl aus [Holz], 40 cm hoch.", ["roter", "Stahl"]),
    ("[红色] 的杯子, 用 [陶瓷] 做成.", ["蓝色", "木头"]),
    ("A [film noir] in which [nobody] is what they seem.", ["musical", "a whole village"]),
]
NASTY = [
    "[", "]", "[]", "[MASK]", "[[", "]]", "{", "}", '"', "\\", "\\u0000", "\\ud800", "\x00",
    "\x1b[2J", "\u202e", "\u200b", "\u200d\u200d\u200d", "\ufe0f" * 4, "\U000e0041", "\ufeff",
    "\ud800", "［", "⟦", "\u0301" * 9, "<|im_end|>", "<think>", "</think>", "</item-data>",
    "<script>", "**", "```", "&lt;", "{text}", "$answer", "____", "https://x.y", "...", "N/A",
    "something else", "not ", "I'm sorry, but I can't help.", "Sure! Here is it:", ",", ":",
    "null", "NaN", "1e999", "9" * 5000, "\n", "\r\n", "\t", "\u2028", " " * 50, "x" * 300, "MASK",
]  # fmt: skip


def text_damage(text: str, rng: random.Random) -> str:
    place = rng.randrange(len(text) + 1)
    other = rng.randrange(len(text) + 1)
    return rng.choice(
        [
            text[:place] + rng.choice(NASTY) + text[place:],
            text[:place] + text[place + 1 :],
            text[:place],
            text[place:],
            text[: min(place, other)] + text[max(place, other) :],
            text[:place] + chr(rng.randrange(0x110000)) + text[place + 1 :],
            text + text,
            rng.choice(NASTY),
            rng.choice(NASTY) + text,
        ]
    )


def structure_damage(answer: dict[str, object], rng: random.Random) -> object:
    marked, replacements = str(answer["marked"]), list(answer["replacements"])  # type: ignore[call-overload]
    rng.shuffle(shuffled := list(replacements))
    odd = rng.choice([None, 7, 1e308, True, [], {}, "", [marked], {"marked": marked}])
    return rng.choice(
        [
            {**answer, "replacements": replacements[:-1]},
            {**answer, "replacements": [*replacements, rng.choice(replacements)]},
            {**answer, "replacements": [replacements[0]] * len(replacements)},
            {**answer, "replacements": [*replacements[:-1], odd]},
            {**answer, "replacements": odd},
            {**answer, "replacements": shuffled},
            {**answer, "marked": odd},
            {"marked": marked},
            {"answer": answer},
            {"answer": {"answer": {"answer": answer}}},
            {"answer": json.dumps(answer)},
            [answer, answer],
            json.dumps(answer),
            {"type": "object", "properties": answer},
            {**answer, "marked": marked.replace("[", "").replace("]", "")},
            {**answer, "marked": marked.replace("[", "[[")},
            {**answer, "extra": odd},
        ]
    )


def damaged(rng: random.Random) -> str:
    marked, replacements = rng.choice(VALID)
    replacements = list(replacements)
    for _ in range(rng.randrange(3)):
        if rng.random() < 0.5:
            marked = text_damage(marked, rng)
        else:
            slot = rng.randrange(len(replacements))
            replacements[slot] = text_damage(replacements[slot], rng)
    answer: object = {"marked": marked, "replacements": replacements}
    if rng.random() < 0.4:
        answer = structure_damage({"marked": marked, "replacements": replacements}, rng)
    raw = json.dumps(answer, ensure_ascii=rng.random() < 0.5)
    for _ in range(rng.choice([0, 0, 1, 2])):
        raw = text_damage(raw, rng)
    return raw


def assert_valid(record: Record) -> None:
    """Check what a record promises, without the code that made it."""
    parts = record.template.split("[MASK]")
    slots = len(parts) - 1
    assert 1 <= slots == len(record.values) == len(record.replacements) <= 12
    for text, fillings in (
        (record.description, record.values),
        (record.negative, record.replacements),
    ):
        assert "".join(a + b for a, b in zip(parts, (*fillings, ""), strict=True)) == text
    assert record.description != record.negative
    assert any(character.isalnum() for character in "".join(parts))
    assert len(record.description) <= 1500
    for phrase in (*record.values, *record.replacements):
        assert phrase == phrase.strip()
        assert 0 < len(phrase) <= 200
        assert any(c.isalnum() or unicodedata.category(c) == "So" for c in phrase)
    for value, replacement in zip(record.values, record.replacements, strict=True):
        assert value.casefold() != replacement.casefold()
    everything = record.description + record.negative
    assert not set(everything) & set("[]{}［］⟦⟧\u200b\u202e\ufeff\ufffd")
    for character in everything:
        category = unicodedata.category(character)
        assert category not in ("Cc", "Cs", "Co", "Zl", "Zp")
        assert category != "Cf" or character in "\u200c\u200d" or ord(character) > 0x500
    for token in ("<|", "|>", "<script", "</item-data", "```", "https:"):
        assert token not in everything
    again = Record.model_validate_json(record.model_dump_json())
    assert again == record


def outcome(raw: str) -> str:
    """Return ``valid`` or the kind of refusal; anything else that is raised fails the test."""
    try:
        record = record_from_answer("7", "text", parse_json(raw, Answer))
    except InvalidAnswer as caught:
        refusal = caught
    else:
        assert_valid(record)
        return "valid"
    assert refusal.kind
    assert len(refusal.reason) < 700
    refusal.reason.encode()  # it is quoted back, so it holds no half of a surrogate pair
    return refusal.kind


def test_the_undamaged_answers_are_valid() -> None:
    for marked, replacements in VALID:
        assert outcome(json.dumps({"marked": marked, "replacements": replacements})) == "valid"


@pytest.mark.parametrize("seed", range(4))
def test_damaged_answers_are_refused_or_become_valid_records(seed: int) -> None:
    rng = random.Random(seed)
    outcomes = Counter(outcome(damaged(rng)) for _ in range(2500))
    # Neither everything nor nothing passes, and the refusals are of many kinds.
    assert 250 < outcomes["valid"] < 1250
    assert len(outcomes) > 15, outcomes


pieces = st.one_of(
    st.sampled_from(NASTY),
    st.text(max_size=12),
    st.sampled_from(["A ", "[mug]", "[red] ", " with ", "blue", "the ", "no ", "not ", "other"]),
)
texts = st.lists(pieces, max_size=8).map("".join)


@settings(max_examples=150, deadline=None)
@given(texts, st.lists(texts, max_size=4), texts, texts)
def test_any_texts_are_refused_or_become_valid_records(
    marked: str, replacements: list[str], before: str, after: str
) -> None:
    answer = json.dumps({"marked": marked, "replacements": replacements})
    outcome(before + answer + after)
    outcome(json.dumps([before, {"answer": answer}]))


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | texts,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["marked", "replacements", "answer"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=100, deadline=None)
@given(json_values)
def test_any_json_is_refused_or_becomes_a_valid_record(value: object) -> None:
    outcome(json.dumps(value))


LONG = 100_000


@pytest.mark.parametrize(
    "piece",
    [
        "[", "]", "[ ", " ]", "[a]", "{", '{"a":', '{"marked":"', "<think>", "</think>", " ",
        "\n", "\\", '"', "i'm so so so sorry ", "so ", "the final marked ", "I can't ",
        "completely different ", "a ", "not ", "*", "`", "_", "&", "<", "a@", "www.", "\u0301",
        "\u0301\u0327", "\u0327\u0323\u0301", "ﷺ", "🏳️\u200d", "1.", "9", "-", "un", "'", "...",
        ". ", "[[]", "\u200d", "ﬃ", "a1",
    ],
)  # fmt: skip
def test_long_hostile_texts_take_no_longer_than_their_length(piece: str) -> None:
    """By the thread's processor time, on which other load has no part."""
    text = (piece * LONG)[:LONG]

    def record(marked: str, replacement: str) -> None:
        record_from_answer("7", "text", Answer(marked=marked, replacements=(replacement,)))

    answer = json.dumps({"marked": f"A [mug] {text}", "replacements": [text]})
    attempts: list[Callable[[], object]] = [
        lambda: parse_json(text, Answer),
        lambda: parse_json(answer, Answer),
        lambda: clean_description(text),
        lambda: clean_description(text[:1490]),
        lambda: clean_description(text[:5990]),
        lambda: record(f"A [mug] {text}", "x"),
        lambda: record("A [mug] x", text),
        lambda: record("A [mug] x", text[:199]),
        lambda: record(f"A [{text[:199]}] x", f"b {text[:190]} c"),
    ]
    for attempt in attempts:
        start = time.thread_time()
        with suppress(InvalidAnswer):
            attempt()
        assert time.thread_time() - start < 1.0

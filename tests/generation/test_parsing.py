from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neggen.generation.parsing import parse_json, record_from_answer
from neggen.generation.records import MASK, Answer, InvalidAnswer, Record, fill


def record(marked: str, *replacements: str) -> Record:
    return record_from_answer("7", "text", Answer(marked=marked, replacements=replacements))


def test_an_answer_becomes_a_record() -> None:
    made = record("A [slim calculator] with [RPN].", "bulky till", "plain sums")
    assert made.description == "A slim calculator with RPN."
    assert made.template == "A [MASK] with [MASK]."
    assert made.negative == "A bulky till with plain sums."
    assert made.values == ("slim calculator", "RPN")


def test_white_space_inside_brackets_moves_outside() -> None:
    made = record("A [ slim ]calculator\n with keys", "bulky")
    assert made.description == "A slim calculator with keys"
    assert made.negative == "A bulky calculator with keys"


@pytest.mark.parametrize(
    ("marked", "replacements", "kind"),
    [
        ("A mug.", [], "no slots"),
        ("A [mug].", [], "wrong replacement count"),
        ("A [mug].", ["lamp", "vase"], "wrong replacement count"),
        ("A [mug].", ["  "], "empty replacement"),
        ("A [Mug].", ["mUG "], "unchanged replacement"),
        ("A [mug [big]].", ["lamp", "vase"], "nested or unbalanced brackets"),
        ("A [mug.", ["lamp"], "nested or unbalanced brackets"),
        ("A mug].", ["lamp"], "nested or unbalanced brackets"),
        ("A [mug].", ["[lamp]"], "nested or unbalanced brackets"),
        ("A [] mug.", ["lamp"], "empty slot"),
        ("A [MASK] mug.", ["red"], "empty slot"),
        ("[A mug].", ["A lamp"], "no context"),
        ("A [mug] <|im_end|>", ["lamp"], "control characters"),
        ("A [mug]\x00 here", ["lamp"], "control characters"),
        ("A [mug]", ["la\u202emp"], "control characters"),
        ("A [mug]", ["la\ud800mp"], "control characters"),
        ("A [mug] " + "x" * 2000, ["lamp"], "too long"),
        ("A [mug]", ["x" * 300], "too long"),
        ("A " + "[a] " * 20, ["b"] * 20, "too many slots"),
        ("I'm sorry, but I can't help with [that].", ["x"], "refusal"),
        ("", [], "empty description"),
    ],
)
def test_invalid_answers_say_what_to_mend(marked: str, replacements: list[str], kind: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        record(marked, *replacements)
    assert caught.value.kind == kind
    assert caught.value.reason.endswith((".", "?"))


@pytest.mark.parametrize("title", ["Sorry, Wrong Number", "I Can't Sleep", "I'm Sorry"])
def test_titles_that_sound_like_refusals_are_not(title: str) -> None:
    assert record(f"{title} is a [thriller].", "comedy").description.startswith(title)


@pytest.mark.parametrize(
    "text",
    [
        '{"marked": "A [mug]", "replacements": ["lamp"]}',
        '```json\n{"marked": "A [mug]", "replacements": ["lamp"]}\n```',
        'Sure! {"marked": "A [mug]", "replacements": ["lamp"], "note": "x"} Anything else?',
        '<think>maybe {"marked": 1}</think>{"marked": "A [mug]", "replacements": ["lamp"]}',
    ],
)
def test_json_is_found_in_what_servers_wrap_around_it(text: str) -> None:
    assert parse_json(text, Answer) == Answer(marked="A [mug]", replacements=("lamp",))


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("I cannot help with that request.", "refusal"),
        ("A mug.", "not the JSON asked for"),
        ('{"marked": "A [mug]"}', "not the JSON asked for"),
        ('{"marked": "A [mug]", "replacements": "lamp"}', "not the JSON asked for"),
        ('{"a":' * 100_000, "not the JSON asked for"),
        ("", "not the JSON asked for"),
    ],
)
def test_what_is_not_the_json_asked_for(text: str, kind: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        parse_json(text, Answer)
    assert caught.value.kind == kind


letters = st.text(st.characters(codec="utf-8", exclude_characters="[]"), min_size=1, max_size=20)


@given(st.lists(st.tuples(letters, letters), min_size=1, max_size=6), letters)
def test_what_is_outside_the_brackets_is_the_same_in_both(
    slots: list[tuple[str, str]], context: str
) -> None:
    marked = "".join(f"w {context} [{value}]" for value, _ in slots)
    try:
        made = record(marked, *(replacement for _, replacement in slots))
    except InvalidAnswer:
        return
    outside = made.template.split(MASK)
    assert len(outside) == len(slots) + 1
    assert fill(made.template, made.values) == made.description
    assert fill(made.template, made.replacements) == made.negative
    for value, replacement in zip(made.values, made.replacements, strict=True):
        assert value.casefold() != replacement.casefold()
    # A valid record is a fixed point: marked again, it gives itself.
    again = fill(made.template, tuple(f"[{value}]" for value in made.values))
    assert record(again, *made.replacements) == made


@given(st.text() | st.text(alphabet='{}[]"\\:,ab \n\ud800'), st.lists(st.text(alphabet="[]a ")))
def test_rubbish_is_refused_and_never_crashes(text: str, replacements: list[str]) -> None:
    for attempt in (
        lambda: parse_json(text, Answer),
        lambda: parse_json(
            json.dumps({"marked": text, "replacements": replacements}) + text, Answer
        ),
        lambda: record(text, *replacements),
    ):
        try:
            attempt()
        except InvalidAnswer:
            continue

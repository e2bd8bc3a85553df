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


GOOD = '{"marked": "A [mug]", "replacements": ["lamp"]}'
SCHEMA = json.dumps(Answer.model_json_schema())


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"```json\n{GOOD}\n```",
        f'Sure! {GOOD[:-1]}, "note": "x"}} Anything else?',
        f'<think>maybe {{"marked": 1}}</think>{GOOD}',
        f'maybe {{"marked": "A [jug]", "replacements": ["x"]}} or so</think>{GOOD}',
        f"\ufeff{GOOD}",
        json.dumps(GOOD),
        f"[{GOOD}]",
        f'{{"answer": {GOOD}}}',
        json.dumps({"answer": GOOD}),
        f'{{"result": [{GOOD}]}}',
        f"{SCHEMA}\n{GOOD}",
        f"The schema is {{marked, replacements}}. {GOOD}",
        f'{{"marked": "A [jug]", "replacements": ["x"]}}\nNo, better: {GOOD}',
        f"{GOOD} That is: {{marked}} and {{replacements}}.",
        '{"marked": "A\n[mug]", "replacements": ["lamp"]}'.replace("\\n", "\n"),
    ],
)
def test_json_is_found_in_what_servers_wrap_around_it(text: str) -> None:
    answer = parse_json(text, Answer)
    assert answer.marked.split() == ["A", "[mug]"]
    assert answer.replacements == ("lamp",)


@pytest.mark.parametrize(
    ("text", "kind", "detail"),
    [
        ("I cannot help with that request.", "refusal", "cannot help"),
        ("I’m sorry, but I can’t describe it: {}", "refusal", "sorry"),
        ("A mug.", "not the JSON asked for", "marked, replacements"),
        ('{"marked": "A [mug]"}', "not the JSON asked for", "replacements: Field required"),
        (
            '{"marked": "A [mug]", "replacements": "lamp"}',
            "not the JSON asked for",
            "replacements: Input should be a valid tuple",
        ),
        ('{"marked": 5, "replacements": ["x"]}', "not the JSON asked for", "valid string"),
        ('{"marked": "A [mug]", "replacements": ["x"],}', "not the JSON asked for", "character 45"),
        ('{"marked": "A [mug]", "replacements": ["x"', "not the JSON asked for", "character"),
        (
            '{"marked": "A [mug]", "marked": "A [jug]", "replacements": ["x"]}',
            "not the JSON asked for",
            "'marked' stands twice",
        ),
        (f'{GOOD[:-1]}, "score": NaN}}', "not the JSON asked for", "NaN is no JSON number"),
        (f'{GOOD[:-1]}, "score": {"9" * 5000}}}', "not the JSON asked for", "digits"),
        (SCHEMA, "not the JSON asked for", "marked"),
        ("[1, 2]", "not the JSON asked for", ""),
        ('{"a":' * 100_000, "not the JSON asked for", "nested too deeply"),
        (f"<think>I could say {GOOD}, but", "unfinished thinking", "thinking"),
        ("", "not the JSON asked for", ""),
    ],
)
def test_what_is_not_the_json_asked_for(text: str, kind: str, detail: str) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        parse_json(text, Answer)
    assert caught.value.kind == kind
    assert detail in caught.value.reason


@pytest.mark.parametrize(
    "character",
    [
        "\x00", "\x1b", "\x7f", "\u200b", "\u2060", "\xad", "\u202e", "\u2800", "\u3164", "\ufe01",
        "\U000e0041", "\U000e0101", "\ue000", "\ufffd", "\uffff", chr(0xD800), "\u200d" * 3,
        "\u0301" * 6, "［", "］", "⟦", "〛", "\ufe47", "<|im_end|>",
    ],
)  # fmt: skip
def test_characters_that_hide_or_imitate_are_refused_everywhere(character: str) -> None:
    for marked, replacement in (
        (f"A [mug] {character}here.", "lamp"),
        (f"A [mu{character}g] here.", "lamp"),
        ("A [mug] here.", f"la{character}mp"),
    ):
        with pytest.raises(InvalidAnswer) as caught:
            record(marked, replacement)
        assert caught.value.kind == "control characters"
        assert "U+" in caught.value.reason


def test_an_accent_cannot_move_from_a_slot_to_the_text_around_it() -> None:
    for marked, replacement in (("A re[\u0301d] mug", "x"), ("A re[d] mug", "\u0301x")):
        with pytest.raises(InvalidAnswer) as caught:
            record(marked, replacement)
        assert caught.value.kind == "control characters"


def test_what_only_the_negative_spells_out_is_refused_too() -> None:
    with pytest.raises(InvalidAnswer) as caught:
        record("A <[3] mug", "script")
    assert caught.value.kind == "markup"
    assert "with the replacements" in caught.value.reason


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

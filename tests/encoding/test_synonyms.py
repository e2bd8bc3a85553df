from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from neggen.encoding.synonyms import SynonymScreen
from neggen.encoding.text import TextEncoder
from neggen.generation.parsing import record_from_answer
from neggen.generation.records import Answer, InvalidAnswer, Record

FOUND = [
    ("children", "kids"),
    ("couch", "sofa"),
    ("cheap", "inexpensive"),
    ("a doctor", "a physician"),
    ("lawyers", "attorneys"),
    ("horror film", "scary movie"),
    ("gray", "grey"),
]
"""Synonyms that the default finds; of those that come to mind it is one in six."""
CONTRASTS = [
    ("red", "blue"),
    ("beige", "black"),
    ("comedy", "tragedy"),
    ("thriller", "romance"),
    ("wood", "metal"),
    ("linen", "chrome"),
    ("stapler", "paper shredder"),
    ("laser printers", "inkjet printers"),
    ("ballpoint pen", "fountain pen"),
    ("20 sheets", "160 sheets"),
    ("coffee", "tea"),
    ("French", "German"),
    ("a lonely widow", "a carefree teenager"),
    # Opposites, which the encoder alone would take for synonyms.
    ("cheap", "expensive"),
    ("left-handed", "right-handed"),
    ("men's shoes", "women's shoes"),
    ("a wide brush", "a narrow brush"),
    ("husband", "wife"),
]


@pytest.fixture(scope="module")
def screen(encoder: TextEncoder) -> SynonymScreen:
    return SynonymScreen(encoder)


def record(*pairs: tuple[str, str]) -> Record:
    marked = "This is " + " with ".join(f"[{value}]" for value, _ in pairs)
    replacements = tuple(replacement for _, replacement in pairs)
    return record_from_answer("7", "text", Answer(marked=marked, replacements=replacements))


@pytest.mark.parametrize("pair", FOUND)
def test_synonyms_are_refused_with_both_words_quoted(
    screen: SynonymScreen, pair: tuple[str, str]
) -> None:
    with pytest.raises(InvalidAnswer) as caught:
        screen(record(("a plain start", "a lavish end"), pair))
    assert caught.value.kind == "synonym"
    assert f"{pair[1]!r} of {pair[0]!r}" in caught.value.reason


@pytest.mark.parametrize("pair", CONTRASTS)
def test_contrasts_pass(screen: SynonymScreen, pair: tuple[str, str]) -> None:
    screen(record(pair))


def test_words_that_both_share_do_not_make_synonyms(screen: SynonymScreen) -> None:
    assert screen.cosine("laser printers", "inkjet printers") == screen.cosine("laser", "inkjet")
    assert screen.cosine("red mug", "red mug") == pytest.approx(1)
    assert screen.cosine("a red mug", "mug") == screen.cosine("mug", "a red mug") > 0.5


def test_the_bound_can_be_moved(encoder: TextEncoder) -> None:
    pair = record(("red", "crimson"))
    SynonymScreen(encoder)(pair)
    with pytest.raises(InvalidAnswer, match="'crimson' of 'red' means nearly the same"):
        SynonymScreen(encoder, bound=0.5)(pair)


def test_a_cosine_depends_on_nothing_but_its_phrases(encoder: TextEncoder) -> None:
    pairs = FOUND + CONTRASTS
    alone = [SynonymScreen(encoder).cosine(*pair) for pair in pairs[:3]]
    one = SynonymScreen(encoder)
    backwards = [one.cosine(*pair) for pair in pairs[::-1]][::-1]
    other = SynonymScreen(encoder)
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(lambda pair: other.cosine(*pair), pairs * 2))
    assert alone == backwards[:3]
    assert backwards * 2 == at_once  # bit for bit


def test_it_is_exact_and_leaves_the_encoder_as_it_is(encoder: TextEncoder) -> None:
    import torch

    before = next(encoder._model.parameters()).dtype
    screen = SynonymScreen(encoder)
    cosine = screen.cosine("metal", "metallic")
    assert screen._model is not encoder._model
    assert {parameter.dtype for parameter in screen._model.parameters()} == {torch.float32}
    assert next(encoder._model.parameters()).dtype == before
    vectors = encoder.encode(["metal", "metallic"])
    assert cosine == pytest.approx(float(vectors[0] @ vectors[1]), abs=0.02)


def test_a_phrase_is_encoded_once(small_encoder: TextEncoder) -> None:
    screen = SynonymScreen(small_encoder)
    pair = record(("red mug", "blue lamp"), ("blue lamp", "red jug"))
    encoded: list[str] = []
    encode = screen._model.encode

    def count(texts: list[str], **options: object) -> np.ndarray:
        encoded.extend(texts)
        return encode(texts, **options)

    screen._model.encode = count
    for _ in range(3):
        screen.cosine(pair.values[0], pair.replacements[0])
    assert sorted(encoded) == ["blue lamp", "red mug"]

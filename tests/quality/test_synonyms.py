"""Near-synonyms among slots, with the real encoder."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest

from neggen.encoding.text import TextEncoder
from neggen.quality.synonyms import SYNONYM_COSINE, slot_cosines
from neggen.workspace import Workspace

SYNONYMS = [("aluminum", "aluminium"), ("for children", "for kids"), ("lawyer", "attorney")]
CONTRASTS = [("red", "blue"), ("romance", "war film"), ("wooden", "plastic"), ("indoor", "outdoor")]
NUMBERS = ("500 pages each", "12,000 pages each")


@pytest.fixture(scope="module")
def encoder() -> TextEncoder:
    return TextEncoder()


def slots(*pairs: tuple[str, str]) -> dict[str, list[str]]:
    return {"values": [old for old, _ in pairs], "replacements": [new for _, new in pairs]}


def test_planted_synonyms_are_found(encoder: TextEncoder, tmp_path: Path) -> None:
    records = pl.DataFrame([slots(*SYNONYMS), slots(*CONTRASTS), slots(NUMBERS, SYNONYMS[0])])
    found = slot_cosines(Workspace(tmp_path), records, encoder).to_list()
    over = [[cosine >= SYNONYM_COSINE for cosine in record] for record in found]
    assert over == [[True] * 3, [False] * 4, [False, True]]
    assert found[2][0] == 0
    assert found[2][1] == found[0][0]


def test_phrases_are_encoded_once(encoder: TextEncoder, tmp_path: Path) -> None:
    asked: list[str] = []

    class Listening(TextEncoder):
        def encode(self, texts, on_progress=None):
            asked.extend(texts)
            return encoder.encode(texts, on_progress)

    listening = Listening()
    listening.fingerprint = encoder.fingerprint
    records = pl.DataFrame([slots(*SYNONYMS), slots(SYNONYMS[0])])
    first = slot_cosines(Workspace(tmp_path), records, listening)
    assert sorted(asked) == sorted(word for pair in SYNONYMS for word in pair)
    assert slot_cosines(Workspace(tmp_path), records, listening).equals(first)
    assert len(asked) == 6

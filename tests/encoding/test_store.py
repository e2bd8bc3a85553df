"""Vectors on disk: every text once, nothing stale, nothing lost."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import save_file

from neggen.data import mapped
from neggen.data.dataset import Dataset
from neggen.encoding import store
from neggen.encoding.store import (
    VectorStore,
    arrange,
    encode,
    encode_records,
    load_vectors,
    own_texts,
)
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.generation.records import Record, records_frame
from neggen.workspace import Workspace, read_toml

COLUMNS = ["item_id", "modality", "completion", "description", "negative"]


def records_of(*rows: tuple[str, str, int, str, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=COLUMNS, orient="row")


RECORDS = records_of(
    ("a", "text", 0, "A red mug.", "A blue mug."),
    ("a", "image", 0, "A round thing.", "A square thing."),
    ("b", "text", 0, "A blue mug.", "A green mug."),
    ("c", "text", 0, "A tall lamp.", "A low lamp."),
)  # seven distinct texts; with the items' own, nine
OWN = ["title: Mug One\nprice: 3", "title: Mug Two", None, "title: Mug Two"]


@pytest.fixture
def data() -> Dataset:
    return Dataset.from_frames(
        pl.DataFrame({"user_id": ["u"] * 4, "item_id": ["a", "b", "c", "d"]}),
        pl.DataFrame(
            {
                "item_id": ["a", "b", "c", "d"],
                "title": ["Mug One", "Mug Two", None, "Mug Two"],
                "price": ["3", None, None, None],
            }
        ),
    )


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path)


def test_encodes_every_text_once(workspace: Workspace, data: Dataset, encoder: TextEncoder) -> None:
    first = encode(workspace, data, RECORDS, encoder)
    assert (first.texts, first.encoded, first.dim) == (9, 9, 384)
    assert encode(workspace, data, RECORDS, encoder).encoded == 0
    changed = RECORDS.with_columns(pl.col("negative").replace("A low lamp.", "A flat lamp."))
    progress: list[tuple[int, int]] = []
    summary = encode(workspace, data, changed, encoder, lambda *counts: progress.append(counts))
    assert summary.encoded == 1
    assert progress == [(1, 1)]
    manifest = read_toml(workspace.vectors_dir / "manifest.toml")
    assert (manifest["encoder"], manifest["texts"]) == (encoder.name, 9)
    for records in (RECORDS, changed):
        stored = load_vectors(workspace, data, records)
        direct = encode_records(data, records, encoder)
        assert np.allclose(stored.positive, direct.positive, atol=0.01)
        assert np.allclose(stored.negative, direct.negative, atol=0.01)
        assert np.allclose(stored.text, direct.text, atol=0.01)


def test_the_items_own_texts_are_encoded_as_they_are(
    workspace: Workspace, data: Dataset, small_encoder: TextEncoder
) -> None:
    pictures = RECORDS.filter(pl.col("modality") == "image")
    assert encode(workspace, data, pictures, small_encoder).texts == 4  # one text twice, one none
    own = load_vectors(workspace, data, pictures).text
    assert own.tolist()[2] == [0.0] * 8
    expected = small_encoder.encode([text for text in OWN if text is not None])
    assert np.allclose(own[[0, 1, 3]], expected, atol=1e-6)

    bare = data.replace(item_table=data.item_table.select("item_id", "image"))
    assert encode(workspace, bare, RECORDS, small_encoder).texts == 7
    assert not load_vectors(workspace, bare, RECORDS).text.any()
    renamed = pl.Series("title", ["Mug One", "Mug Two", None, "Mug Three"])
    changed = data.replace(item_table=data.item_table.with_columns(renamed))
    with pytest.raises(NegGenError, match=r"1 texts .* 'title: Mug Three'; run: neggen encode"):
        load_vectors(workspace, changed, RECORDS)


def test_key_attributes_alone_are_read_where_that_was_asked_for(
    workspace: Workspace, data: Dataset, small_encoder: TextEncoder
) -> None:
    record = Record(
        item_id="a",
        modality="text",
        description="A red mug.",
        template="A [MASK] mug.",
        values=("red",),
        replacements=("blue",),
        negative="A blue mug.",
    )
    frame = records_frame([record], "test")
    encode(workspace, data, frame, small_encoder)
    assert load_vectors(workspace, data, frame).reads == "descriptions"
    encode(workspace, data, frame, small_encoder, reads="attributes")
    vectors = load_vectors(workspace, data, frame)
    assert vectors.reads == "attributes"
    expected = small_encoder.encode(["red", "blue"])
    assert np.allclose([vectors.positive[0, 0], vectors.negative[0, 0, 0]], expected, atol=1e-6)
    direct = encode_records(data, frame, small_encoder, "attributes")
    assert np.allclose(direct.positive, vectors.positive, atol=1e-6)
    edited = records_frame(
        [record.model_copy(update={"values": ("pink",), "description": "A pink mug."})], "test"
    )
    with pytest.raises(
        NegGenError, match=r"being 'pink'; run: neggen encode \S+ --attributes-only"
    ):
        load_vectors(workspace, data, edited)
    restyled = records_frame(
        [
            record.model_copy(
                update={
                    "template": "Behold: a [MASK] mug!",
                    "description": "Behold: a red mug!",
                    "negative": "Behold: a blue mug!",
                }
            )
        ],
        "test",
    )
    assert load_vectors(workspace, data, restyled).content_hash == vectors.content_hash


def test_two_encoders_never_mix(
    workspace: Workspace, data: Dataset, encoder: TextEncoder, small_encoder: TextEncoder
) -> None:
    encode(workspace, data, RECORDS, encoder)
    assert encode(workspace, data, RECORDS, small_encoder).encoded == 9
    assert load_vectors(workspace, data, RECORDS).positive.shape[-1] == 8
    assert encode(workspace, data, RECORDS, encoder).encoded == 0
    assert load_vectors(workspace, data, RECORDS).positive.shape[-1] == 384


def test_an_interruption_keeps_finished_chunks(
    workspace: Workspace,
    data: Dataset,
    small_encoder: TextEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(store, "SAVE_EVERY", 3)

    def interrupt(finished: int, total: int) -> None:
        if finished > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode(workspace, data, RECORDS, small_encoder, interrupt)
    with pytest.raises(NegGenError, match="has no vectors yet; run: neggen encode"):
        load_vectors(workspace, data, RECORDS)
    assert encode(workspace, data, RECORDS, small_encoder).encoded == 6
    stored, direct = (
        load_vectors(workspace, data, RECORDS),
        encode_records(data, RECORDS, small_encoder),
    )
    assert np.allclose(stored.positive, direct.positive, atol=1e-6)
    assert np.allclose(stored.negative, direct.negative, atol=1e-6)


def test_says_what_is_not_encoded(
    workspace: Workspace, data: Dataset, small_encoder: TextEncoder
) -> None:
    with pytest.raises(NegGenError, match="has no vectors yet"):
        load_vectors(workspace, data, RECORDS)
    encode(workspace, data, RECORDS, small_encoder)
    more = pl.concat([RECORDS, records_of(("d", "text", 0, "A new thing.", "An old thing."))])
    with pytest.raises(
        NegGenError, match=r"2 texts .* first being 'A new thing.'; run: neggen enc"
    ):
        load_vectors(workspace, data, more)


def test_refuses_a_damaged_file(
    workspace: Workspace, data: Dataset, small_encoder: TextEncoder
) -> None:
    encode(workspace, data, RECORDS, small_encoder)
    (path,) = workspace.vectors_dir.glob("*.safetensors")
    whole = path.read_bytes()
    for damaged in (b"", whole[:50], whole[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(NegGenError, match=f"{path} is damaged .* delete it and run neggen enc"):
            encode(workspace, data, RECORDS, small_encoder)
    save_file({"something": np.ones(2)}, path)
    with pytest.raises(NegGenError, match="is damaged"):
        VectorStore(path)


def test_layout_with_a_missing_modality_and_uneven_completions(data: Dataset) -> None:
    records = records_of(
        ("b", "text", 0, "b", "b0"),
        ("b", "text", 1, "b", "b1"),
        ("a", "image", 0, "ai", "ai0"),
        ("a", "text", 0, "at", "at0"),
        ("c", "text", 1, "c", "c1"),  # its first completion was rejected
        ("elsewhere", "text", 0, "z", "z0"),
    )
    texts = ["ai", "at", "b", "c", "ai0", "at0", "b0", "b1", "c1", *filter(None, OWN)]
    code = {text: [number, 1.0] for number, text in enumerate(texts)}
    own = own_texts(data)
    vectors = arrange(data, records, own, lambda some: np.array([code[t] for t in some], "f4"))
    assert vectors.modalities == ("image", "text")
    assert vectors.positive.shape == (4, 2, 2)
    assert vectors.negative.shape == (4, 2, 2, 2)
    assert vectors.mask.tolist() == [[True, True], [False, True], [False, True], [False, False]]
    nothing = [0.0, 0.0]
    assert vectors.positive.tolist() == [
        [code["ai"], code["at"]],
        [nothing, code["b"]],
        [nothing, code["c"]],
        [nothing, nothing],
    ]
    assert vectors.negative.tolist() == [
        [[code["ai0"], code["at0"]], [code["ai0"], code["at0"]]],
        [[nothing, code["b0"]], [nothing, code["b1"]]],
        [[nothing, code["c1"]], [nothing, code["c1"]]],
        [[nothing, nothing], [nothing, nothing]],
    ]
    assert vectors.text.tolist() == [code[text] if text else nothing for text in OWN]


def test_refuses_records_of_another_catalog(data: Dataset) -> None:
    stranger = records_of(("elsewhere", "text", 0, "z", "z0"))
    with pytest.raises(NegGenError, match="None of the records belongs"):
        arrange(data, stranger, {}, lambda texts: np.ones((len(texts), 2), np.float32))


def test_on_disk_is_as_in_memory(
    workspace: Workspace,
    data: Dataset,
    small_encoder: TextEncoder,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode(workspace, data, RECORDS, small_encoder)
    whole = load_vectors(workspace, data, RECORDS)
    monkeypatch.setattr(mapped, "IN_MEMORY", 0)
    monkeypatch.setattr(store, "TEXTS_AT_ONCE", 2)
    pieces = load_vectors(workspace, data, RECORDS)
    assert pieces.content_hash == whole.content_hash
    assert np.array_equal(pieces.mask, whole.mask)

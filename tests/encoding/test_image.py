"""Pictures to vectors, with real architectures of random weights."""

from __future__ import annotations

import io
import json
import shutil
import threading
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset, save_dataset
from neggen.encoding import pictures as kept
from neggen.encoding.image import ImageEncoder
from neggen.encoding.pictures import (
    check_pictures,
    encode_pictures,
    load_pictures,
    with_pictures,
)
from neggen.encoding.store import encode, load_vectors
from neggen.encoding.text import TextEncoder
from neggen.generation.backends.recorded import RecordedBackend
from neggen.generation.record_files import read_records
from neggen.generation.run import generate
from neggen.models.features import encoded_features
from neggen.testing import refuses
from neggen.workspace import Workspace

COLORS = ("red", "green", "blue", "white")


def picture(color: str, size: tuple[int, int] = (40, 30), kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, color).save(file, kind)
    return file.getvalue()


@pytest.fixture
def place(tmp_path: Path) -> Workspace:
    """A workspace of eight items: two of each color share a picture, and one has none."""
    source = tmp_path / "source"
    source.mkdir()
    for color in COLORS:
        (source / f"{color}.png").write_bytes(picture(color))
    colors = [COLORS[n % 4] for n in range(8)]
    names = [f"{color}.png" for color in colors[:-1]] + [None]
    items = {
        "item_id": [f"i{n}" for n in range(8)],
        "title": [f"A {color} mug" for color in colors],
        "color": colors,
        "image": names,
    }
    log = {"user_id": ["u", "v"] * 8, "item_id": [*items["item_id"], *items["item_id"]]}
    data = Dataset.from_frames(pl.DataFrame(log), pl.DataFrame(items), image_dir=source)
    workspace = Workspace(tmp_path / "w")
    save_dataset(workspace, data, source="by hand")
    return workspace


@pytest.mark.parametrize(("name", "width"), [("vit", 32), ("clip", 24)])
def test_pictures_become_unit_vectors(
    picture_models: dict[str, str], name: str, width: int, tmp_path: Path
) -> None:
    encoder = ImageEncoder(picture_models[name], batch_size=2)
    path = tmp_path / "x.jpg"
    path.write_bytes(picture("red", kind="JPEG"))
    seen: list[int] = []
    contents = [picture("red"), path, picture("blue"), picture("blue", (9, 700)), path]
    vectors = encoder.encode(contents, seen.append)
    assert vectors.shape == (5, width)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert seen == [2, 2, 1]
    assert vectors[0] @ vectors[1] > 0.999 > vectors[0] @ vectors[2]
    # The rounding of the fast type depends on what else is in the batch.
    alone = np.concatenate([ImageEncoder(picture_models[name]).encode([each]) for each in contents])
    assert (alone * vectors).sum(1).min() > 0.999


def test_an_encoder_is_told_by_its_weights_and_its_preprocessing(
    picture_models: dict[str, str], tmp_path: Path
) -> None:
    one, other = (ImageEncoder(picture_models[name]) for name in ("vit", "clip"))
    assert one.fingerprint == ImageEncoder(picture_models["vit"]).fingerprint != other.fingerprint
    changed = tmp_path / "vit"
    shutil.copytree(picture_models["vit"], changed)
    settings = json.loads((changed / "preprocessor_config.json").read_text())
    settings["image_mean"] = [0.1, 0.1, 0.1]
    (changed / "preprocessor_config.json").write_text(json.dumps(settings))
    assert ImageEncoder(str(changed)).fingerprint != one.fingerprint


def test_refuses_what_it_cannot_load_or_read(
    picture_models: dict[str, str], tmp_path: Path
) -> None:
    encoder = ImageEncoder(picture_models["vit"])
    before = threading.active_count()
    with refuses("no picture to encode"):
        encoder.encode([])
    path = tmp_path / "x.png"
    with refuses(str(path), "no such file"):
        encoder.encode([picture("red"), path])
    path.write_bytes(picture("red")[:60])
    with refuses(str(path), "cannot be read"):
        encoder.encode([path])
    assert threading.active_count() == before, "the threads are gone"
    with refuses("'no-such/model' cannot be loaded", "openai/clip-vit-base-patch32"):
        ImageEncoder("no-such/model").encode([picture("red")])


def test_an_encoder_of_texts_is_refused(small_encoder: TextEncoder) -> None:
    with refuses("takes text and no pictures"):
        ImageEncoder(small_encoder.name).encode([picture("red")])


def test_a_picture_is_encoded_once_and_laid_out_by_item(
    place: Workspace, picture_models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, encoder = load_dataset(place), ImageEncoder(picture_models["vit"])
    with refuses("are not encoded", "--pictures MODEL"):
        load_pictures(place, data)
    monkeypatch.setattr(kept, "SAVE_EVERY", 3)
    told: list[tuple[int, int]] = []
    summary = encode_pictures(place, data, encoder, lambda *now: told.append(now))
    assert (summary.pictures, summary.encoded, summary.dim) == (4, 4, 32)
    assert told == [(3, 4), (4, 4)]
    assert encode_pictures(place, data, encoder).encoded == 0
    rows = load_pictures(place, data)
    assert rows.shape == (8, 32)
    assert np.array_equal(rows[:3], rows[4:7])
    assert not rows[7].any()
    path = data.image_path(1)
    assert path is not None
    assert np.array_equal(rows[1], encoder.encode([path, path])[0]) or (
        rows[1] @ encoder.encode([path])[0] > 0.999
    )


def test_what_a_killed_run_kept_is_not_encoded_again(
    place: Workspace, picture_models: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    data, encoder = load_dataset(place), ImageEncoder(picture_models["vit"], batch_size=1)
    monkeypatch.setattr(kept, "SAVE_EVERY", 2)

    def interrupt(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        encode_pictures(place, data, encoder, interrupt)
    with refuses("are not encoded"):
        load_pictures(place, data)
    assert encode_pictures(place, data, encoder).encoded == 2


def test_own_pictures_are_features_beside_descriptions(
    place: Workspace, picture_models: dict[str, str], small_encoder: TextEncoder
) -> None:
    data, answers = load_dataset(place), place.path / "answers.jsonl"
    said = [
        {
            "item_id": item,
            "modality": side,
            "marked": f"A [red] mug, {n}.",
            "replacements": ["blue"],
        }
        for n, item in enumerate(data.item_ids[:7])
        for side in ("image", "text")
    ]
    answers.write_text("\n".join(map(json.dumps, said)))
    generate(place, data, RecordedBackend(answers, list(data.item_ids)))
    records = read_records(place.records_path)
    encode(place, data, records, small_encoder)
    before = load_vectors(place, data, records)
    with refuses("pictures are not encoded", "pictures=false"):
        encoded_features(before, "text", pictures=True)
    encode_pictures(place, data, ImageEncoder(picture_models["clip"]))
    assert load_vectors(place, data, records).content_hash == before.content_hash, (
        "runs that look at no picture stay what they are"
    )
    seen, told = with_pictures(place, data.replace(vectors=before))
    assert seen.vectors is not None
    assert seen.vectors.pictures_hash == told
    assert set(encoded_features(seen.vectors, "both")) == {"text", "image", "text-description"}
    found = encoded_features(seen.vectors, "both", pictures=True)
    assert found["image"].values.shape == (8, 24)
    assert found["image"].mask.tolist() == [True] * 7 + [False]
    assert set(found) == {"text", "image", "text-description", "image-description"}


def test_pictures_that_came_later_are_asked_for(
    place: Workspace, picture_models: dict[str, str], tmp_path: Path
) -> None:
    data = load_dataset(place)
    encode_pictures(place, data, ImageEncoder(picture_models["vit"]))
    digests = [*data.item_table["image_sha256"][:-1], "0" * 64]
    later = data.replace(
        item_table=data.item_table.with_columns(image_sha256=pl.Series(digests, dtype=pl.String))
    )
    with refuses("1 pictures", "neggen encode", f"--pictures {picture_models['vit']}"):
        load_pictures(place, later)


def test_a_catalogue_without_pictures_has_none_to_encode(
    place: Workspace, picture_models: dict[str, str]
) -> None:
    data = load_dataset(place)
    nothing = pl.Series([None] * 8, dtype=pl.String)
    bare = data.replace(
        item_table=data.item_table.with_columns(image=nothing, image_sha256=nothing)
    )
    with refuses("No item", "has a picture", "leave --pictures out"):
        check_pictures(place, bare)
    check_pictures(place, data)
    encode_pictures(place, data, ImageEncoder(picture_models["vit"]))
    assert not load_pictures(place, bare).any()


def test_a_picture_that_was_exchanged_is_not_encoded_as_the_old_one(
    place: Workspace, picture_models: dict[str, str]
) -> None:
    data, encoder = load_dataset(place), ImageEncoder(picture_models["vit"])
    path = data.image_path(2)
    assert path is not None
    path.write_bytes(picture("black"))
    with refuses(str(path), "is not the one that was imported", "--overwrite"):
        encode_pictures(place, data, encoder)
    path.unlink()
    with refuses(str(path), "no such file"):
        encode_pictures(place, data, encoder)


def test_weights_that_a_checkpoint_lacks_are_always_the_same(tmp_path: Path) -> None:
    """A classifier has no pooler, which the model draws, though it has no use for it."""
    import torch
    from transformers import ViTConfig, ViTForImageClassification
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    narrow = ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=4, intermediate_size=64,
        image_size=32, patch_size=8,
    )  # fmt: skip
    ViTForImageClassification(narrow).save_pretrained(tmp_path)
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(tmp_path)
    torch.manual_seed(1)
    one = ImageEncoder(str(tmp_path)).fingerprint
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert ImageEncoder(str(tmp_path)).fingerprint == one
    assert torch.equal(torch.get_rng_state(), state), "nobody else's draws change"

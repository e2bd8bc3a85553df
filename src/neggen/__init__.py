"""neggen: recommenders that understand items.

The public names load what they need when first used, so ``import neggen`` costs next to nothing::

    from neggen import Dataset, NegGen

    data = Dataset.from_frames(interactions, items, image_dir="images")
    model = NegGen().fit(data)
    model.recommend(["u1", "u2"], k=20)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset
    from neggen.data.shop import make_shop
    from neggen.errors import NegGenError
    from neggen.models.content_ease import ContentEASE
    from neggen.models.content_knn import ContentKNN
    from neggen.models.content_lightgcn import ContentLightGCN
    from neggen.models.ease import EASE
    from neggen.models.frozen_graph import FrozenGraph
    from neggen.models.lightgcn import LightGCN
    from neggen.models.linear_neggen import LinearNegGen
    from neggen.models.mf import MF
    from neggen.models.neggen import NegGen
    from neggen.models.popularity import Popularity
    from neggen.workspace import Workspace

__version__ = "0.1.0"

_HOMES = {
    "ContentEASE": "neggen.models.content_ease",
    "ContentKNN": "neggen.models.content_knn",
    "ContentLightGCN": "neggen.models.content_lightgcn",
    "Dataset": "neggen.data.dataset",
    "EASE": "neggen.models.ease",
    "FrozenGraph": "neggen.models.frozen_graph",
    "LightGCN": "neggen.models.lightgcn",
    "LinearNegGen": "neggen.models.linear_neggen",
    "MF": "neggen.models.mf",
    "NegGen": "neggen.models.neggen",
    "NegGenError": "neggen.errors",
    "Popularity": "neggen.models.popularity",
    "Workspace": "neggen.workspace",
    "make_shop": "neggen.data.shop",
}

__all__ = [
    "EASE",
    "MF",
    "ContentEASE",
    "ContentKNN",
    "ContentLightGCN",
    "Dataset",
    "FrozenGraph",
    "LightGCN",
    "LinearNegGen",
    "NegGen",
    "NegGenError",
    "Popularity",
    "Workspace",
    "make_shop",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'neggen' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)

"""neggen: recommenders that understand items.

The public names load what they need when first used, so ``import neggen`` costs next to nothing::

    from neggen import Dataset, NegGen, evaluate

    data = Dataset.from_frames(interactions, items, image_dir="images").split("random")
    model = NegGen().fit(data)
    model.recommend(["u1", "u2"], k=20)
    evaluate(model, data).metrics
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset
    from neggen.data.readers import read_source
    from neggen.data.shop import make_shop
    from neggen.data.store import load_dataset
    from neggen.errors import NegGenError
    from neggen.models.bm3 import BM3
    from neggen.models.content_ease import ContentEASE
    from neggen.models.content_knn import ContentKNN
    from neggen.models.content_lightgcn import ContentLightGCN
    from neggen.models.ease import EASE
    from neggen.models.evaluation import evaluate
    from neggen.models.explain import explain
    from neggen.models.freedom import FREEDOM
    from neggen.models.frozen_graph import FrozenGraph
    from neggen.models.grcn import GRCN
    from neggen.models.item_knn import ItemKNN
    from neggen.models.lattice import LATTICE
    from neggen.models.lgmrec import LGMRec
    from neggen.models.lightgcn import LightGCN
    from neggen.models.linear_neggen import LinearNegGen
    from neggen.models.loading import load
    from neggen.models.mf import MF
    from neggen.models.mgcn import MGCN
    from neggen.models.mmgcn import MMGCN
    from neggen.models.neggen import NegGen
    from neggen.models.popularity import Popularity
    from neggen.models.slmrec import SLMRec
    from neggen.models.vbpr import VBPR
    from neggen.workspace import Workspace

__version__ = "0.1.0"

_HOMES = {
    "BM3": "neggen.models.bm3",
    "ContentEASE": "neggen.models.content_ease",
    "ContentKNN": "neggen.models.content_knn",
    "ContentLightGCN": "neggen.models.content_lightgcn",
    "Dataset": "neggen.data.dataset",
    "EASE": "neggen.models.ease",
    "FREEDOM": "neggen.models.freedom",
    "FrozenGraph": "neggen.models.frozen_graph",
    "GRCN": "neggen.models.grcn",
    "ItemKNN": "neggen.models.item_knn",
    "LATTICE": "neggen.models.lattice",
    "LGMRec": "neggen.models.lgmrec",
    "LightGCN": "neggen.models.lightgcn",
    "LinearNegGen": "neggen.models.linear_neggen",
    "MF": "neggen.models.mf",
    "MGCN": "neggen.models.mgcn",
    "MMGCN": "neggen.models.mmgcn",
    "NegGen": "neggen.models.neggen",
    "NegGenError": "neggen.errors",
    "Popularity": "neggen.models.popularity",
    "SLMRec": "neggen.models.slmrec",
    "VBPR": "neggen.models.vbpr",
    "Workspace": "neggen.workspace",
    "evaluate": "neggen.models.evaluation",
    "explain": "neggen.models.explain",
    "load": "neggen.models.loading",
    "load_dataset": "neggen.data.store",
    "make_shop": "neggen.data.shop",
    "read_source": "neggen.data.readers",
}

__all__ = [
    "BM3",
    "EASE",
    "FREEDOM",
    "GRCN",
    "LATTICE",
    "MF",
    "MGCN",
    "MMGCN",
    "VBPR",
    "ContentEASE",
    "ContentKNN",
    "ContentLightGCN",
    "Dataset",
    "FrozenGraph",
    "ItemKNN",
    "LGMRec",
    "LightGCN",
    "LinearNegGen",
    "NegGen",
    "NegGenError",
    "Popularity",
    "SLMRec",
    "Workspace",
    "evaluate",
    "explain",
    "load",
    "load_dataset",
    "make_shop",
    "read_source",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'neggen' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

"""Recommenders: one file a model, one interface for all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neggen.registry import Registry

if TYPE_CHECKING:
    from neggen.models.base import Recommender

MODELS: Registry[Recommender] = Registry(
    "model",
    "neggen.models",
    {
        "popularity": "neggen.models.popularity:Popularity",
        "item-knn": "neggen.models.item_knn:ItemKNN",
        "mf": "neggen.models.mf:MF",
        "ease": "neggen.models.ease:EASE",
        "lightgcn": "neggen.models.lightgcn:LightGCN",
        "content-knn": "neggen.models.content_knn:ContentKNN",
        "content-ease": "neggen.models.content_ease:ContentEASE",
        "frozen-graph": "neggen.models.frozen_graph:FrozenGraph",
        "lightgcn-content": "neggen.models.content_lightgcn:ContentLightGCN",
        "freedom": "neggen.models.freedom:FREEDOM",
        "lattice": "neggen.models.lattice:LATTICE",
        "mgcn": "neggen.models.mgcn:MGCN",
        "bm3": "neggen.models.bm3:BM3",
        "lgmrec": "neggen.models.lgmrec:LGMRec",
        "slmrec": "neggen.models.slmrec:SLMRec",
        "vbpr": "neggen.models.vbpr:VBPR",
        "mmgcn": "neggen.models.mmgcn:MMGCN",
        "grcn": "neggen.models.grcn:GRCN",
        "neggen": "neggen.models.neggen:NegGen",
        "neggen-linear": "neggen.models.linear_neggen:LinearNegGen",
    },
)
"""The models by their names on the command line."""


def model_class(name: str) -> type[Recommender]:
    """Return the recommender class called ``name``.

    Raises:
        NegGenError: If there is none, naming the nearest one.
    """
    return MODELS.find(name)

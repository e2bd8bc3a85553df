"""Why a run recommends what it does, in the words of its workspace's records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from neggen.comparison.encoder import KeptEncoder
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from neggen.models.base import Recommender
    from neggen.runs import Run


def explain_run(
    run: Run,
    model: Recommender,
    data: Dataset,
    users: Sequence[str],
    items: Sequence[str],
    histories: Mapping[str, Sequence[str]] | None = None,
) -> pl.DataFrame:
    """Explain pairs of a user and an item by a run; see :func:`neggen.models.explain.explain`.

    Args:
        run: the run.
        model: its model, loaded.
        data: its data, with the workspace's records and vectors.
        users: external ids, one a pair.
        items: external ids, one a pair.
        histories: what people used, by name; ``users`` are then such names.

    Raises:
        NegGenError: As for ``explain``, if the records or vectors have changed since training, or
            if the encoder of the workspace is not at hand.
    """
    from neggen.models.explain import explain, require_described

    require_described(model)
    if data.vectors is not None and data.vectors.content_hash != run.manifest.get("vectors_hash"):
        raise NegGenError(
            f"The descriptions of {run.workspace.path} have changed since {run.folder} was "
            f"trained, so they cannot explain it; train again with --overwrite."
        )
    encoder = KeptEncoder(run.workspace, model.config.device)
    return explain(model, data, users, items, encoder, histories)

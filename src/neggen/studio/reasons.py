"""Why a run recommends what it does, in the words of its workspace's records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from neggen.comparison.encoder import KeptEncoder
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from neggen.models.base import Recommender
    from neggen.runs import Run

REASONS = 3
"""Key attributes named for an item, at most."""
LEAST_SHARE = 0.05
"""The least part of all that speaks for or against an item that an attribute named for it has."""


@dataclass(frozen=True)
class Reason:
    """A key attribute that speaks for an item, and its contribution to the score."""

    value: str
    contribution: float


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


def strongest_reasons(explained: pl.DataFrame) -> dict[tuple[str, str], tuple[Reason, ...]]:
    """Return what speaks most for each item to each user, by user and item id.

    Args:
        explained: what :func:`explain_run` returned.
    """
    found: dict[tuple[str, str], list[Reason]] = {}
    for user, item, value, contribution in (
        explained.filter((pl.col("contribution") > 0) & (pl.col("share") >= LEAST_SHARE))
        .unique(["user_id", "item_id", "value"], keep="first", maintain_order=True)
        .select("user_id", "item_id", "value", "contribution")
        .iter_rows()
    ):
        found.setdefault((user, item), []).append(Reason(value, contribution))
    return {pair: tuple(reasons[:REASONS]) for pair, reasons in found.items()}

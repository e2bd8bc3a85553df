"""What a study found, as plain values: figures by seed, and every row against another."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl

from neggen.comparison.fitting import Fit
from neggen.comparison.study import Study
from neggen.comparison.tuning import Tuned
from neggen.evaluation.significance import compare_over_seeds, holm

DISTANCE = "intra_list_distance@20"
"""Of the figures beyond accuracy, the one that is measured by descriptions."""
SHOWN = ("recall@20", "ndcg@20")
"""Figures that every table shows."""


def summarize(
    study: Study,
    rows: Sequence[str],
    tuned: Mapping[str, Tuned],
    fits: Mapping[tuple[str, ...], Sequence[Fit]],
) -> dict[str, Any]:
    """Return what ``results.json`` holds.

    Args:
        study: what was compared.
        rows: the names of its rows that could be, in order.
        tuned: what tuning chose, by row.
        fits: by seed, under ``("row", name)`` and ``("sweep", name, number of the value)``.
    """
    described_by = {fit.described_by for of_row in fits.values() for fit in of_row}
    apart = {DISTANCE} if len(described_by) > 1 else set()  # measured by different vectors
    found = {name: _row(study, name, tuned, fits["row", name], apart) for name in rows}
    pairs = {
        name: other
        for name in rows
        if (other := study.opponent(name)) is not None and other in found
    }
    users = {name: per_user(study, fits["row", name]) for name in {*pairs, *pairs.values()}}
    compared = {
        name: asdict(compare_over_seeds(users[name], users[other], study.metric))
        for name, other in pairs.items()
    }
    for test in ("t_test", "wilcoxon"):
        for name, p in zip(pairs, holm([compared[n][test] for n in pairs]), strict=True):
            compared[name][f"{test}_holm"] = p
    for name, other in pairs.items():
        found[name]["against"] = {"row": other, **compared[name]}
    return {
        "title": study.title,
        "split": study.split,
        "shares": study.split_config(0).unusual_shares,
        "part": study.part,
        "seeds": study.seeds,
        "metric": study.metric,
        "budget": study.budget,
        "minutes": study.minutes,
        "reference": _reference(study, list(pairs.values())),
        "rows": found,
        "sweeps": {
            name: _sweep(study, name, fits)
            for name, sweep in study.sweeps.items()
            if sweep.row in found
        },
    }


def _reference(study: Study, others: Sequence[str]) -> str:
    """Return the row that all are tested against if it is one; else that of the study."""
    return others[0] if len(set(others)) == 1 else study.reference_row


def per_user(study: Study, fits: Sequence[Fit]) -> pl.DataFrame:
    """Return the figures of every user and seed on the study's part, with a column ``seed``."""
    return pl.concat(
        pl.read_parquet(fit.per_user_path)
        .filter(pl.col("part") == study.part)
        .select(pl.lit(seed).alias("seed"), pl.exclude("part"))
        for seed, fit in enumerate(fits)
    )


def spread(values: Sequence[float]) -> tuple[float, float | None]:
    """Return the mean and the sample standard deviation, which one value has not."""
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None


def _row(
    study: Study,
    name: str,
    tuned: Mapping[str, Tuned],
    fits: Sequence[Fit],
    left_out: Collection[str],
) -> dict[str, Any]:
    own, base, part = tuned[study.tuned_row(name)], study.rows[name].base, study.part
    tuning = {
        **asdict(own),
        "of": study.rows[name].same_search_as,
        "base": base,
        "base_trials": 0 if base is None else tuned[study.tuned_row(base)].trials,
    }
    return {
        "model": study.rows[name].model,
        "negatives": study.rows[name].negatives,
        "modality": study.rows[name].modality,
        "settings": {key: value for key, value in fits[0].settings.items() if key != "seed"},
        "tuning": tuning,
        "seconds": float(np.mean([fit.cost.seconds for fit in fits])),
        "epoch_seconds": _mean([fit.cost.epoch_seconds for fit in fits]),
        "evaluation_seconds": float(np.mean([fit.evaluation_seconds[part] for fit in fits])),
        "peak_mib": max(
            (peak for fit in fits if (peak := fit.cost.peak_mib) is not None), default=None
        ),
        "devices": sorted({fit.cost.device for fit in fits}),
        "valid": [fit.metrics["valid"][study.metric] for fit in fits],
        "metrics": {
            metric: [fit.metrics[part][metric] for fit in fits] for metric in fits[0].metrics[part]
        },
        "slices": {
            name: {figure: [fit.slices[part][name][figure] for fit in fits] for figure in figures}
            for name, figures in fits[0].slices[part].items()
        },
        "diversity": {
            figure: [fit.diversity[part][figure] for fit in fits]
            for figure in fits[0].diversity[part]
            if figure not in left_out
        },
        "against": None,
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _sweep(
    study: Study, name: str, fits: Mapping[tuple[str, ...], Sequence[Fit]]
) -> dict[str, Any]:
    sweep = study.sweeps[name]
    at = [fits["sweep", name, str(number)] for number in range(len(sweep.values))]
    valid = [[fit.metrics["valid"][study.metric] for fit in found] for found in at]
    return {
        "row": sweep.row,
        "setting": sweep.setting or name,
        "values": list(sweep.values),
        "valid": valid,
        "tested": [[fit.metrics[study.part][study.metric] for fit in found] for found in at],
        "best_on_valid": sweep.values[int(np.argmax([np.mean(figures) for figures in valid]))],
    }

"""Runs as data frames."""

from __future__ import annotations

import polars as pl

from neggen.runs import Run


def history_frame(*runs: Run) -> pl.DataFrame:
    """Return every epoch of runs: one row an epoch of a phase.

    Returns:
        ``run``, ``phase``, ``epoch``, ``loss`` (null before the first step), ``seconds``, ``best``
        (whether it is the best epoch so far), and the validation figures, null where it was not
        validated.
    """
    rows = [
        {"run": run.folder.name, "phase": phase, **log, **(log["valid"] or {})}
        for run in runs
        for phase, logs in run.history.items()
        for log in logs
    ]
    schema = {"run": pl.String, "phase": pl.String, "epoch": pl.Int64, "loss": pl.Float64}
    schema |= {"seconds": pl.Float64, "best": pl.Boolean}
    names = dict.fromkeys(name for row in rows for name in row if name != "valid")
    return pl.DataFrame(rows, {**schema, **{n: pl.Float64 for n in names if n not in schema}})


def metrics_frame(*runs: Run) -> pl.DataFrame:
    """Return the figures of evaluated runs: one row a run and part, one column a figure."""
    rows = [
        {"run": run.folder.name, "part": part, **figures}
        for run in runs
        for part, figures in run.metrics.items()
    ]
    named = {"run": pl.String, "part": pl.String}
    names = dict.fromkeys(name for row in rows for name in row)
    return pl.DataFrame(rows, {**named, **{n: pl.Float64 for n in names if n not in named}})

"""NegGen against the base it starts from, popularity and EASE, on random splits of real data.

    python benchmarks/neggen_against_base.py --data DATA/amazon-office --seeds 3

The folder holds interactions, items and recorded answers (``answers.jsonl``). Every seed draws its
own split and initial weights. Models are chosen on validation; the figures are those of the test
part. The p-values are of paired t-tests on NDCG@20 over users: of one seed, and of the means over
seeds of each user, so that a user who is tested under several seeds counts once.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import numpy as np
import polars as pl
import typer
from scipy.stats import ttest_rel

from common import (
    DataOption,
    DeviceOption,
    WorkspaceOption,
    find_data,
    imported,
    print_last_line,
    run_benchmark,
    trained_and_tested,
)
from neggen import Dataset, Workspace
from neggen.cli.output import counting, generating, print_table
from neggen.config import SplitConfig
from neggen.encoding.store import encode
from neggen.encoding.text import TextEncoder
from neggen.generation.backends.recorded import RecordedBackend
from neggen.generation.record_files import read_records
from neggen.generation.run import generate
from neggen.runs import Run

MODELS = ("popularity", "ease", "neggen-linear", "lightgcn", "neggen")


def main(
    data: DataOption,
    seeds: Annotated[int, typer.Option(min=1, help="How many splits.")] = 3,
    workspace: WorkspaceOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Train popularity, EASE, LightGCN and NegGen on random splits and compare them on test."""
    source = find_data(data, "amazon-office")
    with imported(source, workspace) as (place, catalogue):
        describe(place, catalogue, source / "answers.jsonl", device)
        runs: dict[str, list[Run]] = {model: [] for model in MODELS}
        for seed in range(seeds):
            split = SplitConfig(kind="random", seed=seed)
            for model in MODELS:
                settings = {"seed": seed, "device": device}
                runs[model].append(trained_and_tested(place, model, settings, split))
        report(runs, source.name)


def describe(workspace: Workspace, data: Dataset, answers: Path, device: str) -> None:
    """Turn the recorded answers into records and vectors; what is there already costs nothing."""
    with generating() as progress:
        generate(workspace, data, RecordedBackend(answers, data.item_ids), on_progress=progress)
    records = read_records(workspace.records_path)
    with counting("Encoding") as progress:
        encode(workspace, data, records, TextEncoder(device=device), progress)


def report(runs: dict[str, list[Run]], title: str) -> None:
    """Print the table and the line of JSON."""
    recalls = {model: figures(own, "recall@20") for model, own in runs.items()}
    ndcgs = {model: figures(own, "ndcg@20") for model, own in runs.items()}
    gains = [ours - base for ours, base in zip(ndcgs["neggen"], ndcgs["lightgcn"], strict=True)]
    by_seed = [
        p_value(paired([ours], [base]))
        for ours, base in zip(runs["neggen"], runs["lightgcn"], strict=True)
    ]
    overall = p_value(paired(runs["neggen"], runs["lightgcn"]))

    rows = [
        [model, spread(recalls[model]), spread(ndcgs[model]), *(f"{x:.4f}" for x in ndcgs[model])]
        for model in MODELS
    ]
    rows.append(["neggen − lightgcn", "", spread(gains), *(f"{gain:+.4f}" for gain in gains)])
    rows.append(["p, paired over users", "", f"{overall:.2g}", *(f"{p:.2g}" for p in by_seed)])
    columns = ["model", "Recall@20", "NDCG@20", *(f"seed {seed}" for seed in range(len(gains)))]
    print_table(columns, rows, title=f"{title}, test, mean ± std over seeds; NDCG@20 by seed")
    print_last_line(
        {
            "recall_20": recalls,
            "ndcg_20": ndcgs,
            "ndcg_ratio": float(np.mean(ndcgs["neggen"]) / np.mean(ndcgs["lightgcn"])),
            "p_value": overall,
        }
    )


def figures(runs: Sequence[Run], metric: str) -> list[float]:
    """Return a test figure by seed."""
    return [run.metrics["test"][metric] for run in runs]


def spread(values: Sequence[float]) -> str:
    """Write values as mean ± sample standard deviation."""
    mean = f"{np.mean(values):.4f}"
    return f"{mean} ± {np.std(values, ddof=1):.4f}" if len(values) > 1 else mean


def paired(ours: Sequence[Run], base: Sequence[Run]) -> pl.DataFrame:
    """Return one row a user with the mean over runs of both sides, ``ndcg@20`` and ``base``."""
    sides = [
        pl.concat(pl.read_parquet(run.folder / "per_user" / "test.parquet") for run in side)
        .group_by("user_id", maintain_order=True)
        .agg(pl.col("ndcg@20").cast(pl.Float64).mean())
        for side in (ours, base)
    ]
    return sides[0].join(sides[1].rename({"ndcg@20": "base"}), on="user_id", validate="1:1")


def p_value(users: pl.DataFrame) -> float:
    """Return the p-value of a paired t-test over users; 1 if nothing differs."""
    if users["ndcg@20"].equals(users["base"]):
        return 1.0
    return float(ttest_rel(users["ndcg@20"], users["base"]).pvalue)


if __name__ == "__main__":
    run_benchmark(main)

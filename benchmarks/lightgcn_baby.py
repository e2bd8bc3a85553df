"""LightGCN and EASE on the given split of Amazon Baby, beside what others report.

    python benchmarks/lightgcn_baby.py --data DATA/amazon-baby --device cuda

The protocol is that of the MMRec toolbox: five-core data with the split that comes with them,
weights chosen on validation by Recall@20, all items ranked, training items taken out. LightGCN's
reference is its row in the tables of MMRec and FREEDOM (Zhou and Shen 2023, arXiv 2211.06924).
Those have no row of EASE; its reference is the figure this benchmark should at least reach.
"""

from __future__ import annotations

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
from neggen.cli.output import print_table
from neggen.config import SplitConfig

SETTINGS = {"lightgcn": {"layers": 3}, "ease": {"regularization": 200.0}}
REFERENCE_RECALL = {"lightgcn": 0.0754, "ease": 0.0815}


def main(data: DataOption, workspace: WorkspaceOption = None, device: DeviceOption = "cpu") -> None:
    """Train LightGCN (3 layers) and EASE (λ = 200) on the given split and measure the test part."""
    with imported(find_data(data, "amazon-baby"), workspace) as (place, _):
        runs = {
            model: trained_and_tested(
                place, model, {"device": device, **settings}, SplitConfig(kind="given")
            )
            for model, settings in SETTINGS.items()
        }
        metrics = {model: run.metrics["test"] for model, run in runs.items()}
        seconds = {model: run.manifest["seconds"] for model, run in runs.items()}
    rows = [
        [
            model,
            f"{metrics[model]['recall@20']:.4f}",
            f"{REFERENCE_RECALL[model]:.4f}",
            f"{metrics[model]['ndcg@20']:.4f}",
            f"{seconds[model]:.0f}",
        ]
        for model in SETTINGS
    ]
    columns = ["model", "Recall@20", "reference", "NDCG@20", "seconds"]
    print_table(columns, rows, title="Amazon Baby, test part of the given split")
    print_last_line(
        {
            "lightgcn_recall_20": metrics["lightgcn"]["recall@20"],
            "ease_recall_20": metrics["ease"]["recall@20"],
            "seconds": round(sum(seconds.values()), 1),
        }
    )


if __name__ == "__main__":
    run_benchmark(main)

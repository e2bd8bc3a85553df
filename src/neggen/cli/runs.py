"""The command that lists the runs of a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from neggen.cli.catalogue import JsonOption, WorkspaceArgument
from neggen.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from neggen.runs import Run


def runs(workspace: WorkspaceArgument, as_json: JsonOption = False) -> None:
    """List the runs of a workspace: what was trained on which split, and how good it is.

    – stands for what was not measured: evaluate it. --json has all figures and settings. Whether a
    difference is chance, compare says.
    """
    from neggen.errors import NegGenError
    from neggen.runs import finished_runs, unfinished_runs
    from neggen.workspace import Workspace

    place = Workspace.open(workspace)
    held = place.manifest("content_hash")["content_hash"]
    found, rows, remarks = [], [], []
    for run in finished_runs(place):
        try:
            described = _described(run)
            rows.append(_row(described))
            found.append(described)
            run.require_data(held)
        except NegGenError as error:
            remarks.append(str(error))
    if as_json:
        print_json(found)
    elif rows:
        title = f"{place.runs_dir}, with NDCG@20 on validation and test"
        print_table(list(rows[0]), [list(row.values()) for row in rows], title=title)
    else:
        remarks.append(f"{place.path} holds no finished run: neggen train makes one.")
    for run in unfinished_runs(place):
        remarks.append(
            f"{run.folder} is being trained, or was interrupted; its command, given again, goes on."
        )
    for remark in remarks:
        say(remark)


def _described(run: Run) -> dict[str, Any]:
    """Return what a run is and how good it was found to be, as plain values."""
    manifest = run.manifest
    return {
        "run": str(run.folder),
        "model": manifest["model"],
        "split": manifest["split"],
        "settings": manifest["settings"],
        "seconds": manifest["seconds"],
        "valid": run.best_validation,
        "metrics": run.metrics,
    }


def _row(described: dict[str, Any]) -> dict[str, str]:
    """Return the cells of one run by column."""
    from neggen.config import SplitConfig

    test = described["metrics"].get("test", {})

    def figure(figures: dict[str, float], metric: str) -> str:
        return f"{figures[metric]:.4f}" if metric in figures else "–"

    return {
        "run": Path(described["run"]).name,
        "model": described["model"],
        "split": SplitConfig.build(described["split"]).name,
        "valid": figure(described["valid"], "ndcg@20"),
        "test": figure(test, "ndcg@20"),
        "fit s": f"{described['seconds']:,.0f}",
    }

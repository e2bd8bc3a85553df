"""Which runs of a workspace can be looked at as things are now, and why others cannot."""

from __future__ import annotations

from collections.abc import Sequence

from neggen.errors import NegGenError
from neggen.models import model_class
from neggen.models.files import check_model_files
from neggen.runs import Run
from neggen.workspace import Workspace


def usable_runs(workspace: Workspace, runs: Sequence[Run]) -> tuple[list[Run], dict[str, str]]:
    """Tell runs of the present data, whose model and sampler are installed, from all others.

    Returns:
        Those runs, in the order given, and by the name of every other its reason, a sentence.
    """
    held = workspace.manifest("content_hash")["content_hash"]
    usable, left_out = [], {}
    for run in runs:
        try:
            _check(run, held)
        except NegGenError as error:
            left_out[run.folder.name] = str(error)
        else:
            usable.append(run)
    return usable, left_out


def _check(run: Run, held: str) -> None:
    run.require_data(held)
    manifest = run.manifest
    cls = model_class(manifest["model"])
    cls(cls.config_class.build(manifest["settings"]))
    check_model_files(run.model_dir)
    _ = run.history, run.metrics

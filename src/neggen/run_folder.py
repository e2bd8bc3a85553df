"""The folder of a run: what it holds, and that one process at a time trains it.

::

    run.toml             what was trained on what, when, for how long
    model/               the fitted model (see ``Recommender.save``)
    history.json         every epoch of every phase
    metrics.json         figures by evaluated part
    per_user/PART.parquet  the same figures of every user
    checkpoints/         while training: what a resume needs
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from neggen.config import EVERYTHING, SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset
from neggen.errors import NegGenError
from neggen.models import model_class
from neggen.models.base import Recommender
from neggen.training.distributed import first_says, writes
from neggen.workspace import Workspace, read_toml, write_text


class Run:
    """A finished or unfinished run folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest_path = self.folder / "run.toml"
        self.model_dir = self.folder / "model"
        self.history_path = self.folder / "history.json"
        self.metrics_path = self.folder / "metrics.json"
        self.checkpoint_dir = self.folder / "checkpoints"
        self.replacing_path = self.checkpoint_dir / "replacing.json"

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Open a finished run.

        Raises:
            NegGenError: If the folder holds no run, or one whose training was interrupted.
        """
        run = cls(folder)
        if not run.manifest_path.is_file():
            if run.checkpoint_dir.is_dir():
                raise NegGenError(
                    f"{run.folder} was interrupted while training; give the same command "
                    f"again and it goes on where it stopped."
                )
            if names := [str(each.folder) for each in finished_runs(Workspace(folder))]:
                raise NegGenError(f"{folder} is a workspace; its runs are {', '.join(names)}.")
            raise NegGenError(f"{run.folder} is not a run (it has no run.toml); train one first.")
        return run

    @property
    def manifest(self) -> dict[str, Any]:
        """The contents of ``run.toml``."""
        return read_toml(
            self.manifest_path, "model", "settings", "split", "content_hash", "seconds"
        )

    @property
    def history(self) -> dict[str, list[dict[str, Any]]]:
        """Every epoch of every phase, as written by the training loop."""
        return _read_json(self.history_path)

    @property
    def metrics(self) -> dict[str, dict[str, float]]:
        """Figures by evaluated part; empty before the first evaluation."""
        return _read_json(self.metrics_path) if self.metrics_path.is_file() else {}

    @property
    def workspace(self) -> Workspace:
        """The workspace this run lies in."""
        return Workspace.open(self.folder.resolve().parent.parent)

    @property
    def holds_out(self) -> bool:
        """Whether its split leaves something to measure it by; see :mod:`neggen.refitting`."""
        kind: str = self.manifest["split"]["kind"]
        return kind != EVERYTHING

    @property
    def best_validation(self) -> dict[str, float]:
        """Validation figures of the weights that were kept; empty for a model without epochs."""
        logs = [log for phase in self.history.values() for log in phase if log["best"]]
        return dict(logs[-1]["valid"]) if logs else {}

    def load_model(self, device: str = "cpu") -> Recommender:
        """Load the fitted model."""
        return model_class(self.manifest["model"]).load(self.model_dir, device=device)

    def require_data(self, content_hash: str) -> None:
        """Raise NegGenError if this run was trained on other data than those of a content hash."""
        if content_hash != self.manifest["content_hash"]:
            raise NegGenError(
                f"{self.folder} was trained on other data than {self.workspace.path} now holds; "
                f"train again with --overwrite."
            )

    def load_data(self) -> Dataset:
        """Load the data set with the split this run was trained on; see :meth:`require_data`."""
        data = load_dataset(self.workspace, SplitConfig.build(self.manifest["split"]))
        self.require_data(data.content_hash)
        return data

    def clear(self) -> None:
        """Remove what a training and its evaluation left, first what says that it is finished."""
        for path in (self.manifest_path, self.metrics_path):
            path.unlink(missing_ok=True)
        for folder in (self.folder / "per_user", self.model_dir):
            shutil.rmtree(folder, ignore_errors=True)

    def begin_anew(self, identity: Mapping[str, Any]) -> None:
        """Forget a training of something else that was interrupted, and what trackers know."""
        note = self.replacing_path
        told = json.dumps(identity, sort_keys=True)
        if note.is_file() and note.read_text(encoding="utf-8") == told:
            return  # it goes on
        for folder in (self.checkpoint_dir, self.folder / "tensorboard"):
            shutil.rmtree(folder, ignore_errors=True)
        (self.folder / "tracking.toml").unlink(missing_ok=True)
        write_text(note, told)


def finished_runs(workspace: Workspace) -> list[Run]:
    """Return the finished runs of a workspace, by name."""
    return [Run(path.parent) for path in sorted(workspace.runs_dir.glob("*/run.toml"))]


def unfinished_runs(workspace: Workspace) -> list[Run]:
    """Return the runs that are being trained, or whose training was interrupted, by name."""
    begun = [Run(path.parent) for path in sorted(workspace.runs_dir.glob("*/checkpoints"))]
    return [run for run in begun if not run.manifest_path.is_file() or run.replacing_path.is_file()]


@contextmanager
def trained_alone(run: Run, workspace: Workspace) -> Iterator[None]:
    """Keep other processes from training a run of a workspace for a block.

    Processes that train it together are one: the first of them holds the lock. Its file stays
    outside of the runs, where nobody takes it for one.

    Raises:
        NegGenError: If another process trains it.
    """
    with ExitStack() as held:
        free = True
        if writes():
            workspace.locks_dir.mkdir(parents=True, exist_ok=True)
            lock = FileLock(workspace.locks_dir / f"{run.folder.name}.lock", timeout=0)
            try:
                held.enter_context(lock)
            except Timeout:
                free = False
        if not first_says(free):
            raise NegGenError(
                f"{run.folder} is being trained by another process; give the same command again "
                f"when that one has ended."
            )
        yield


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        return found
    except (OSError, ValueError) as error:
        mend = "evaluate again" if path.name == "metrics.json" else "delete the run and train again"
        raise NegGenError(f"{path} cannot be read ({error}); {mend}.") from None

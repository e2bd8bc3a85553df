"""A run: one model trained on one split of a workspace, in a folder of its own.

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
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

import neggen
from neggen.config import EVERYTHING, SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset
from neggen.encoding.pictures import with_pictures
from neggen.encoding.store import encoder_of, load_vectors
from neggen.errors import NegGenError
from neggen.generation.record_files import current_records
from neggen.models import model_class
from neggen.models.base import FitContext, OnPhaseEpoch, Recommender
from neggen.models.evaluation import evaluate
from neggen.models.features import asks_for_pictures
from neggen.models.measuring import all_figures
from neggen.models.modality_shares import modality_shares
from neggen.models.neggen import NegGen
from neggen.run_names import folder_name, run_name
from neggen.training.distributed import first_says, writes
from neggen.training.loop import RULES
from neggen.workspace import Workspace, atomic_path, read_toml, write_text, write_toml


class Run:
    """A finished or unfinished run folder."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self.manifest_path = self.folder / "run.toml"
        self.model_dir = self.folder / "model"
        self.history_path = self.folder / "history.json"
        self.metrics_path = self.folder / "metrics.json"
        self.checkpoint_dir = self.folder / "checkpoints"

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
        note = self.checkpoint_dir / "replacing.json"
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
    return [Run(path.parent) for path in sorted(workspace.runs_dir.glob("*/checkpoints"))]


def train_run(
    workspace: Workspace,
    model_name: str,
    settings: Mapping[str, Any],
    split: SplitConfig,
    *,
    name: str | None = None,
    overwrite: bool = False,
    on_epoch: OnPhaseEpoch | None = None,
) -> Run:
    """Train a model on a split of the workspace and save it as a run.

    A finished run with the same model, settings, split and data is returned as it is; an
    unfinished one goes on from its last checkpoint. NegGen's first phase is a run of its own,
    trained if it is not there yet.

    Args:
        workspace: with imported data, and for NegGen generated and encoded.
        model_name: a key of :data:`neggen.models.MODELS`.
        settings: changes to the model's defaults.
        split: the division into parts; drawn and saved if it is new.
        name: the run's folder name; see :func:`~neggen.run_names.run_name`.
        overwrite: replace another run in this folder (or NegGen's first phase in its own), which
            stays until the training is finished.
        on_epoch: called with the phase and the log of every epoch.

    Raises:
        NegGenError: If a setting is wrong, something is missing, or the folder holds another run.
    """
    cls = model_class(model_name)
    config = cls.config_class.build(settings)
    run = Run(workspace.runs_dir / folder_name(name or run_name(model_name, config, split)))
    data = load_dataset(workspace, split)
    model = cls(config)
    identity = {
        "model": model_name,
        "settings": config.identity(),
        "split": split.model_dump(),
        "content_hash": data.content_hash,
        "rules": RULES,
    }
    if model.wants_vectors(data):
        data = with_vectors(workspace, data)
        assert data.vectors is not None
        identity["vectors_hash"] = data.vectors.content_hash
        identity["encoder"] = encoder_of(workspace)
        if data.vectors.reads != "descriptions":
            identity["reads"] = data.vectors.reads
        if asks_for_pictures(config):
            data, identity["pictures_hash"] = with_pictures(workspace, data)
    if first_says(run.manifest_path.is_file()):
        written = {key: run.manifest.get(key) for key in identity}
        if written == identity:
            return run
        if not overwrite:
            raise NegGenError(
                f"{run.folder} holds a run with other settings or data, or of a version that "
                f"trained otherwise; replace it with --overwrite, or give this one another name "
                f"with --name."
            )
    if overwrite and writes():
        run.begin_anew(identity)
    if isinstance(model, NegGen):
        base_settings = model.base_config.model_dump()
        base = train_run(
            workspace,
            model.backbone_class.name,
            base_settings,
            split,
            overwrite=overwrite,
            on_epoch=on_epoch,
        )
        model.base = base.load_model(config.device)

    started = time.monotonic()
    model.fit(data, FitContext(run.checkpoint_dir, on_epoch))
    if not writes():
        first_says(True)  # that the run is written
        return run
    run.clear()
    model.save(run.model_dir)
    history = {phase: [asdict(log) for log in logs] for phase, logs in model.history.items()}
    write_text(run.history_path, json.dumps(history))
    about = {"seconds": round(time.monotonic() - started, 2), "neggen": neggen.__version__}
    if isinstance(model, NegGen) and data.holds_out:
        about["modality_shares"] = modality_shares(model, data)
    write_toml(run.manifest_path, {**identity, **about})
    shutil.rmtree(run.checkpoint_dir, ignore_errors=True)
    first_says(True)
    return run


def with_vectors(workspace: Workspace, data: Dataset) -> Dataset:
    """Attach the workspace's records and vectors to a data set."""
    records = current_records(workspace.records_path, workspace.journal_path, data)
    return data.replace(records=records, vectors=load_vectors(workspace, data, records))


def evaluate_run(
    run: Run, parts: Sequence[str] | None = None, device: str = "cpu"
) -> dict[str, dict[str, float]]:
    """Measure a run on parts of its data or on named test sets; keep and return the figures.

    Ranked against all items, or, where all that a part holds is new (``cold-items``), against the
    new items of that part; see :func:`~neggen.evaluation.ranking.candidates_of`. For ``valid`` and
    ``test`` each user's training items are taken out (not the validation items, as in the MMRec
    protocol); for a further test set, everything in the log is.

    Args:
        run: a finished run.
        parts: which parts; the test part and every further test set by default.
        device: where to score.

    Raises:
        NegGenError: If there is no such part, or it has no interactions.
    """
    data, model = run.load_data(), run.load_model(device)
    results = {}
    usual = ["test", *data.test_sets]
    if not data.holds_out and data.test_sets:
        usual = list(data.test_sets)
    for part in parts or usual:
        result = evaluate(model, data, part)
        per_user = pl.DataFrame({"user_id": data.user_ids[result.users], **result.per_user})
        with atomic_path(run.folder / "per_user" / f"{part}.parquet") as temporary:
            per_user.write_parquet(temporary)
        results[part] = all_figures(result, data, part)
    try:
        earlier = run.metrics
    except NegGenError:
        earlier = {}  # a damaged file is what this one replaces
    write_text(run.metrics_path, json.dumps({**earlier, **results}, indent=1))
    return results


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(found, dict):
            raise ValueError("it is no JSON object")
        return found
    except (OSError, ValueError) as error:
        mend = "evaluate again" if path.name == "metrics.json" else "delete the run and train again"
        raise NegGenError(f"{path} cannot be read ({error}); {mend}.") from None

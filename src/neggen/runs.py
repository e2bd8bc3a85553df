"""A run is one model trained on one split of a workspace: here it is trained and measured."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import polars as pl

import neggen
from neggen.config import SplitConfig
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
from neggen.run_folder import Run, finished_runs, trained_alone, unfinished_runs
from neggen.run_names import folder_name, run_name
from neggen.training.distributed import first_says, writes
from neggen.training.loop import RULES
from neggen.workspace import Workspace, atomic_path, without_none, write_text, write_toml

__all__ = ["Run", "evaluate_run", "finished_runs", "train_run", "unfinished_runs", "with_vectors"]


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
    if _is_finished(run, identity, overwrite):
        return run
    with trained_alone(run, workspace):
        if not _is_finished(run, identity, overwrite):  # by a process that ended just now
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
            _train(run, model, data, identity, on_epoch)
    return run


def _is_finished(run: Run, identity: Mapping[str, Any], overwrite: bool) -> bool:
    """Return whether a run is there already; another one in its place must be to be replaced."""
    if not first_says(run.manifest_path.is_file()):
        return False
    written = {key: run.manifest.get(key) for key in identity}
    if without_none(written) == without_none(identity):
        return True
    if not overwrite:
        raise NegGenError(
            f"{run.folder} holds a run with other settings or data, or of a version that "
            f"trained otherwise; replace it with --overwrite, or give this one another name "
            f"with --name."
        )
    return False


def _train(
    run: Run,
    model: Recommender,
    data: Dataset,
    identity: Mapping[str, Any],
    on_epoch: OnPhaseEpoch | None,
) -> None:
    started = time.monotonic()
    model.fit(data, FitContext(run.checkpoint_dir, on_epoch))
    seconds = round(time.monotonic() - started, 2)
    shares = modality_shares(model, data) if isinstance(model, NegGen) and data.holds_out else None
    if not writes():
        first_says(True)  # that the run is written
        return
    run.clear()
    model.save(run.model_dir)
    history = {phase: [asdict(log) for log in logs] for phase, logs in model.history.items()}
    write_text(run.history_path, json.dumps(history))
    about = {"seconds": seconds, "neggen": neggen.__version__, "modality_shares": shares}
    write_toml(run.manifest_path, {**identity, **about})
    shutil.rmtree(run.checkpoint_dir, ignore_errors=True)
    first_says(True)


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

"""Fitting and testing one row under one seed, and keeping the result by what decided it.

Finished fits lie in ``studies/cache/fits``, shared by the studies of a workspace. The key is a hash
over model, settings, split, data and vectors, so nothing can be stale; NegGen's fitted bases lie
in ``studies/cache/bases`` under keys of the same kind.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

import neggen
from neggen.comparison.loading import (
    split_data,
    varied_data,
    whole_data,
    without_test,
)
from neggen.comparison.metering import Meter
from neggen.comparison.rows import Row
from neggen.config import ModelConfig, SplitConfig
from neggen.data.dataset import Dataset
from neggen.models import model_class
from neggen.models.base import FitContext, Recommender
from neggen.models.evaluation import rank
from neggen.models.features import asks_for_pictures
from neggen.models.measuring import Figures, Ranked, measure
from neggen.models.neggen import NegGen
from neggen.training.loop import RULES
from neggen.workspace import Workspace, atomic_path, write_text

FORM = 2
"""Of what is kept; another number fits anew."""
FIGURES = {"identity", "metrics", "slices", "diversity", "cost", "evaluation_seconds"}
"""What is kept of a fit, beside the figures of every user."""


@dataclass(frozen=True)
class Cost:
    """What fitting took.

    Attributes:
        seconds: wall time, NegGen's base included even where it was fitted before; of a fit that
            was interrupted, the last part.
        peak_mib: the most memory it held above what was held before; see :class:`Meter`.
        epoch_seconds: mean wall time of a training epoch, validation left out; None for a model
            without epochs.
        device: ``cpu`` or ``cuda``.
    """

    seconds: float
    peak_mib: float | None
    epoch_seconds: float | None
    device: str


@dataclass(frozen=True)
class Fit:
    """What a row came to under one seed.

    Attributes:
        settings: all settings of the model.
        metrics: figures by part: ``valid``, ``test`` and every further test set.
        slices: figures of some items and users, by part but ``valid``, slice and name.
        diversity: what the recommendations are worth beside being right, by part but ``valid``.
        cost: what fitting took.
        evaluation_seconds: how long scoring and ranking took, by part.
        per_user_path: a Parquet file with ``part``, ``user_id`` and every figure.
        content_hash: of the data.
        vectors_hash: of the vectors that it learned from; None if it did not learn from any.
        described_by: a hash of the vectors that tell the distances within lists; None without any.
    """

    settings: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    slices: dict[str, dict[str, Figures]]
    diversity: dict[str, Figures]
    cost: Cost
    evaluation_seconds: dict[str, float]
    per_user_path: Path
    content_hash: str
    vectors_hash: str | None
    described_by: str | None


class Task:
    """A row on the data of one seed, ready to be fitted with these or those settings.

    Whatever is fitted is given data without the test part, and the same data each time: what others
    change in the workspace meanwhile is for the next task.
    """

    def __init__(
        self, workspace: Workspace, row: Row, split: SplitConfig, seed: int, device: str
    ) -> None:
        """Load the data, with vectors if the workspace has all of them."""
        self._workspace, self._row, self._split = workspace, row, split
        self._cls, self._seed, self._device = model_class(row.model), seed, device
        self._cache = workspace.studies_dir / "cache"
        self.plain = split_data(workspace, split, described=False)
        self.data = whole_data(workspace, split)
        self._given: dict[bool, tuple[Dataset, str]] = {}  # with pictures and without

    @property
    def described_by(self) -> str | None:
        """A hash of the vectors that tell the distances within lists, of any row; None without."""
        return None if self.data.vectors is None else self.data.vectors.content_hash

    def identity(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything that decides a fit; ``settings`` are changes to the defaults.

        Raises:
            NegGenError: If a setting is wrong, or the row needs vectors that are not there.
        """
        return self._identity(self._cls, self._config(self._cls, settings))

    def validate(self, settings: Mapping[str, Any]) -> tuple[dict[str, float], float, float]:
        """Fit, and return the figures of the validation part and the seconds that took.

        Those of a base, whoever fitted it, are told apart.
        """
        model, cost, of_base = self._fitted(settings, FitContext())
        started = time.monotonic()
        figures = rank(model, self.data, "valid", self.data.valid).metrics
        return figures, cost.seconds - of_base + time.monotonic() - started, of_base

    def fit(self, settings: Mapping[str, Any]) -> Fit:
        """Fit and test, or return the finished fit of the same identity.

        An interrupted fit goes on from its last checkpoint.
        """
        identity = {**self.identity(settings), "described_by": self.described_by}
        path = self._cache / "fits" / f"{_key(identity)}.json"
        table_path = path.with_suffix(".parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            found = _read_fit(path, table_path)
            if found is None:
                self._fit_to(path, table_path, identity, settings)
                found = json.loads(path.read_text(encoding="utf-8"))
        identity, cost = found.pop("identity"), Cost(**found.pop("cost"))
        return Fit(
            settings=identity["settings"],
            cost=cost,
            per_user_path=table_path,
            content_hash=identity["content_hash"],
            vectors_hash=identity.get("vectors_hash"),
            described_by=identity["described_by"],
            **found,
        )

    def _fit_to(
        self, path: Path, table_path: Path, identity: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> None:
        checkpoints = path.with_suffix(".checkpoints")
        model, cost, _ = self._fitted(settings, FitContext(checkpoints))
        tested = ["test", *(name for name in self.data.test_sets if self.data.matrix(name).nnz)]
        ranked = {part: measure(model, self.data, part) for part in ("valid", *tested)}
        with atomic_path(table_path) as temporary:
            self._per_user(ranked).write_parquet(temporary)
        found = {
            "identity": identity,
            "metrics": {part: of_part.result.metrics for part, of_part in ranked.items()},
            "slices": {part: ranked[part].slices for part in tested},
            "diversity": {part: ranked[part].beyond for part in tested},
            "cost": asdict(cost),
            "evaluation_seconds": {part: round(ranked[part].seconds, 3) for part in ranked},
        }
        write_text(path, json.dumps(found, indent=1))
        shutil.rmtree(checkpoints, ignore_errors=True)

    def _fitted(
        self, settings: Mapping[str, Any], context: FitContext
    ) -> tuple[Recommender, Cost, float]:
        """Return the fitted model, what it took, its base included, and the seconds of the base."""
        model = self._cls(self._config(self._cls, settings))
        base = self._give_base(model) if isinstance(model, NegGen) else None
        known, _ = self._known(self._cls, model.config)
        with Meter(self._device) as meter:
            model.fit(known, context)
        seconds, peak = meter.seconds, meter.peak_mib
        if base is not None:
            seconds += base.seconds
            peak = None if peak is None or base.peak_mib is None else max(peak, base.peak_mib)
        cost = Cost(round(seconds, 2), peak, _of_epochs(model), self._device.split(":")[0])
        return model, cost, 0.0 if base is None else base.seconds

    def _give_base(self, model: NegGen) -> Cost:
        """Fit the base once for everybody who starts from it; return what that took."""
        cls = model_class(model.config.backbone)
        key = _key(self._identity(cls, model.base_config))
        folder = self._cache / "bases" / key
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                checkpoints = folder.with_suffix(".checkpoints")
                unfinished = folder.with_suffix(".tmp")
                shutil.rmtree(unfinished, ignore_errors=True)
                base = cls(model.base_config)
                known, _ = self._known(cls, base.config)
                with Meter(self._device) as meter:
                    base.fit(known, FitContext(checkpoints))
                base.save(unfinished)
                seconds, device = round(meter.seconds, 2), self._device.split(":")[0]
                cost = Cost(seconds, meter.peak_mib, _of_epochs(base), device)
                write_text(unfinished / "cost.json", json.dumps(asdict(cost)))
                unfinished.rename(folder)
                shutil.rmtree(checkpoints, ignore_errors=True)
        model.base = cls.load(folder, device=model.config.device)
        return Cost(**json.loads((folder / "cost.json").read_text(encoding="utf-8")))

    def _config(self, cls: type[Recommender], settings: Mapping[str, Any]) -> ModelConfig:
        seed = self._seed if cls.draws else 0  # so that what does not depend on it is fitted once
        return cls.config_class.build({"seed": seed, "device": self._device, **settings})

    def _identity(self, cls: type[Recommender], config: ModelConfig) -> dict[str, Any]:
        identity = {
            "model": cls.name,
            "settings": config.identity(),
            "split": self._split.model_dump(),
            "content_hash": self.data.content_hash,
            "neggen": neggen.__version__,
            "rules": RULES,
        }
        _, vectors_hash = self._known(cls, config)
        return identity if vectors_hash is None else {**identity, "vectors_hash": vectors_hash}

    def _known(self, cls: type[Recommender], config: ModelConfig) -> tuple[Dataset, str | None]:
        """Return what a model is given, the row's variant, and the hash of its vectors if any."""
        model, row = cls(config), self._row
        if not model.wants_vectors(self.plain):
            return without_test(self.plain), None
        pictures = asks_for_pictures(config)
        if pictures not in self._given:
            self._given[pictures] = varied_data(
                self._workspace, self._split, row.negatives, row.modality, self._seed,
                self._device, pictures=pictures,
            )  # fmt: skip
        return self._given[pictures]

    def _per_user(self, ranked: Mapping[str, Ranked]) -> pl.DataFrame:
        return pl.concat(
            pl.DataFrame(
                {"user_id": self.data.user_ids[of_part.result.users], **of_part.result.per_user}
            ).select(pl.lit(part).alias("part"), pl.all())
            for part, of_part in ranked.items()
        )


def _read_fit(path: Path, table_path: Path) -> dict[str, Any] | None:
    """Return a finished fit, or None if there is none that can be read whole."""
    try:
        pl.read_parquet_schema(table_path)
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return None
    return found if set(found) == FIGURES else None


def _of_epochs(model: Recommender) -> float | None:
    """Return the mean seconds of the epochs that a model was trained for."""
    seconds = [log.seconds for logs in model.history.values() for log in logs if log.epoch]
    return round(sum(seconds) / len(seconds), 4) if seconds else None


def _key(identity: Mapping[str, Any]) -> str:
    told = json.dumps([FORM, identity], sort_keys=True)
    return hashlib.sha256(told.encode()).hexdigest()[:24]

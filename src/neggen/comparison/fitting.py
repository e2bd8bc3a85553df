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
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from filelock import FileLock

import neggen
from neggen.comparison.encoder import KeptEncoder
from neggen.comparison.study import Row
from neggen.comparison.variants import one_modality, varied
from neggen.config import ModelConfig, SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.store import load_dataset
from neggen.data.tables import PARTS
from neggen.evaluation.ranking import RankingResult, candidates_of, evaluate_ranking
from neggen.models import model_class
from neggen.models.base import FitContext, Recommender
from neggen.models.neggen import NegGen
from neggen.quality.summary import diversity_figures
from neggen.runs import with_vectors
from neggen.workspace import Workspace, atomic_path, write_text


@dataclass(frozen=True)
class Fit:
    """What a row came to under one seed.

    Attributes:
        settings: all settings of the model.
        metrics: figures by part: ``valid``, ``test`` and every further test set.
        diversity: what the recommendations are worth beside being right, where items have vectors.
        seconds: how long fitting took, NegGen's base included even where it was fitted before; of a
            fit that was interrupted, the last part.
        per_user_path: a Parquet file with ``part``, ``user_id`` and every figure.
    """

    settings: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    diversity: dict[str, float | None]
    seconds: float
    per_user_path: Path


class Task:
    """A row on the data of one seed, ready to be fitted with these or those settings.

    Whatever is fitted is given data without the test part.
    """

    def __init__(
        self, workspace: Workspace, row: Row, split: SplitConfig, seed: int, device: str
    ) -> None:
        """Load the data and make the row's variant of them.

        Raises:
            NegGenError: If the workspace lacks what the row needs.
        """
        self._cls = model_class(row.model)
        self._split, self._seed, self._device = split, seed, device
        self._cache = workspace.path / "studies" / "cache"
        self.data = load_dataset(workspace, split)
        if self._cls.needs_vectors or workspace.records_path.is_file():
            self.data = with_vectors(workspace, self.data)
        self._known = without_test(self.data)
        if not self._cls.needs_vectors:
            return
        if row.negatives != "generated":
            encoder = KeptEncoder(workspace, device)
            self._known = varied(self._known, row.negatives, seed, encoder)
        vectors = self._known.vectors
        assert vectors is not None
        if row.modality is not None:
            vectors = one_modality(vectors, row.modality)
            self._known = self._known.replace(vectors=vectors)
        self._vectors_hash = vectors.content_hash

    def identity(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return everything that decides a fit; ``settings`` are changes to the defaults.

        Raises:
            NegGenError: If a setting is wrong.
        """
        return self._identity(self._cls, self._config(self._cls, settings))

    def validate(self, settings: Mapping[str, Any]) -> dict[str, float]:
        """Fit, and return the figures of the validation part."""
        model, _ = self._fitted(settings, FitContext())
        return self._measure(model, "valid").metrics

    def fit(self, settings: Mapping[str, Any]) -> Fit:
        """Fit and test, or return the finished fit of the same identity.

        An interrupted fit goes on from its last checkpoint.
        """
        identity = self.identity(settings)
        path = self._cache / "fits" / f"{_key(identity)}.json"
        table_path = path.with_suffix(".parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            if not path.is_file():
                self._fit_to(path, table_path, identity, settings)
        found = json.loads(path.read_text(encoding="utf-8"))
        identity = found.pop("identity")
        return Fit(settings=identity["settings"], per_user_path=table_path, **found)

    def _fit_to(
        self, path: Path, table_path: Path, identity: Mapping[str, Any], settings: Mapping[str, Any]
    ) -> None:
        checkpoints = path.with_suffix(".checkpoints")
        model, seconds = self._fitted(settings, FitContext(checkpoints))
        parts = ("valid", "test", *self.data.test_sets)
        results = {part: self._measure(model, part) for part in parts}
        with atomic_path(table_path) as temporary:
            self._per_user(results).write_parquet(temporary)
        found = {
            "identity": identity,
            "metrics": {part: result.metrics for part, result in results.items()},
            "diversity": self._diversity(model),
            "seconds": round(seconds, 2),
        }
        write_text(path, json.dumps(found, indent=1))
        shutil.rmtree(checkpoints, ignore_errors=True)

    def _fitted(
        self, settings: Mapping[str, Any], context: FitContext
    ) -> tuple[Recommender, float]:
        """Return the fitted model and how long it took, its base included."""
        model = self._cls(self._config(self._cls, settings))
        seconds = self._give_base(model) if isinstance(model, NegGen) else 0.0
        started = time.monotonic()
        model.fit(self._known, context)
        return model, seconds + time.monotonic() - started

    def _give_base(self, model: NegGen) -> float:
        """Fit the base once for everybody who starts from it; return how long that took."""
        cls = model_class(model.config.backbone)
        key = _key(self._identity(cls, model.base_config))
        folder = self._cache / "bases" / key
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.with_suffix(".lock")):
            if not folder.is_dir():
                started = time.monotonic()
                checkpoints = folder.with_suffix(".checkpoints")
                base = cls(model.base_config).fit(self._known, FitContext(checkpoints))
                unfinished = folder.with_suffix(".tmp")
                shutil.rmtree(unfinished, ignore_errors=True)
                base.save(unfinished)
                write_text(unfinished / "seconds", f"{time.monotonic() - started:.2f}")
                unfinished.rename(folder)
                shutil.rmtree(checkpoints, ignore_errors=True)
        model.base = cls.load(folder, device=model.config.device)
        return float((folder / "seconds").read_text(encoding="utf-8"))

    def _config(self, cls: type[Recommender], settings: Mapping[str, Any]) -> ModelConfig:
        return cls.config_class.build({"seed": self._seed, "device": self._device, **settings})

    def _identity(self, cls: type[Recommender], config: ModelConfig) -> dict[str, Any]:
        identity = {
            "model": cls.name,
            "settings": config.identity(),
            "split": self._split.model_dump(),
            "content_hash": self.data.content_hash,
            "neggen": neggen.__version__,
        }
        if cls.needs_vectors:
            identity["vectors_hash"] = self._vectors_hash
        return identity

    def _measure(self, model: Recommender, part: str) -> RankingResult:
        """Rank as ``evaluate_run`` does."""
        further = part in self.data.test_sets
        target = self.data.matrix(part)
        return evaluate_ranking(
            model.score_index,
            self.data.everything if further else self.data.train,
            target,
            candidates=candidates_of(target, self.data.train),
            device=self._device,
        )

    def _per_user(self, results: Mapping[str, RankingResult]) -> pl.DataFrame:
        return pl.concat(
            pl.DataFrame({"user_id": self.data.user_ids[result.users], **result.per_user}).select(
                pl.lit(part).alias("part"), pl.all()
            )
            for part, result in results.items()
        )

    def _diversity(self, model: Recommender) -> dict[str, float | None]:
        if self.data.vectors is None:
            return {}
        found = diversity_figures(model, self.data, self.data.vectors)
        # Coverage is measured with the ranking, on those who are tested.
        return {name: value for name, value in found.items() if not name.startswith("coverage")}


def without_test(data: Dataset) -> Dataset:
    """Return data from which the test part and every further test set are gone."""
    assert data.parts is not None
    kept = data.parts != PARTS.index("test")
    return data.replace(
        users=data.users[kept],
        items=data.items[kept],
        time=None if data.time is None else data.time[kept],
        given_parts=None if data.given_parts is None else data.given_parts[kept],
        parts=data.parts[kept],
        test_sets={},
    )


def _key(identity: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]

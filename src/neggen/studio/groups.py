"""Runs that differ in nothing but their seeds, taken together."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from neggen.config import DRAWN_SPLITS, SplitConfig
from neggen.models import model_class

if TYPE_CHECKING:
    from neggen.runs import Run

CHANCE = ("seed", "device")
"""Settings that change how a training falls out, but not what is trained."""
LEARNED_FROM = ("vectors_hash", "pictures_hash", "rules")
"""What else decides a training: the descriptions, the pictures, and how the loop trains."""


@dataclass(frozen=True)
class RunGroup:
    """Runs of one model with the same settings, kind of split and descriptions, at least one.

    Attributes:
        model: the model's name, a key of ``neggen.models.MODELS``.
        title: how the model is called in print, such as ``LightGCN``, with the name of a run
            where there are several groups of it.
        runs: the runs, in the order they were given.
        manifests: their ``run.toml`` files.
    """

    model: str
    title: str
    runs: tuple[Run, ...]
    manifests: tuple[Mapping[str, Any], ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The runs' folder names."""
        return tuple(run.folder.name for run in self.runs)

    @property
    def splits(self) -> tuple[str, ...]:
        """What the runs were trained on, such as ``random, seed 0``, without repeats."""
        return tuple(sorted({split_title(manifest["split"]) for manifest in self.manifests}))


def group_runs(runs: Sequence[Run]) -> list[RunGroup]:
    """Group runs by model, settings, split and descriptions, in order of appearance.

    Those of a group differ in their seeds: a run with the seeds of another is of the next group.

    Raises:
        NegGenError: If a run's manifest cannot be read or names an unknown model.
    """
    found: dict[tuple[str, int], list[tuple[Run, Mapping[str, Any]]]] = {}
    met: Counter[tuple[str, Any, Any]] = Counter()
    for run in runs:
        manifest = run.manifest
        settings, split = manifest["settings"], manifest["split"]
        learned_from = [manifest.get(key) for key in LEARNED_FROM]
        same = [manifest["model"], _settled(settings), _settled(split), learned_from]
        told = json.dumps(same, sort_keys=True)
        seeds = (told, settings.get("seed"), split.get("seed"))
        found.setdefault((told, met[seeds]), []).append((run, manifest))
        met[seeds] += 1
    groups = []
    models = [str(members[0][1]["model"]) for members in found.values()]
    for model, members in zip(models, found.values(), strict=True):
        group_of, manifests = zip(*members, strict=True)
        title = model_class(model).__name__
        if models.count(model) > 1:
            title = f"{title} ({group_of[0].folder.name})"
        groups.append(RunGroup(model, title, group_of, manifests))
    return groups


def split_title(split: Mapping[str, Any]) -> str:
    """Name a split in words, such as ``random, seed 0`` or ``time, test_share 0.2``."""
    config = SplitConfig.build(split)
    drawn = [f"seed {config.seed}"] if config.kind in DRAWN_SPLITS else []
    unusual = [f"{name} {share:g}" for name, share in config.unusual_shares.items()]
    return ", ".join([config.kind, *unusual, *drawn])


def _settled(settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        key: _settled(value) if isinstance(value, Mapping) else value
        for key, value in settings.items()
        if key not in CHANCE
    }

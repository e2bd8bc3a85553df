"""Training a run's model once more on all interactions, for use: nothing is held out any more.

What validation chose stays: the settings, for how many epochs, and NegGen's λ. There is nothing to
measure such a run by; the figures are those of the run it was made of.
"""

from __future__ import annotations

from typing import Any

from neggen.config import EVERYTHING, SplitConfig, TrainConfig
from neggen.errors import NegGenError
from neggen.models.base import OnPhaseEpoch, Recommender
from neggen.models.neggen import NegGen
from neggen.models.neggen_module import some_users, spread
from neggen.runs import Run, train_run


def refit_run(
    run: Run,
    *,
    name: str | None = None,
    overwrite: bool = False,
    device: str = "cpu",
    on_epoch: OnPhaseEpoch | None = None,
) -> Run:
    """Train the model of a finished run on all interactions, as long as it validated best.

    An interrupted training goes on, and a finished one is returned as it is; see
    :func:`~neggen.runs.train_run`.

    Args:
        run: a finished run.
        name: the new run's folder name; ``NAME-refit`` by default.
        overwrite: replace another run in that folder.
        device: where to train.
        on_epoch: called with the phase and the log of every epoch.

    Raises:
        NegGenError: If the run has learned from everything already, or its data have changed.
    """
    manifest = run.manifest
    if manifest["split"]["kind"] == EVERYTHING:
        raise NegGenError(f"{run.folder} has learned from all interactions already.")
    run.require_data(run.load_data().content_hash)
    model = run.load_model(device)
    settings = _settled(run, model)
    if isinstance(model, NegGen):
        base = train_run(
            run.workspace,
            model.backbone_class.name,
            model.base_config.model_dump(),
            SplitConfig.build(manifest["split"]),
            on_epoch=on_epoch,
        )
        settings["base"] = _settled(base, model.backbone)
        settings["effect_weights"] = [_chosen_share(model)]
    return train_run(
        run.workspace,
        model.name,
        {**settings, "device": device},
        SplitConfig(kind=EVERYTHING),
        name=name or f"{run.folder.resolve().name}-refit",
        overwrite=overwrite,
        on_epoch=on_epoch,
    )


def _settled(run: Run, model: Recommender) -> dict[str, Any]:
    """Return the settings of a run with the number of epochs after which it validated best."""
    settings = dict(run.manifest["settings"])
    if isinstance(model.config, TrainConfig):
        best = [log["epoch"] for log in run.history[model.name] if log["best"]]
        settings["epochs"] = best[-1]
    return settings


def _chosen_share(model: NegGen) -> float:
    """Return which of the candidates for λ validated best."""
    candidates = model.config.effect_weights
    share = float(model.effect_weight)
    if model.config.score == "profile" and share:
        # λ is in units of how far base scores spread over how far causal scores do.
        users = some_users(len(model.user_tastes), len(model.effects), model.config.device)
        causal = spread(model.user_tastes[users] @ model.effects.T)
        share = float(causal / spread(model.backbone.score_index(users)))
    return min(candidates, key=lambda candidate: abs(candidate - share))

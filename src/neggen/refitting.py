"""Training a run's model once more on all interactions, for use: nothing is held out any more.

What validation chose stays: the settings, for how many epochs, and NegGen's λ. There is nothing to
measure such a run by; the figures are those of the run it was made of.
"""

from __future__ import annotations

from typing import Any

from neggen.config import EVERYTHING, SplitConfig, TrainConfig
from neggen.encoding.pictures import with_pictures
from neggen.errors import NegGenError
from neggen.evaluation.ranking import candidates_of
from neggen.models.base import OnPhaseEpoch, Recommender
from neggen.models.neggen import NegGen
from neggen.models.neggen_module import some_users, spread
from neggen.runs import Run, train_run, with_vectors


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
        NegGenError: If the run has learned from everything already, or its data or descriptions
            have changed.
    """
    if not run.holds_out:
        raise NegGenError(f"{run.folder} has learned from all interactions already.")
    manifest = run.manifest
    data = run.load_data()
    model = run.load_model(device)
    if model.wants_vectors(data):
        described = with_vectors(run.workspace, data)
        assert described.vectors is not None
        seen = manifest.get("pictures_hash")
        if described.vectors.content_hash != manifest["vectors_hash"] or (
            seen is not None and with_pictures(run.workspace, described)[1] != seen
        ):
            raise NegGenError(
                f"{run.folder} was trained on other descriptions or pictures than "
                f"{run.workspace.path} now holds; train again with --overwrite, and refit that."
            )
    of_new_items = candidates_of(data.valid, data.train) is not None
    settings = _settled(run, model, of_new_items)
    if isinstance(model, NegGen):
        base = train_run(
            run.workspace,
            model.backbone_class.name,
            model.base_config.model_dump(),
            SplitConfig.build(manifest["split"]),
            on_epoch=on_epoch,
        )
        settings["base"] = _settled(base, model.backbone, of_new_items)
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


def _settled(run: Run, model: Recommender, of_new_items: bool) -> dict[str, Any]:
    """Return the settings of a run with the number of epochs after which its weights were kept.

    These are the last ones where it validates on new items alone, which it cannot tell apart.
    """
    settings = dict(run.manifest["settings"])
    if isinstance(model.config, TrainConfig):
        logs = run.history[model.name]
        told = [log["valid"] for log in logs if log["valid"]]
        best = [log["epoch"] for log in logs if log["best"]]
        blind = of_new_items and told.count(told[0]) == len(told)
        settings["epochs"] = logs[-1]["epoch"] if blind else best[-1]
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

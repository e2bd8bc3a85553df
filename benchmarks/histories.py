"""How well are people recommended to whom a model knows by their history alone?

    python benchmarks/histories.py --data DATA/amazon-office

A model with embeddings is trained as ever. Then a fifth of its users, drawn at random, lose theirs:
the map from histories to embeddings is learned from the others, and gives the fifth new ones, by
their training items (see ``neggen.models.fold_in``). The table compares these with the embeddings
that training gave them, and with the plain mean of the embeddings of their items. Figures are of
the fifth, on the test part.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.sparse import diags
from torch import Tensor

from common import (
    DataOption,
    DeviceOption,
    WorkspaceOption,
    find_data,
    imported,
    print_last_line,
    run_benchmark,
)
from neggen import Dataset
from neggen.cli.output import console, print_table
from neggen.config import SplitConfig
from neggen.data.store import is_labeled, load_dataset
from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.factors import FactorModel
from neggen.models.fold_in import embed, fit_fold_in
from neggen.models.history import History
from neggen.models.lightgcn import LightGCN
from neggen.models.mf import MF

MODELS: tuple[type[FactorModel], ...] = (MF, LightGCN)
LEARNING_RATE = 0.003
SHARE = 0.2
"""Of the users who lose their embeddings."""
FIGURES = ("recall@20", "ndcg@20")


def main(
    data: DataOption,
    workspace: WorkspaceOption = None,
    device: DeviceOption = "cpu",
    seed: int = 0,
) -> None:
    """Fit, fold in, measure."""
    found = {}
    with imported(find_data(data, "amazon-office"), workspace) as (place, _):
        kind = "given" if is_labeled(place) else "random"
        split = load_dataset(place, SplitConfig(kind=kind, seed=seed))
        for model_class in MODELS:
            with console.status(f"Training {model_class.name}"):
                model = model_class(seed=seed, device=device, learning_rate=LEARNING_RATE)
                model.fit(split)
            for name, users in embeddings(model, split, seed).items():
                found[f"{model.name}, {name}"] = measured(users, model.item_embeddings, split, seed)
    print_table(
        ["embeddings of users", *FIGURES],
        [[name, *(f"{row[figure]:.4f}" for figure in FIGURES)] for name, row in found.items()],
        title=Path(data).name,
    )
    print_last_line(found)


def embeddings(model: FactorModel, data: Dataset, seed: int) -> dict[str, Tensor]:
    """Return embeddings of the users by where they come from, each ``[users, d]``."""
    rest, items = np.flatnonzero(~lost(data, seed)), model.item_embeddings
    fold_in = fit_fold_in(data.train[rest], model.user_embeddings[rest], items)
    return {
        "trained": model.user_embeddings,
        "from the history": embed(data.train, items, fold_in),
        "mean of the items": History(data.train, str(items.device)).mean(items),
    }


def measured(users: Tensor, items: Tensor, data: Dataset, seed: int) -> dict[str, float]:
    """Return the figures of the users who lost their embeddings."""
    target = (diags(lost(data, seed).astype(np.float32)) @ data.matrix("test")).tocsr()
    target.eliminate_zeros()
    with torch.no_grad():
        metrics = evaluate_ranking(
            lambda some: users[some] @ items.T, data.train, target, ks=(20,), device=items.device
        ).metrics
    return {figure: metrics[figure] for figure in FIGURES}


def lost(data: Dataset, seed: int) -> np.ndarray:
    """Return who loses their embedding, bool ``[users]``."""
    return np.random.default_rng(seed).random(data.shape[0]) < SHARE


if __name__ == "__main__":
    run_benchmark(main)

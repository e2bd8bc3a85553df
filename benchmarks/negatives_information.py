"""Do generated negatives tell who goes with whom, beyond what the descriptions tell?

    python benchmarks/negatives_information.py --data DATA/amazon-office --seeds 3

**Pairs.** For every pair of items i, j with a modality, how much they go together, the root lift
√(n_ij / (n_i n_j / users + 1)), is regressed on how alike they are (least squares, everything
standardized, all interactions)::

    text    t_i · t_j                         own texts
    x⁺·x⁺   x⁺_i · x⁺_j                       descriptions
    x⁺·x⁻   ½ (x⁺_i · x⁻_j + x⁻_i · x⁺_j)     is one what the other pointedly is not?
    x⁻·x⁻   x⁻_i · x⁻_j                       negatives

where all vectors are centered over the items and of unit length. If negatives say something, items
go together less the more x⁺·x⁻, and R² grows by the two last terms; with the negatives of other
items (*shuffled*, mean over a few draws) neither happens. Pairs are not independent, so the
shuffles are the measure of chance.

**Content.** EASE with content in its Gram matrix, G = XᵀX + w K + λI, for the likeness K of one
view of the items at a time. *Attributes*, *replacements* and *context* are the slots' values, what
stands in them in the negative, and the text around them. *Less likeness to negatives* subtracts
half of x⁺·x⁻ from the K of own texts and descriptions; weights that make G indefinite are left out.
Figures are NDCG@20, means over splits, with w chosen on validation among ``WEIGHTS``, which has 0,
so that no view validates worse than EASE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
import polars as pl
import torch
import typer
from torch import Tensor

from common import (
    DataOption,
    DeviceOption,
    WorkspaceOption,
    describe,
    find_data,
    imported,
    print_last_line,
    run_benchmark,
)
from neggen import EASE, Dataset
from neggen.cli.output import console, print_table
from neggen.comparison.encoder import KeptEncoder
from neggen.comparison.variants import one_modality, shuffled
from neggen.comparison.wording import mean_and_std
from neggen.config import Content
from neggen.data.vectors import ItemVectors
from neggen.encoding.store import encode_records
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError, TooLittleMemory
from neggen.evaluation.ranking import evaluate_ranking
from neggen.generation.records import MASK
from neggen.models.content import content_of
from neggen.runs import with_vectors

SHUFFLES = 5
WEIGHTS = (0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
TERMS = ("text", "x⁺·x⁺", "x⁺·x⁻", "x⁻·x⁻")
PARTS = ("valid", "test")


def negatives_of(vectors: ItemVectors) -> ItemVectors:
    """Put the mean negative of every item in the place of its description."""
    return replace(vectors, positive=vectors.negative.mean(1))


def rows_of(vectors: ItemVectors, content: Content, device: str) -> Tensor:
    """Return centered rows of unit length, ``[items, width]``; see :func:`content_of`."""
    return torch.from_numpy(content_of(vectors, content)).to(device)


def across(vectors: ItemVectors, device: str) -> Tensor:
    """Return the likeness of descriptions to negatives, made symmetric, ``[items, items]``."""
    positive = rows_of(vectors, "descriptions", device)
    likeness = positive @ rows_of(negatives_of(vectors), "descriptions", device).T
    return (likeness + likeness.T) / 2


# -- pairs ------------------------------------------------------------------------------------


def root_lift(data: Dataset, device: str) -> Tensor:
    """Return √(n_ij / (n_i n_j / users + 1)) over all interactions, ``[items, items]``."""
    used = data.everything
    together = torch.from_numpy((used.T @ used).toarray()).to(device)
    counts = together.diagonal()
    return (together / (counts[:, None] * counts / data.shape[0] + 1)).sqrt()


def regressed(lift: Tensor, vectors: ItemVectors) -> dict[str, float]:
    """Return the coefficients of ``TERMS``, and R² with and without the last two.

    Args:
        lift: how much items go together, ``[items, items]``.
        vectors: of one modality; items that lack it are left out.
    """
    device = str(lift.device)
    text, positive, negative = (
        rows_of(vectors, "text", device),
        rows_of(vectors, "descriptions", device),
        rows_of(negatives_of(vectors), "descriptions", device),
    )
    present = torch.from_numpy(vectors.mask[:, 0]).to(device)
    once = torch.triu(present[:, None] & present, diagonal=1)  # [items, items], every pair once
    matrices = (
        lift,
        text @ text.T,
        positive @ positive.T,
        across(vectors, device),
        negative @ negative.T,
    )
    pairs = torch.stack([matrix[once].double() for matrix in matrices])  # [1 + terms, pairs]
    correlations = torch.corrcoef(pairs).cpu()
    among, with_lift = correlations[1:, 1:], correlations[1:, 0]
    coefficients = torch.linalg.solve(among, with_lift)  # [terms]
    fewer = torch.linalg.solve(among[:2, :2], with_lift[:2])
    return {
        **dict(zip(TERMS, coefficients.tolist(), strict=True)),
        "r2": float(coefficients @ with_lift),
        "r2_without": float(fewer @ with_lift[:2]),
    }


def pair_figures(data: Dataset, device: str) -> dict[str, dict[str, Any]]:
    """Regress for every modality, with its own negatives and with those of others."""
    vectors = data.vectors
    assert vectors is not None
    lift = root_lift(data, device)
    found: dict[str, dict[str, Any]] = {}
    for modality in vectors.modalities:
        with console.status(f"Pairs, {modality}"):
            alone = one_modality(vectors, modality)
            draws = [regressed(lift, shuffled(alone, seed)) for seed in range(SHUFFLES)]
            found[f"{modality}, generated"] = regressed(lift, alone)
            found[f"{modality}, shuffled"] = {
                **{name: float(np.mean([draw[name] for draw in draws])) for name in draws[0]},
                "draws": draws,
            }
    return found


# -- content ----------------------------------------------------------------------------------


class KernelEASE(EASE):
    """EASE with any likeness of items in its Gram matrix: G = XᵀX + w K + λI."""

    def __init__(self, kernel: Tensor, weight: float, **settings: Any) -> None:
        """Take K, ``[items, items]``, and w."""
        super().__init__(**settings)
        self.kernel, self.weight = kernel, weight

    def _gram(self, data: Dataset) -> Tensor:
        return super()._gram(data).to(self.config.device).add_(self.kernel, alpha=self.weight)


def kernels(data: Dataset, encoder: TextEncoder, device: str) -> dict[str, Tensor]:
    """Return the likeness of items by view, each ``[items, items]``."""
    vectors, records = data.vectors, data.records
    assert vectors is not None
    assert records is not None
    slots = encode_records(
        data,
        records.with_columns(
            description=pl.col("values").list.join(", "),
            negative=pl.col("replacements").list.join(", "),
        ),
        encoder,
    )
    around = pl.col("template").str.replace_all(MASK, " ", literal=True)
    around = around.str.replace_all(r"\s+", " ").str.strip_chars()
    outside = records.with_columns(description=around, negative=around)
    context = encode_records(data, outside, encoder)
    difference = replace(vectors, positive=vectors.positive - vectors.negative.mean(1))
    views: dict[str, tuple[ItemVectors, Content]] = {
        "own text": (vectors, "text"),
        "descriptions": (vectors, "descriptions"),
        "negatives": (negatives_of(vectors), "descriptions"),
        "attributes": (slots, "descriptions"),
        "replacements": (negatives_of(slots), "descriptions"),
        "context": (context, "descriptions"),
        "x⁺ − x⁻": (difference, "descriptions"),
        "text and descriptions": (vectors, "both"),
    }
    found = {}
    for name, (own, content) in views.items():
        rows = rows_of(own, content, device)
        found[name] = rows @ rows.T
    both = found["text and descriptions"]
    found["less likeness to negatives"] = both - across(vectors, device) / 2
    found["less that to shuffled ones"] = both - across(shuffled(vectors, 0), device) / 2
    return {"nothing (EASE)": torch.zeros_like(both), **found}


def best_of(kernel: Tensor, data: Dataset, seed: int, device: str) -> dict[str, float]:
    """Return w and the NDCG@20 of both parts, of the w that validates best."""
    best: dict[str, float] = {}
    for weight in WEIGHTS:
        model = KernelEASE(kernel, weight, seed=seed, device=device)
        try:
            model.fit(data)
        except TooLittleMemory:
            raise
        except NegGenError:  # G is indefinite
            continue
        found = {
            part: evaluate_ranking(
                model.score_index, data.train, data.matrix(part), ks=(20,), device=device
            ).metrics["ndcg@20"]
            for part in PARTS
        }
        if found["valid"] > best.get("valid", -1.0):
            best = {**found, "weight": weight}
    return best


# -- the tables -------------------------------------------------------------------------------


def report(
    pairs: Mapping[str, Mapping[str, Any]],
    content: Mapping[str, list[dict[str, float]]],
    title: str,
) -> None:
    """Print both tables and the line of JSON."""
    rows = [
        [name, *(f"{own[term]:+.3f}" for term in TERMS)]
        + [f"{own[r2]:.4f}" for r2 in ("r2_without", "r2")]
        for name, own in pairs.items()
    ]
    columns = ["pairs", *TERMS, "without x⁻", "R²"]
    print_table(columns, rows, title=f"{title}: root lift on likeness, coefficients and R²")
    rows = [
        [
            view,
            *(mean_and_std([own[part] for own in seeds]) for part in PARTS),
            ", ".join(f"{own['weight']:g}" for own in seeds),
        ]
        for view, seeds in content.items()
    ]
    print_table(["content", *PARTS, "w"], rows, title=f"{title}: NDCG@20 of EASE with content")
    print_last_line({"pairs": pairs, "content": content})


def main(
    data: DataOption,
    seeds: Annotated[int, typer.Option(min=1, help="How many splits.")] = 3,
    workspace: WorkspaceOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Regress who goes with whom on likeness, and put each view of the items into EASE."""
    source = find_data(data, "amazon-office")
    with imported(source, workspace) as (place, catalogue):
        describe(place, catalogue, source / "answers.jsonl", device)
        catalogue = with_vectors(place, catalogue)
        pairs = pair_figures(catalogue, device)
        with console.status("Encoding attributes and context"):
            views = kernels(catalogue, KeptEncoder(place, device), device)
        content: dict[str, list[dict[str, float]]] = {view: [] for view in views}
        for seed in range(seeds):
            split = catalogue.split("random", seed=seed)
            for view, kernel in views.items():
                with console.status(f"Seed {seed}, {view}"):
                    content[view].append(best_of(kernel, split, seed, device))
    report(pairs, content, source.name)


if __name__ == "__main__":
    run_benchmark(main)

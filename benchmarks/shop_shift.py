"""Who keeps their quality when what only went along with taste no longer does?

    python benchmarks/shop_shift.py --seeds 3 --plot shop_shift.png

In the built-in shop, people choose by shape, color, pattern and material; background, photo style
and brand follow these in the share κ of all items, and tell nothing in the shifted test set. A
model that learned the causes keeps its quality there; one that learned what goes along with them
does not. Measured by NDCG@20, on average over shops (seeds):

- *kept*: shifted over test. The two sets are not equally hard, so even the **oracle**, which ranks
  by the true taste t_ui, does not keep 100%: *of oracle* is what a model keeps over what the oracle
  keeps. It must be read beside *shifted*: who knows nothing keeps all of it (see *random*), and
  noise flatters. With κ = 0 and κ = 1 popularity alone is broken: no confounder changes its ways.
- *restyled*: score by content alone on test, over the same after every item was photographed and
  branded anew, each confounder drawn by chance. Targets and products are the same, so what is lost
  was owed to the confounders.
- *AUC*: attribution. One attribute of an item at a time gets another value, the item is described
  anew, and the change of the content score is taken for its users, |p_u · (c' − c)|. The area tells
  how well these changes rank causal attributes before confounders (over items: mean change over
  their users; over users: the attributes that decide for this very user before all others).

The *ideal describer* (`neggen.testing.shop_describer`) stands for a perfect language model: it sees
the truth, names all seven attributes and exchanges the four causal ones; the negative keeps the
rest. The *catalogue generator*
uses no language model and masks what varies most with behavior, confounders included. *Plain* is
the same model on the same descriptions without negatives (ρ = 0); *placebo* has every negative from
another item. *Content* is the part p_u · c_i of the score alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy.stats import mannwhitneyu

from common import DeviceOption, NoDataOption, print_last_line, run_benchmark
from neggen import EASE, ContentEASE, ContentKNN, LightGCN, NegGen, Popularity, make_shop
from neggen.cli.output import console, print_table, say
from neggen.data.shop import Shop
from neggen.data.shop_words import CAUSAL, FOLLOWS, VALUES
from neggen.data.vectors import ItemVectors
from neggen.encoding.text import TextEncoder
from neggen.evaluation.ranking import Scorer, evaluate_ranking
from neggen.models.base import Recommender
from neggen.models.described import described
from neggen.testing.shop_describer import IdealDescriber, Look, another

CONFOUNDING = 0.8
CURVE = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
INTERVENED = 24
"""Items whose attributes are changed, all seven in turn, to measure attribution."""
WEIGHT = 4.0
"""λ, relative to the spread of LightGCN's scores, the largest that NegGen tries by default."""
QUICK: dict[str, Any] = {"learning_rate": 0.005, "patience": 10}
COLUMNS = {
    "test": "test",
    "shifted": "shifted",
    "kept": "kept",
    "of_oracle": "of oracle",
    "restyled": "restyled",
    "auc": "AUC",
    "user_auc": "of users",
}
LINES = ("LightGCN", "plain, content", "NegGen, content")

Figures = dict[str, float]


def restyled(looks: Sequence[Look], seed: int) -> list[Look]:
    """Draw every confounder anew, by chance."""
    rng = np.random.default_rng(seed)
    return [{**look, **{name: str(rng.choice(VALUES[name])) for name in FOLLOWS}} for look in looks]


def swapped(vectors: ItemVectors, donors: NDArray[np.int64]) -> ItemVectors:
    """Give every item the negatives of another one, ``[items]``."""
    return replace(vectors, negative=vectors.negative[donors])


def area(changes: Sequence[tuple[float, bool]]) -> float:
    """Return how likely the change of a cause is greater than that of anything else."""
    causes = [size for size, is_cause in changes if is_cause]
    others = [size for size, is_cause in changes if not is_cause]
    return float(mannwhitneyu(causes, others).statistic / (len(causes) * len(others)))


class Trial:
    """One shop, split and described, and what models reach on it.

    Attributes:
        data: the shop's data set.
        ideal: what the ideal describer says of its items.
        figures: by model and column.
    """

    def __init__(self, shop: Shop, images: Path, encoder: TextEncoder, device: str) -> None:
        self.shop, self.device = shop, device
        self.data = shop.dataset(images).split("random", seed=shop.seed)
        look = {each["item_id"]: each for each in shop.truth.iter_rows(named=True)}
        self.looks: list[dict[str, str]] = [look[item] for item in self.data.item_ids]
        self.describer = IdealDescriber(shop.seed, encoder)
        items = range(len(self.looks))
        self.ideal = self.describer.describe(self.looks, items)
        self.base = LightGCN(seed=shop.seed, device=device, **QUICK).fit(self.data)
        self.figures: dict[str, Figures] = {}

    @cached_property
    def anew(self) -> ItemVectors:
        """What the ideal describer says of the restyled items."""
        return self.describer.describe(restyled(self.looks, self.shop.seed), range(len(self.looks)))

    @cached_property
    def changed(self) -> tuple[list[tuple[int, str]], ItemVectors]:
        """Some items with one attribute changed, as (item, attribute), and what is said of them."""
        rng = np.random.default_rng(self.shop.seed)
        items = rng.permutation(len(self.looks))[:INTERVENED]
        pairs = [(int(item), attribute) for item in items for attribute in VALUES]
        looks = [
            self.looks[item] | {name: another(VALUES[name], self.looks[item][name], rng)}
            for item, name in pairs
        ]
        return pairs, self.describer.describe(looks, [item for item, _ in pairs])

    def oracle(self) -> Scorer:
        """Rank by the true taste t_ui, ties by chance."""
        users = {user: row for row, user in enumerate(self.shop.causal)}
        items = {item: row for row, item in enumerate(self.shop.truth["item_id"])}
        rows = [users[user] for user in self.data.user_ids]
        columns = [items[item] for item in self.data.item_ids]
        chance = np.random.default_rng(self.shop.seed).random(self.data.shape)
        return self._fixed(self.shop.taste[np.ix_(rows, columns)] + 1e-6 * chance)

    def random(self) -> Scorer:
        """Rank by chance."""
        return self._fixed(np.random.default_rng(self.shop.seed).random(self.data.shape))

    def _fixed(self, scores: NDArray[np.float64]) -> Scorer:
        held = torch.from_numpy(scores).to(self.device)
        return lambda users: held[users]

    def measure(self, name: str, scorer: Scorer) -> None:
        """Keep NDCG@20 on both test sets."""
        self.figures[name] = {
            "test": self._ndcg(scorer, "test"),
            "shifted": self._ndcg(scorer, "shifted"),
        }

    def _ndcg(self, scorer: Scorer, part: str) -> float:
        seen = self.data.train if part == "test" else self.data.everything
        target = self.data.matrix(part)
        result = evaluate_ranking(scorer, seen, target, ks=(20,), device=self.device)
        return result.metrics["ndcg@20"]

    def learn(self, vectors: ItemVectors, contrast: float) -> NegGen:
        """Fit NegGen with a fixed ρ and λ on the shop's LightGCN."""
        model = NegGen(
            seed=self.shop.seed,
            device=self.device,
            contrast=contrast,
            effect_weights=(WEIGHT,),
            filter_false_negatives=False,  # it looks at behavior, and so at the confounders
            use_text=False,
            patience=3,
        )
        model.base = self.base
        return model.fit(self.data.replace(vectors=vectors))

    def measure_content(self, name: str, model: NegGen) -> None:
        """Keep the figures of a model's content score alone."""
        self.measure(name, lambda users: model.tastes(users) @ model.effects.T)

    def measure_restyled(self, name: str, model: NegGen, donors: NDArray[np.int64]) -> None:
        """Keep what is left of a content score on test when every item is restyled.

        Args:
            name: of the model.
            model: trained on ``ideal`` with the negatives of ``donors``.
            donors: whose negatives each item has, ``[items]``.
        """
        anew = model.effects_of(swapped(self.anew, donors))
        score = self._ndcg(lambda users: model.tastes(users) @ anew.T, "test")
        self.figures[name]["restyled"] = score / self.figures[name]["test"]

    def measure_attribution(self, name: str, model: NegGen, donors: NDArray[np.int64]) -> None:
        """Keep how well changes of a content score tell causes; as ``measure_restyled``."""
        pairs, changed = self.changed
        of_pair = np.array([item for item, _ in pairs])
        if (donors[of_pair] != of_pair).any():  # another item's negatives do not change with it
            changed = replace(changed, negative=self.ideal.negative[donors[of_pair]])
        change = model.effects_of(changed) - model.effects[of_pair]  # [pairs, d]

        by_item: list[tuple[float, bool]] = []
        by_user: list[tuple[float, bool]] = []
        used_by = self.data.train.T.tocsr()  # [items, users]
        for row, (item, attribute) in enumerate(pairs):
            users = used_by[item].indices.astype(np.int64)
            if not len(users):
                continue
            changes = (model.tastes(torch.from_numpy(users)) @ change[row]).abs().cpu().numpy()
            by_item.append((float(changes.mean()), attribute in CAUSAL))
            for user, size in zip(users, changes, strict=True):
                causal = self.shop.causal[self.data.user_ids[int(user)]]
                by_user.append((float(size), attribute in causal))
        self.figures[name]["auc"] = area(by_item)
        self.figures[name]["user_auc"] = area(by_user)


def try_all(trial: Trial) -> None:
    """Measure every row of the table."""
    data, seed, device = trial.data, trial.shop.seed, trial.device
    _, catalog = described(data, seed=seed, device=device)  # by the catalogue generator
    trial.measure("oracle", trial.oracle())
    trial.measure("random", trial.random())
    with_catalog = data.replace(vectors=catalog)
    plain: dict[str, Recommender] = {
        "popularity": Popularity(device=device),
        "EASE": EASE(device=device),
        "content-knn, own texts": ContentKNN(device=device),
        "content-ease, own texts": ContentEASE(device=device),
    }
    for name, model in plain.items():
        trial.measure(name, model.fit(with_catalog).score_index)
    trial.measure("LightGCN", trial.base.score_index)

    for name, learned in try_content(trial).items():
        trial.measure_attribution(name, learned, np.arange(len(trial.looks)))
    others = np.roll(np.arange(len(trial.looks)), 1 + seed)  # nobody's own
    placebo = trial.learn(swapped(trial.ideal, others), contrast=1)
    trial.measure_content("placebo, content", placebo)
    trial.measure_restyled("placebo, content", placebo, others)
    trial.measure_attribution("placebo, content", placebo, others)
    trial.measure("placebo + LightGCN", placebo.score_index)

    default = NegGen(seed=seed, device=device, patience=3)
    default.base = trial.base
    default.fit(with_catalog)
    trial.measure("catalogue generator, defaults", default.score_index)
    for contrast in (0, 1):
        model = trial.learn(catalog, contrast)
        trial.measure_content(f"catalogue generator, ρ = {contrast}, content", model)


def try_content(trial: Trial) -> dict[str, NegGen]:
    """Measure the rows of the curve, and what they give together with LightGCN."""
    learned = {}
    for name, contrast in (("plain", 0), ("NegGen", 1)):
        model = learned[f"{name}, content"] = trial.learn(trial.ideal, contrast)
        trial.measure_content(f"{name}, content", model)
        trial.measure_restyled(f"{name}, content", model, np.arange(len(trial.looks)))
        trial.measure(f"{name} + LightGCN", model.score_index)
    return learned


def main(
    data: NoDataOption = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many shops.")] = 3,
    items: Annotated[int, typer.Option(min=100, help="Items in a shop.")] = 300,
    users: Annotated[int, typer.Option(min=50, help="Users of a shop.")] = 600,
    curve: Annotated[bool, typer.Option(help="Whether κ is varied, too.")] = True,
    plot: Annotated[Path | None, typer.Option(help="Draw the curve into this PNG file.")] = None,
    device: DeviceOption = "cpu",
) -> None:
    """Compare models on shops whose confounders are broken in the shifted test set."""
    encoder = TextEncoder(device=device)
    by_kappa: dict[float, list[dict[str, Figures]]] = {}
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as folder:
        for kappa in sorted(CURVE if curve else (CONFOUNDING,), key=lambda k: k != CONFOUNDING):
            for seed in range(seeds):
                images = Path(folder) / f"{kappa:g}-{seed}"
                images.mkdir()
                with console.status(f"κ = {kappa:g}, shop {seed}"):
                    shop = make_shop(items, users, seed, kappa)
                    if kappa == CONFOUNDING:
                        shop.draw(images)  # for the catalogue generator
                    trial = Trial(shop, images, encoder, device)
                    if kappa == CONFOUNDING:
                        try_all(trial)
                    else:
                        trial.measure("oracle", trial.oracle())
                        trial.measure("LightGCN", trial.base.score_index)
                        try_content(trial)
                figures = with_ratios(trial.figures)
                by_kappa.setdefault(kappa, []).append(figures)
                kept = ", ".join(f"{line} {figures[line]['of_oracle']:.0%}" for line in LINES)
                say(f"κ = {kappa:g}, shop {seed}, kept of oracle: {kept}")
    found = {kappa: averaged(trials) for kappa, trials in sorted(by_kappa.items())}
    report(found, f"{items} items, {users} users, {seeds} shops")
    if plot is not None:
        draw(by_kappa, plot)
    print_last_line({f"{kappa:g}": rows for kappa, rows in found.items()})


def with_ratios(figures: dict[str, Figures]) -> dict[str, Figures]:
    """Add what every model keeps, and that over what the oracle keeps."""
    kept = {name: own["shifted"] / own["test"] for name, own in figures.items()}
    return {
        name: {**own, "kept": kept[name], "of_oracle": kept[name] / kept["oracle"]}
        for name, own in figures.items()
    }


def averaged(trials: Sequence[dict[str, Figures]]) -> dict[str, dict[str, list[float]]]:
    """Return mean and sample standard deviation over shops, by model and column."""
    return {
        name: {
            column: [
                float(np.mean(values)),
                float(np.std(values, ddof=1)) if len(values) > 1 else 0.0,
            ]
            for column in COLUMNS
            if (values := [trial[name][column] for trial in trials if column in trial[name]])
        }
        for name in trials[0]
    }


def report(found: Mapping[float, Mapping[str, Mapping[str, list[float]]]], shops: str) -> None:
    """Print the table of one κ and what is kept along the curve."""
    rows = [
        [name, *(cell(column, figures.get(column)) for column in COLUMNS)]
        for name, figures in found[CONFOUNDING].items()
    ]
    title = f"NDCG@20 and what is kept, κ = {CONFOUNDING:g}, {shops}, ± std"
    print_table(["", *COLUMNS.values()], rows, title=title)
    if len(found) > 1:
        rows = [
            [f"{line}, {COLUMNS[column]}"]
            + [cell(column, by_model[line][column]) for by_model in found.values()]
            for column in ("shifted", "kept", "of_oracle", "restyled")
            for line in ("oracle", *LINES)
            if column in found[CONFOUNDING][line]
        ]
        print_table(["κ", *(f"{kappa:g}" for kappa in found)], rows, title="As κ grows")


def cell(column: str, spread: list[float] | None) -> str:
    """Write a mean, with its spread where it is a share."""
    if spread is None:
        return "–"
    mean, std = spread
    if column in ("kept", "of_oracle", "restyled"):
        return f"{100 * mean:.0f}±{100 * std:.0f}%"
    return f"{mean:.3f}"


def draw(by_kappa: Mapping[float, Sequence[dict[str, Figures]]], path: Path) -> None:
    """Draw what is kept against κ; bars are ± one standard deviation over shops."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    titles = {
        "of_oracle": "Kept on the shifted set, over what the oracle keeps",
        "restyled": "Kept on test when every item is restyled",
    }
    kappas = sorted(by_kappa)
    for axes, (column, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for number, line in enumerate(LINES):
            kept = [[t[line].get(column, np.nan) for t in by_kappa[kappa]] for kappa in kappas]
            if not np.isnan(kept).any():
                spread = np.std(kept, axis=1, ddof=min(1, len(kept[0]) - 1))  # [kappas]
                mean = np.mean(kept, axis=1)  # [kappas]
                axes.errorbar(
                    kappas, mean, spread, label=line, color=f"C{number}", marker="o", capsize=3
                )
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.set_xlabel("κ, the share of items whose confounders follow their causes")
        axes.set_title(title, loc="left")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    FigureCanvasAgg(figure).print_figure(path, dpi=150, format="png")


if __name__ == "__main__":
    run_benchmark(main)

"""Does a model that learned from negatives change less when only the context is written anew?

    python benchmarks/context_shift.py --data DATA/amazon-office --seeds 3

A description and its negative share their *context*, the text outside the slots. After training,
the context of a random half of the items is restyled, in both alike, while the slots stay:

- *frame*: shop phrases stand before and after;
- *reworded*: common words and punctuation give way to others (``WORDS``);
- *telegraph*: the context is dropped, and only the key attributes remain, with commas between.

The restyled texts are encoded, and the test items are ranked again with the tastes that training
found. NegGen is trained on the descriptions alone (*plain*, ρ = 0), on their negatives too (ρ > 0),
and on the negatives of other items (*placebo*), with the same λ on the same base. *Attributes
alone* is plain on the key attributes without their context, which no style can change: it shows
what ignoring the context costs. *Content* is the part p_u · c_i of the score alone. (Validation
stops the training by the sum, and may do so early: with ``--weight 2`` content is trained longer.)

Figures are NDCG@20, means over seeds (splits and halves). *Kept* is after over before, and p is of
a paired t-test over users, of the means over seeds of each user's loss relative to the row's mean
before, against plain. The line of JSON has the absolute losses, too. *Changed* is the share of a
user's top 20 that was not there before. *Moved* is how far a restyled
item's effect went, 1 − cos(c, c'), over how far apart the effects of two items are on average.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal
from zlib import crc32

import numpy as np
import polars as pl
import torch
import torch.nn.functional as F
import typer
from numpy.typing import NDArray
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
from neggen import EASE, Dataset, LightGCN, NegGen
from neggen.cli.output import console, print_table, say
from neggen.comparison.variants import shuffled
from neggen.data.vectors import ItemVectors
from neggen.encoding.store import encode, load_vectors
from neggen.encoding.text import TextEncoder
from neggen.evaluation.ranking import Scorer, evaluate_ranking, users_at_once
from neggen.evaluation.significance import compare_over_seeds
from neggen.generation.record_files import read_records
from neggen.generation.records import MASK, fill
from neggen.models.base import Recommender

FRAMES = (
    ("Now in our shop: ", " Order today while stocks last."),
    ("Customers love this one. ", " Free returns within thirty days."),
    ("Our pick of the week. ", " Add it to your basket!"),
    ("", " Dispatched within one working day, gift wrapping available."),
    ("New arrival! ", ""),
    ("Special offer, this month only. ", " See our terms and conditions."),
    ("You asked for it, we have it: ", " Shop with confidence."),
)
# What is there and what comes instead: frequent words of contexts that decide nothing. One begins
# with a vowel where the other does, for "a" and "an".
WORDS = """
made for = designed with a view to    suited to = well matched with   meant for = directed at
aimed at = addressed to               intended for = envisaged for    chosen by = picked by
built for = constructed for           sized for = proportioned for    used by = put to work by
bought by = purchased by              favoured by = preferred by      loved by = cherished by
popular with = much liked by          ideal for = excellent for       handy for = practical for
useful for = convenient for           good for = fine for             suitable for = fit for
supplied with = delivered with        fitted with = provided with     so that = in such a way that
people who = those who                enough for = adequate for       enough to = adequately to
at a glance = instantly               easy to = effortless to         simple to = straightforward to
quick to = speedy to                  without fuss = hassle-free      plenty of = lots of
up to = as much as                    pack of = package of            set of = collection of
box of = carton of                    bundle of = parcel of           range of = selection of
at home = in the house                pages a minute = ppm            one hundred = 100
two = 2          three = 3            four = 4         five = 5       six = 6       ten = 10
eight = 8        twelve = 12          fifty = 50       twenty = 20    dozen = 12    inches = in.
and = as well as                      with = along with               that = which
without = free of                     over = across                   or = or else
colour = color                        colours = colors                grey = gray
giving = providing                    offering = affording            keeping = maintaining
holding = storing                     producing = generating          protecting = safeguarding
small = little                        large = big                     compact = space-saving
durable = long-lived                  sturdy = robust                 dependable = trustworthy
reliable = dependable                 comfortable = pleasant          affordable = inexpensive
economical = affordable               inexpensive = economical        premium = high-grade
genuine = bona fide                   original = authentic            basic = no-frills
quickly = rapidly                     easily = effortlessly           cleanly = neatly
fast = speedy                         simple = plain                  tidy = neat
strong = tough                        slim = thin                     bright = vivid
everyday = ordinary                   several = multiple              while = whilst
story = tale                          film = motion picture           tells = recounts
"""
SYNONYMS: dict[str, str] = dict(
    pair.split(" = ") for line in WORDS.strip().splitlines() for pair in re.split(r"\s{2,}", line)
)
KNOWN = re.compile(r"\b(" + "|".join(sorted(SYNONYMS, key=len, reverse=True)) + r")\b", re.I)
PUNCTUATION = {", ": " – ", ".": "!"}

Style = Callable[[str, int], str]
"""A template and a number to choose by, to the template in another style, with the same slots."""


def frame(template: str, number: int) -> str:
    """Put shop phrases around a template."""
    before, after = FRAMES[number % len(FRAMES)]
    return before + template + after


def reworded(template: str, number: int) -> str:
    """Exchange common words and punctuation of the context."""
    del number  # every word has one substitute
    for old, new in PUNCTUATION.items():
        template = template.replace(old, new)
    return KNOWN.sub(lambda found: _like(found[0], SYNONYMS[found[0].lower()]), template)


def _like(old: str, new: str) -> str:
    return new[0].upper() + new[1:] if old[0].isupper() else new


def telegraph(template: str, number: int) -> str:
    """Drop the context."""
    del number  # there is one way to say nothing
    return ", ".join([MASK] * template.count(MASK))


STYLES: dict[str, Style] = {"frame": frame, "reworded": reworded, "telegraph": telegraph}


def restyled(records: pl.DataFrame, style: Style) -> pl.DataFrame:
    """Write the context of all records anew; an item's modalities and completions are alike."""
    rows = []
    for row in records.iter_rows(named=True):
        template = style(row["template"], crc32(row["item_id"].encode()))
        texts = {
            "description": fill(template, row["values"]),
            "negative": fill(template, row["replacements"]),
        }
        rows.append({**row, "template": template, **texts})
    return pl.DataFrame(rows, schema=records.schema)


def mixed(old: ItemVectors, new: ItemVectors, chosen: NDArray[np.bool_]) -> ItemVectors:
    """Take the new vectors of the chosen items, bool ``[items]``, and the old ones of others."""
    return replace(
        old,
        positive=np.where(chosen[:, None, None], new.positive, old.positive),
        negative=np.where(chosen[:, None, None, None], new.negative, old.negative),
    )


PLAIN, PLACEBO, ATTRIBUTES = "plain", "placebo, ρ = 0.5", "attributes alone"
CONTRASTS = {PLAIN: 0.0, "ρ = 0.25": 0.25, "ρ = 0.5": 0.5, "ρ = 1": 1.0, PLACEBO: 0.5}
CONTRASTS |= {ATTRIBUTES: 0.0}
PARTS = ("content", "with base")


class Figures:
    """Per-user figures of every row and style, over seeds, and how far effects moved."""

    def __init__(self) -> None:
        self.users: dict[tuple[str, str], list[pl.DataFrame]] = {}
        self.moved: dict[tuple[str, str], list[float]] = {}

    def mean(self, row: str, style: str) -> float:
        """Return the NDCG@20 of a row, the mean over seeds."""
        return float(np.mean([users["ndcg"].mean() for users in self.users[row, style]]))

    def losses(self, row: str, style: str, *, relative: bool) -> pl.DataFrame:
        """Return each user's loss under each seed, over the row's mean before if relative."""
        unit = self.mean(row, "before") if relative else 1.0
        pairs = zip(self.users[row, "before"], self.users[row, style], strict=True)
        return pl.concat(
            before.select("user_id", loss=(before["ndcg"] - after["ndcg"]) / unit)
            for before, after in pairs
        )

    def against(self, plain: str, row: str, style: str) -> dict[str, float]:
        """Compare what a row loses with what plain content loses."""
        of_row: dict[str, float] = {"after": self.mean(row, style)}
        of_row["kept"] = of_row["after"] / self.mean(row, "before")
        for name, relative in (("loss", False), ("relative_loss", True)):
            ours = self.losses(row, style, relative=relative)
            theirs = self.losses(plain, style, relative=relative)
            found = compare_over_seeds(ours, theirs, "loss")
            of_row |= {f"{name}_over_plain": found.gain, f"{name}_p": found.t_test}
        ours, theirs = (pl.concat(self.users[side, style]) for side in (row, plain))
        more = compare_over_seeds(ours, theirs, "changed")
        of_row |= {"changed": float(np.mean(ours["changed"].to_numpy())), "changed_p": more.t_test}
        return of_row


def try_seed(
    figures: Figures,
    data: Dataset,
    versions: Mapping[str, ItemVectors],
    base: Recommender,
    settings: Mapping[str, Any],
) -> None:
    """Train every variant on one split and measure it before and after every style.

    Args:
        figures: takes what is found.
        data: split.
        versions: the vectors of all items, ``before`` and in every style.
        base: fitted on ``data``.
        settings: of NegGen.
    """
    seed = base.config.seed
    chosen = np.random.default_rng(seed).permutation(data.shape[1]) < data.shape[1] // 2
    half = {style: mixed(versions["before"], new, chosen) for style, new in versions.items()}
    for name, contrast in CONTRASTS.items():
        known = half
        if name == PLACEBO:
            known = {style: shuffled(vectors, seed) for style, vectors in half.items()}
        elif name == ATTRIBUTES:
            known = dict.fromkeys(half, versions["telegraph"])
        with console.status(f"Seed {seed}, {name}"):
            model = NegGen(seed=seed, contrast=contrast, **settings)
            model.base = base
            model.fit(data.replace(vectors=known["before"]))
        firsts: dict[str, Tensor] = {}
        for style, vectors in known.items():
            effects = model.effects_of(vectors)
            for part, scorer in zip(PARTS, scorers(model, effects), strict=True):
                found = evaluate_ranking(
                    scorer, data.train, data.test, ks=(20,), device=model.config.device
                )
                lists = best(scorer, data, found.users, model.config.device)
                firsts.setdefault(part, lists)  # those of the first style, before
                users = pl.DataFrame(
                    {
                        "user_id": data.user_ids[found.users],
                        "ndcg": found.per_user["ndcg@20"],
                        "changed": changed(firsts[part], lists),
                    }
                )
                figures.users.setdefault((f"{name}, {part}", style), []).append(users)
            rows = torch.from_numpy(np.flatnonzero(chosen)).to(effects.device)
            figures.moved.setdefault((name, style), []).append(moved(model.effects, effects, rows))
        for part in PARTS:
            row = f"{name}, {part}"
            last = [np.mean(figures.users[row, style][-1]["ndcg"].to_numpy()) for style in half]
            say(f"seed {seed}, {row}: {', '.join(f'{figure:.4f}' for figure in last)}")


def scorers(model: NegGen, effects: Tensor) -> tuple[Scorer, Scorer]:
    """Return the score by content alone, and that with the base, for effects ``[items, d]``."""
    return (
        lambda users: model.tastes(users) @ effects.T,
        lambda users: model.backbone.score_index(users) + model.tastes(users) @ effects.T,
    )


def best(scorer: Scorer, data: Dataset, users: NDArray[np.int64], device: str) -> Tensor:
    """Return the 20 best items of internal users, without those of training, ``[users, 20]``."""
    lists, size = [], users_at_once(data.shape[1])
    for start in range(0, len(users), size):
        chunk = users[start : start + size]
        seen = torch.from_numpy(data.train[chunk].toarray() > 0).to(device)
        scores = scorer(torch.from_numpy(chunk).to(device))  # [chunk, items]
        scores = scores.masked_fill(seen, -torch.inf)
        lists.append(scores.topk(20, dim=1).indices)
    return torch.cat(lists)


def changed(before: Tensor, after: Tensor) -> NDArray[np.float32]:
    """Return the share of each user's list that is new, ``[users]``."""
    stays = (before[:, :, None] == after[:, None]).any(2)  # [users, 20]
    return (~stays).float().mean(1).cpu().numpy()


def moved(before: Tensor, after: Tensor, rows: Tensor) -> float:
    """Return how far the effects of some rows went, over how far apart two rows are."""
    step = 1 - F.cosine_similarity(before[rows], after[rows]).mean()
    return float(step / (1 - F.normalize(before, dim=1).mean(0).square().sum()))


def report(figures: Figures, title: str) -> None:
    """Print both tables and the line of JSON."""
    found: dict[str, dict[str, Any]] = {}
    table, lists = [], []
    for part in PARTS:
        for name in CONTRASTS:
            row = f"{name}, {part}"
            before = figures.mean(row, "before")
            own = {style: figures.against(f"{PLAIN}, {part}", row, style) for style in STYLES}
            found[row] = {"before": before, **own}
            kept = [
                f"{own[s]['after']:.4f} ({own[s]['kept']:.1%}{p_value(own[s], 'relative_loss_p')})"
                for s in STYLES
            ]
            table.append([row, f"{before:.4f}", *kept])
            new = [f"{own[s]['changed']:.1%}{p_value(own[s], 'changed_p')}" for s in STYLES]
            lists.append([row, *new])
    print_table(["NDCG@20", "before", *STYLES], table, title=f"{title}: after (kept; p)")
    print_table(["changed", *STYLES], lists, title="Share of the top 20 that is new (p)")
    rows = [
        [name, *(f"{np.mean(figures.moved[name, style]):.3f}" for style in STYLES)]
        for name in CONTRASTS
    ]
    print_table(["moved", *STYLES], rows, title="How far effects went")
    for name in CONTRASTS:
        found[f"{name}, content"]["moved"] = {
            style: float(np.mean(figures.moved[name, style])) for style in STYLES
        }
    print_last_line(found)


def p_value(own: Mapping[str, float], name: str) -> str:
    """Write the p-value against plain, but not that of plain itself."""
    return f"; {own[name]:.2g}" if own[name] < 1 else ""


def main(
    data: DataOption,
    seeds: Annotated[int, typer.Option(min=1, help="How many splits.")] = 3,
    backbone: Annotated[
        Literal["ease", "lightgcn"], typer.Option(help="What NegGen stands on.")
    ] = "ease",
    weight: Annotated[float, typer.Option(min=0.01, help="λ, the same for all.")] = 0.5,
    workspace: WorkspaceOption = None,
    device: DeviceOption = "cpu",
) -> None:
    """Restyle the context of half of the items after training, and rank again."""
    source = find_data(data, "amazon-office")
    bases: dict[str, type[Recommender]] = {"ease": EASE, "lightgcn": LightGCN}
    settings = {"device": device, "use_text": False, "effect_weights": (weight,), "patience": 3}
    # The filter would have items learn without some of the negatives that are restyled.
    settings |= {"filter_false_negatives": False, "learning_rate": 0.003}
    with imported(source, workspace) as (place, catalogue):
        describe(place, catalogue, source / "answers.jsonl", device)
        records = read_records(place.records_path)
        versions = {"before": load_vectors(place, catalogue, records)}
        encoder = TextEncoder(device=device)
        for name, style in STYLES.items():
            anew = restyled(records, style)
            with console.status(f"Encoding {name}"):
                encode(place, catalogue, anew, encoder)
            versions[name] = load_vectors(place, catalogue, anew)
        figures = Figures()
        for seed in range(seeds):
            split = catalogue.split("random", seed=seed)
            base = bases[backbone](seed=seed, device=device).fit(split)
            try_seed(figures, split, versions, base, settings)
    report(figures, f"{source.name}, {seeds} seeds, on {backbone}, λ = {weight:g}")


if __name__ == "__main__":
    run_benchmark(main)

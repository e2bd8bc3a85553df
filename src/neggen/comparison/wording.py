"""What a study found, in words and short texts: labels, figures, and what they are of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from neggen.comparison.summary import spread
from neggen.evaluation.slices import TAIL_SHARE
from neggen.generation.backends.catalogue import CatalogueBackend

LABELS = {"recall": "Recall", "ndcg": "NDCG", "precision": "Precision", "map": "MAP", "mrr": "MRR"}
SIGNIFICANT = 0.05
"""Corrected p-values under this are marked."""
MEMORY = {
    "cpu": "the most resident memory of the process while it fitted",
    "cuda": "the most memory that PyTorch had allocated on the GPU while it fitted",
}


def label(metric: str) -> str:
    """Return what people call a metric.

    >>> label("ndcg@20")
    'NDCG@20'
    """
    name, _, k = metric.partition("@")
    return f"{LABELS.get(name, name)}@{k}"


def about(results: Mapping[str, Any]) -> str:
    """Return a paragraph that says what the table shows."""
    seeds = results["seeds"]
    over = "the row named beside them" if has_several(results) else f"'{results['reference']}'"
    return (
        f"Part {results['part']} of split {split_of(results)}, mean ± standard deviation over "
        f"{seeds} seed{'' if seeds == 1 else 's'}. {tuning(results)}; no fit, and no choice among "
        f"fits, looked at the {results['part']} part of its own split. Gain, effect size (mean "
        f"over standard deviation of the differences) and p (paired t-test over users, with Holm's "
        f"correction) are of {label(results['metric'])} against {over}; users count once, with the "
        f"mean over their seeds, so p is about people: whether another training would differ, more "
        f"seeds tell.{_of_descriptions(results)}"
    )


def split_of(results: Mapping[str, Any]) -> str:
    """Return the split, with its shares where they are not the usual ones.

    >>> split_of({"split": "time", "shares": {"test_share": 0.2}})
    'time (test_share 0.2)'
    """
    shares = ", ".join(f"{name} {share:g}" for name, share in results["shares"].items())
    return f"{results['split']} ({shares})" if shares else str(results["split"])


def _of_descriptions(results: Mapping[str, Any]) -> str:
    """Return a sentence, after a space, where descriptions know more than their split trains."""
    learned_from = "given" if results["labeled"] else "random"  # whose seed is 0
    usual = results["split"] == learned_from and (results["labeled"] or results["seeds"] == 1)
    if usual or CatalogueBackend.name not in results["writers"]:
        return ""
    return (
        " The built-in generator wrote the descriptions once, by the training part of the usual "
        "split: on other splits and seeds, rows that use them know something of what is tested."
    )


def tuning(results: Mapping[str, Any]) -> str:
    """Return a sentence without its full stop that says how rows were tuned."""
    if not results["budget"]:
        return "No row was tuned"
    minutes = results["minutes"]
    time = f", or as many as began within {minutes:g} min of its tuning" if minutes else ""
    return (
        f"Every row had {results['budget']} trials{time}, the row as it stands being the first, on "
        f"the validation part of seed 0 (fewer where there are fewer points to try)"
        f"{_of_bases(results)}"
    )


def _of_bases(results: Mapping[str, Any]) -> str:
    starts_from = {row["tuning"]["base"] for row in results["rows"].values()} - {None}
    return ", besides those of the row that it starts from" if starts_from else ""


def about_slices(results: Mapping[str, Any]) -> str:
    """Return a paragraph that says what the slices are, and how large."""
    first = next(iter(results["rows"].values()))
    sizes = {
        name: [round(spread(figures[key])[0]) for key in ("users", "targets")]
        for name, figures in first["slices"].items()
    }
    size = {
        name: f"{users:,} users, {targets:,} targets" for name, (users, targets) in sizes.items()
    }
    return (
        f"From the same rankings as above. *tail*: the least popular items, which together make up "
        f"at most {TAIL_SHARE:.0%} of the training interactions ({size['tail']}); *cold*: items "
        f"that nobody used in training ({size['cold']}); other targets of these users keep their "
        f"places in the list and count as misses. *low-activity*: the third of the tested users "
        f"with the fewest training interactions, and those with as many as the last of them "
        f"({size['low-activity']})."
    )


def about_beyond() -> str:
    """Return a paragraph that says what the figures beyond accuracy are."""
    return (
        "Of the top 20 of everybody who was tested. *coverage*: share of the items that are in "
        "somebody's list; *Gini*: 0 if all are shown alike; *novelty*: mean self-information in "
        "bits; *popularity*: mean number of training users of a recommended item (ARP; lower "
        "repeats less of what is popular); *list distance*: mean 1 − cosine of the descriptions "
        "within a list."
    )


def about_costs(results: Mapping[str, Any]) -> str:
    """Return a paragraph that says what the seconds and the memory are of."""
    devices = sorted({device for row in results["rows"].values() for device in row["devices"]})
    return (
        f"Wall time, mean over seeds. *tuning*: all trials, without a base's; *fit*: one fit, its "
        f"base included; *epoch*: of training, without validation; *test*: scoring and ranking the "
        f"{results['part']} part. *peak*: {' or '.join(MEMORY[device] for device in devices)}, "
        f"above what was held just before (data and libraries), the greatest over seeds."
    )


def has_several(results: Mapping[str, Any]) -> bool:
    """Return whether rows were tested against different rows."""
    against = [row["against"] for row in results["rows"].values()]
    return len({of_row["row"] for of_row in against if of_row}) > 1


def is_significant(row: Mapping[str, Any]) -> bool:
    """Return whether a row differs from the one it was tested against by more than chance."""
    return row["against"] is not None and row["against"]["t_test_holm"] < SIGNIFICANT


def mean_and_std(values: Sequence[float | None], digits: int = 4) -> str:
    """Write values as mean ± sample standard deviation; seeds without a value do not count."""
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    mean, std = spread(known)
    return f"{mean:.{digits}f}" if std is None else f"{mean:.{digits}f} ± {std:.{digits}f}"


def mean(values: Sequence[float | None], digits: int = 3) -> str:
    """Write the mean of values; seeds without a value do not count."""
    known = [value for value in values if value is not None]
    return f"{spread(known)[0]:,.{digits}f}" if known else "–"


def gain(against: Mapping[str, Any] | None) -> str:
    """Write the relative gain over the row that a row was tested against."""
    if against is None:
        return ""
    relative = against["relative_gain"]
    return "–" if relative is None else f"{100 * relative:+.1f}%"


def p_value(p: float | None) -> str:
    """Write a p-value, of which there is none without an opponent."""
    if p is None:
        return ""
    return f"{p:.2g}" if p else "< 1e-300"


def effect_size(against: Mapping[str, Any] | None) -> str:
    """Write the effect size, dz of Cohen (1988): of paired differences."""
    if against is None:
        return ""
    size = against["effect_size"]
    return "–" if size is None else f"{size:+.3f}"


def trials(tuning: Mapping[str, Any]) -> str:
    """Write how many trials a row had, and how many the row it starts from."""
    if tuning["of"]:
        return f"as {tuning['of']}"
    time = " (out of time)" if tuning["out_of_time"] else ""
    failed = f", {tuning['failed']} failed" if tuning["failed"] else ""
    of_base = f" + {tuning['base_trials']} of {tuning['base']}" if tuning["base_trials"] else ""
    return f"{tuning['trials']}{failed}{time}{of_base}"

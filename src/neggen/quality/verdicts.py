"""One plain sentence a group of measures, where one can be given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

BALANCED = 0.8
"""Least ratio of distances for modalities to count as balanced."""
FEW, MANY = 0.01, 0.05
"""Shares up to which something happens seldom, and from which on it happens often."""
LIKE_REAL = 0.75
"""Least ratio of cohesion to that of descriptions for negatives to fit into the catalogue."""
LITTLE = 0.1
"""Contrast under which a negative says much the same as the description."""
NEUTRAL = 0.05
"""How far from 1 a ratio to what chance would give must be to be called more or less."""


def verdicts(summary: Mapping[str, Any]) -> dict[str, str]:
    """Judge a summary (:func:`neggen.quality.measure.measure_quality`), a sentence a group."""
    every = summary["measures"]["all"]
    found = {
        "locality": _locality(every),
        "cohesive": _cohesive(every, len(summary["stock"])),
        "contrastive": _contrastive(every),
        "balanced": _balanced(summary["balance"]),
        "hard": _hard(summary["hardness"]),
        "not false": _not_false(summary["preference"]),
        "anti-lift": _anti_lift(summary["preference"]),
    }
    return {group: sentence for group, sentence in found.items() if sentence}


def _locality(every: Mapping[str, Any]) -> str:
    if every["unchanged"] == 1:
        return "Good: negatives differ from their descriptions in the slots only."
    return f"Poor: {1 - every['unchanged']:.1%} of the words outside the slots changed as well."


def _cohesive(every: Mapping[str, Any], stock: int) -> str:
    faults = []
    if every["cohesion"] and every["cohesion"] < LIKE_REAL * every["cohesion_of_descriptions"]:
        faults.append("negatives are unlike anything in the catalogue")
    if every["duplicates"] > FEW:
        faults.append(f"{every['duplicates']:.1%} of the negatives are not their item's own")
    if stock:
        faults.append(f"{every['stock_share']:.1%} of the slots hold one of {stock} stock answers")
    if faults:
        return f"Look here: {'; '.join(faults)}."
    return "Good: negatives read like real items, and each is its item's own."


def _contrastive(every: Mapping[str, Any]) -> str:
    if every["synonym_share"] > MANY:
        return f"Poor: {every['synonym_share']:.1%} of the slots say nearly the same as before."
    if every["contrast"] < LITTLE:
        return "Poor: negatives mean much the same as the descriptions."
    if every["synonym_share"] > FEW:
        return f"Fair: {every['synonym_share']:.1%} of the slots say nearly the same as before."
    return "Good: negatives mean something else, in nearly every slot."


def _balanced(ratio: float | None) -> str:
    if ratio is None:
        return ""
    if ratio >= BALANCED:
        return "Good: every modality is changed about as much."
    return "Look here: one modality is changed far more than another, so it will drown the other."


def _hard(hardness: Mapping[str, Any] | None) -> str:
    if hardness is None or "generated" not in hardness["by_sampler"]:
        return ""
    names = {"uniform": "uniform samples", "mixgcf": "MixGCF", "dns": "DNS"}
    rivals = hardness["by_sampler"]
    own = rivals["generated"]
    harder = {name: own >= (1 + NEUTRAL) * rivals[key] for key, name in names.items()}
    easier = {name: own <= (1 - NEUTRAL) * rivals[key] for key, name in names.items()}
    groups = {
        "harder than": [name for name in harder if harder[name]],
        "about as hard as": [name for name in harder if not harder[name] and not easier[name]],
        "not as hard as": [name for name in easier if easier[name] and not harder[name]],
    }
    parts = [f"{words} {_listed(names)}" for words, names in groups.items() if names]
    return f"Generated negatives are {', '.join(parts)}."


def _listed(names: list[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _not_false(preference: Mapping[str, Mapping[str, Any]]) -> str:
    ratios = [
        side["closer_share"] / side["closer_share_of_others"]
        for side in preference.values()
        if side["closer_share"] is not None and side["closer_share_of_others"]
    ]
    if not ratios:
        return ""
    if max(ratios) <= 1 - NEUTRAL:
        return "Good: other items' negatives lead to what an item's users also use more often."
    if max(ratios) < 1 + NEUTRAL:
        return "Fair: negatives lead to what an item's users also use as seldom as by chance."
    return (
        "Look here: negatives lead to what an item's users also use more often than other items' "
        "negatives would."
    )


def _anti_lift(preference: Mapping[str, Mapping[str, Any]]) -> str:
    sentences = []
    for name, side in preference.items():
        lift, own = side["top_lift"], side["top_lift_of_descriptions"]
        if lift is None or own is None:
            continue
        sentences.append(f"{name}: {_lift_sentence(lift, own)}")
    return " ".join(sentences)


def _lift_sentence(lift: float, own: float) -> str:
    if lift <= 1 - NEUTRAL:
        return "good, what is like the negative is used less with the item than anything else."
    if lift < 1 + NEUTRAL:
        return "fair, what is like the negative is used with the item as anything else is."
    if lift < own:
        return (
            "look here, what is like the negative is still used with the item more than anything "
            "else: it stays in the item's own corner of the catalogue."
        )
    return "poor, what is like the negative is used with the item as much as what is like the item."

"""Sentences about figures: the thresholds, and that nothing is said about what is not known."""

from __future__ import annotations

from typing import Any

import pytest

from neggen.quality.verdicts import verdicts

EVERY = {
    "unchanged": 1.0,
    "cohesion": 0.5,
    "cohesion_of_descriptions": 0.6,
    "duplicates": 0.0,
    "stock_share": 0.0,
    "synonym_share": 0.0,
    "contrast": 0.5,
}
SIDE = {
    "closer_share": 0.3,
    "closer_share_of_others": 0.4,
    "top_lift": 0.8,
    "top_lift_of_descriptions": 2.0,
}


def judge(side=None, **changes: Any) -> dict[str, str]:
    measures = {**EVERY, **changes.pop("every", {})}
    return verdicts(
        {
            "measures": {"all": measures},
            "stock": [],
            "balance": 0.9,
            "hardness": None,
            "preference": {"text": {**SIDE, **(side or {})}},
            **changes,
        }
    )


def test_good_ones() -> None:
    said = judge()
    assert set(said) == {
        "locality", "cohesive", "contrastive", "balanced", "not false", "anti-lift",
    }  # fmt: skip
    assert all("ood" in sentence for sentence in said.values())


@pytest.mark.parametrize(
    ("group", "changes", "words"),
    [
        ("locality", {"every": {"unchanged": 0.9}}, "10.0% of the words"),
        ("cohesive", {"every": {"cohesion": 0.4}}, "unlike anything"),
        ("cohesive", {"every": {"duplicates": 0.2}}, "20.0% of the negatives"),
        ("cohesive", {"stock": [{}, {}], "every": {"stock_share": 0.07}}, "7.0% of the slots"),
        ("contrastive", {"every": {"synonym_share": 0.06}}, "Poor: 6.0%"),
        ("contrastive", {"every": {"synonym_share": 0.02}}, "Fair: 2.0%"),
        ("contrastive", {"every": {"contrast": 0.05}}, "Poor"),
        ("balanced", {"balance": 0.5}, "drown"),
        ("not false", {"side": {"closer_share": 0.39}}, "Fair"),
        ("not false", {"side": {"closer_share": 0.45}}, "Look here"),
        ("anti-lift", {"side": {"top_lift": 1.0}}, "fair"),
        ("anti-lift", {"side": {"top_lift": 1.5}}, "look here"),
        ("anti-lift", {"side": {"top_lift": 2.5}}, "poor"),
    ],
)
def test_faults_are_named(group: str, changes: dict, words: str) -> None:
    assert words in judge(**changes)[group]


def test_hardness_names_what_is_easier_and_harder() -> None:
    rivals = {"uniform": 0.1, "generated": 0.2, "mixgcf": 0.4, "dns": 0.3, "alike": 0.2}
    said = judge(hardness={"by_sampler": rivals})["hard"]
    assert said == (
        "Generated negatives are harder than uniform samples, not as hard as MixGCF and DNS."
    )
    said = judge(hardness={"by_sampler": {**rivals, "uniform": 0.201}})["hard"]
    assert "about as hard as uniform samples, not" in said


def test_what_is_not_known_is_not_judged() -> None:
    nothing = dict.fromkeys(SIDE)
    said = judge(side=nothing, balance=None)
    assert set(said) == {"locality", "cohesive", "contrastive"}

"""Some rows of a study: nothing they need is missing, and nothing else is there."""

from __future__ import annotations

import pytest

from neggen.comparison.selection import with_rows
from neggen.comparison.study import Study
from neggen.testing import refuses

NEGGEN = {"model": "neggen"}
STUDY = Study.parse(
    {
        "rows": {
            "ease": {"model": "ease", "against": "mf"},
            "mf": {"model": "mf", "against": "lightgcn"},
            "mf, DNS": {"model": "mf", "against": "mf", "settings": {"sampler": "dns"}},
            "lightgcn": {"model": "lightgcn"},
            "neggen": {**NEGGEN, "base": "lightgcn", "against": "lightgcn"},
            "placebo": {**NEGGEN, "same_search_as": "neggen", "negatives": "shuffled"},
        },
        "sweeps": {"contrast": {"row": "neggen", "values": [0, 1]}},
        "reference": "neggen",
    }
)


@pytest.mark.parametrize(
    ("patterns", "rows", "opponents"),
    [
        (["mf, *"], ["mf", "mf, DNS"], [None, "mf"]),
        (["mf*"], ["mf", "mf, DNS", "lightgcn"], ["lightgcn", "mf", None]),
        (["ease", "mf"], ["ease", "mf", "lightgcn"], ["mf", "lightgcn", None]),
        (["lightgcn"], ["lightgcn", "neggen"], ["neggen", "lightgcn"]),
        (["placebo"], ["lightgcn", "neggen", "placebo"], ["neggen", "lightgcn", "neggen"]),
        (["*"], list(STUDY.rows), [STUDY.opponent(name) for name in STUDY.rows]),
    ],
)
def test_rows_come_with_what_they_need(
    patterns: list[str], rows: list[str], opponents: list[str | None]
) -> None:
    found = with_rows(STUDY, patterns)
    assert list(found.rows) == rows
    assert [found.opponent(name) for name in rows] == opponents
    assert bool(found.sweeps) == (patterns == ["*"])
    assert found.title.startswith("Comparison (rows ")
    assert Study.parse(found.model_dump(exclude_none=True)) == found


def test_a_name_that_no_row_has() -> None:
    with refuses("No row of the study is called 'mg, DNS'", "Did you mean 'mf, DNS'?"):
        with_rows(STUDY, ["mf", "mg, DNS"])

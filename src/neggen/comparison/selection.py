"""Some rows of a study, with the others that these cannot do without."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from neggen.comparison.study import Study
from neggen.errors import NegGenError, nearest


def with_rows(study: Study, patterns: Sequence[str]) -> Study:
    """Return a study with the rows whose names match a pattern, such as ``mf*``.

    With them stay the rows that they start from, take their tuning from, or are tested against. A
    row that stays for the sake of others is itself tested only against what is there, and has no
    sweeps. The title says that this is a part.

    Raises:
        NegGenError: If a pattern matches no row.
    """
    matched: set[str] = set()
    for pattern in patterns:
        found = {name for name in study.rows if fnmatchcase(name, pattern)}
        if not found:
            hint = nearest(pattern, study.rows) or f" Rows: {', '.join(study.rows)}."
            raise NegGenError(f"No row of the study is called '{pattern}'.{hint}")
        matched |= found
    kept = _with_sources(study, matched)
    opponents = {other for name in matched if (other := study.opponent(name)) is not None}
    kept |= _with_sources(study, opponents)
    rows = {}
    for name, row in study.rows.items():
        if name in kept:
            alone = study.opponent(name) not in {None, *kept}
            rows[name] = row.model_copy(update={"against": name}) if alone else row
    reference = study.reference_row if study.reference_row in rows else None
    sweeps = {name: sweep for name, sweep in study.sweeps.items() if sweep.row in matched}
    title = f"{study.title} (rows {', '.join(patterns)})"
    return study.model_copy(
        update={"title": title, "rows": rows, "reference": reference, "sweeps": sweeps}
    )


def _with_sources(study: Study, names: Iterable[str]) -> set[str]:
    """Return rows and those whose settings, tuning or model they take over."""
    kept: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        kept.add(name)
        row = study.rows[name]
        waiting += [
            other for other in (row.base, row.same_search_as) if other and other not in kept
        ]
    return kept

"""The main table of a study in LaTeX, ready to be put into a paper."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from neggen.comparison.tables import Table, main_table
from neggen.comparison.wording import (
    SIGNIFICANT,
    has_several,
    is_significant,
    label,
    split_of,
    tuning,
)

SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
LEFT_OUT = ("p (Holm)", "effect size")
"""Columns that the mark of significance stands for."""


def latex(results: Mapping[str, Any]) -> str:
    """Return the table: the best of each column bold, the second underlined."""
    table = main_table(results)
    shown = [place for place, head in enumerate(table.columns) if head not in LEFT_OUT]
    gain = table.columns.index("gain")
    lines = [
        "% Needs \\usepackage{booktabs}. Letters that pdfTeX does not know need LuaTeX or XeTeX.",
        "\\begin{table}",
        "\\centering",
        f"\\caption{{{_caption(results)}}}",
        f"\\begin{{tabular}}{{l{'r' * (len(shown) - 1)}}}",
        "\\toprule",
        _line(escape(table.columns[place]) for place in shown),
        "\\midrule",
    ]
    for number, row in enumerate(results["rows"].values()):
        cells = [_cell(table, number, place) for place in shown]
        if is_significant(row):
            cells[shown.index(gain)] += "$^{*}$"
        lines.append(_line(cells))
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", "\\end{table}", ""])


def escape(text: str) -> str:
    r"""Return text that LaTeX sets as it stands.

    >>> escape("a_b & 5%")
    'a\\_b \\& 5\\%'
    """
    text = " ".join(text.split())
    return re.sub(".", lambda found: SPECIAL.get(found[0], found[0]), text)


def _caption(results: Mapping[str, Any]) -> str:
    seeds, metric = results["seeds"], label(results["metric"])
    over = "the row named beside it" if has_several(results) else results["reference"]
    words = (
        f"{results['title']}: part {results['part']} of split {split_of(results)}, mean ± standard "
        f"deviation over {seeds} seed{'' if seeds == 1 else 's'}; best in bold, second underlined. "
        f"{tuning(results)}."
    )
    differs = escape(f"differs in {metric} from {over}")
    test = "paired t-test over users, Holm's correction"
    return f"{escape(words)} $^{{*}}$: {differs}, $p < {SIGNIFICANT:g}$ ({test})."


def _cell(table: Table, row: int, column: int) -> str:
    text = escape(table.cells[row][column])
    place = table.ranks[column][row] if column in table.ranks else None
    around = {0: "textbf", 1: "underline"}.get(place)  # type: ignore[arg-type]
    if around is None:
        return text
    mean, sign, std = text.partition(r" $\pm$ ")
    return f"\\{around}{{{mean}}}{sign}{std}"


def _line(cells: Any) -> str:
    return " & ".join(cells) + r" \\"

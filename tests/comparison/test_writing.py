"""The table as Markdown, LaTeX and one page: its marks, and names that mean something there."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from neggen.comparison.html import html
from neggen.comparison.latex import escape, latex
from neggen.comparison.run import run_study
from neggen.comparison.study import Study
from neggen.comparison.tables import main_table
from neggen.comparison.wording import is_significant
from neggen.workspace import Workspace

NASTY = r"R&D_50% {a} ~^\x $\frac$ <script>alert('1')</script> | # *b*"
ROWS: dict[str, Any] = {
    "popularity": {"model": "popularity"},
    NASTY: {"model": "ease", "settings": {"regularization": 20.0}},
    "ease": {"model": "ease"},
}


@pytest.fixture(scope="module")
def place(described: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return Workspace(shutil.copytree(described, tmp_path_factory.mktemp("written") / "w"))


@pytest.fixture(scope="module")
def study(place: Workspace) -> tuple[dict[str, Any], Path]:
    values = {
        "title": "Shop & more: 100% <b>",
        "seeds": 2,
        "budget": 2,
        "rows": ROWS,
        "reference": "ease",
        "sweeps": {"regularization": {"row": "ease", "values": [1, 1000]}},
    }
    return run_study(place, Study.parse(values), "written"), place.path / "studies" / "written"


def test_latex(study: tuple[dict[str, Any], Path]) -> None:
    results, folder = study
    text = (folder / "results.tex").read_text(encoding="utf-8")
    assert text.count(r"\toprule") == text.count(r"\midrule") == text.count(r"\bottomrule") == 1
    body = text.split("\\midrule\n")[1].split("\n\\bottomrule")[0].split("\n")
    assert len(body) == 3
    assert all(line.endswith(r" \\") for line in body)
    columns = text.split("\\toprule\n")[1].split("\n")[0].count(" & ")
    assert all(len(re.findall(r"(?<!\\)&", line)) == columns for line in body)
    names = {
        r"R\&D\_50\% \{a\} \textasciitilde{}\textasciicircum{}\textbackslash{}x "
        r"\$\textbackslash{}frac\$ <script>alert('1')</script> | \# *b*"
    }
    assert names <= {line.split(" & ")[0] for line in body}
    means = [sum(row["metrics"]["ndcg@20"]) / 2 for row in results["rows"].values()]
    order = sorted(range(3), key=lambda number: -means[number])
    cells = [re.split(r"(?<!\\) & ", line)[2] for line in body]
    assert cells[order[0]].startswith(rf"\textbf{{{means[order[0]]:.4f}}} $\pm$ ")
    assert cells[order[1]].startswith(rf"\underline{{{means[order[1]]:.4f}}} $\pm$ ")
    assert cells[order[2]].startswith(f"{means[order[2]]:.4f} $")
    assert r"100\% <b>: part test" in text
    assert "differs in NDCG@20 from ease, $p < 0.05$" in text
    depth = 0
    for character in re.sub(r"\\[\\{}%&#$_]", "", text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        assert depth >= 0
    assert depth == 0


def test_only_what_is_significant_is_marked(study: tuple[dict[str, Any], Path]) -> None:
    results = json.loads(json.dumps(study[0]))
    for p, marked in ((0.0501, False), (0.0499, True)):
        results["rows"]["popularity"]["against"]["t_test_holm"] = p
        rows = results["rows"].values()
        assert [is_significant(row) for row in rows][::2] == [marked, False]
        (line,) = (line for line in latex(results).split("\n") if line.startswith("popularity &"))
        assert ("\\%$^{*}$ &" in line) is marked
        row = html(results, {}).split(">popularity</th>")[1].split("</tr>")[0]
        assert ("<sup>*</sup>" in row) is marked


def test_escaping_is_done_once() -> None:
    assert escape("\\") == r"\textbackslash{}"
    assert escape("two\nlines") == "two lines"


class Page(HTMLParser):
    """Collects the tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_the_page_holds_everything_and_loads_nothing(
    study: tuple[dict[str, Any], Path],
) -> None:
    results, folder = study
    text = (folder / "results.html").read_text(encoding="utf-8")
    page = Page(text)
    assert {tag for tag, _ in page.tags} & {"script", "link", "iframe", "object", "b"} == set()
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert [image["src"].split(",")[0] for image in images] == ["data:image/png;base64"] * 2  # type: ignore[union-attr]
    assert not re.search(r"https?:|url\(|@import", text)
    assert page.texts.count(NASTY) >= 5, "in every table and among the settings"
    assert "Shop & more: 100% <b>" in page.texts
    for wanted in ("Slices", "Beyond accuracy", "Cost", "Tests of significance", "Chosen settings"):
        assert wanted in page.texts
    p = results["rows"]["popularity"]["against"]
    for key in ("t_test", "t_test_holm", "wilcoxon", "wilcoxon_holm"):
        assert f"{p[key]:.2g}" in page.texts
    assert unescape(str(results["rows"]["ease"]["settings"]["regularization"])) in page.texts


def test_markdown(study: tuple[dict[str, Any], Path]) -> None:
    results, folder = study
    lines = (folder / "results.md").read_text(encoding="utf-8").splitlines()
    heads = [line for line in lines if line.startswith("#")]
    assert heads == [
        "# Shop & more: 100% <b>", "## Tests of significance", "## Slices",
        "## Beyond accuracy", "## Cost",
        "## Sweep: regularization (ease)", "## Chosen settings",
    ]  # fmt: skip
    rows = [line for line in lines if line.startswith("| R&D")]
    assert len(rows) == 6
    assert all(NASTY.replace("|", "\\|") in row for row in rows)
    sliced = results["rows"]["ease"]["slices"]["tail"]["recall@20"]
    mean = sum(sliced) / 2
    table = lines[lines.index("## Slices") :]
    ease = next(line for line in table if line.startswith("| ease |"))
    assert ease.split(" | ")[1].startswith(f"{mean:.4f} ± ")


def test_equal_figures_share_a_place(place: Workspace) -> None:
    rows = {name: {"model": "ease", "search": {}} for name in ("a", "b")}
    rows["c"] = {"model": "popularity"}
    found = run_study(place, Study.parse({"seeds": 1, "rows": rows}), "equal")
    assert main_table(found).ranks == {1: [0, 0, 1], 2: [0, 0, 1]}
    alone = run_study(place, Study.parse({"seeds": 1, "rows": {"a": rows["a"]}}), "alone")
    assert main_table(alone).ranks == {}

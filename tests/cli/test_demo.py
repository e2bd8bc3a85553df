"""The demo: the whole story in one command."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Cli


def test_the_demo_compares_four_models_on_both_parts(cli: Cli, tmp_path: Path) -> None:
    place = tmp_path / "demo"
    told = cli("demo", place, "--items", 60, "--users", 20, "--json").json()
    assert list(told["metrics"]) == ["popularity", "ease", "lightgcn", "neggen"]
    for parts in told["metrics"].values():
        assert list(parts) == ["test", "shifted"]
        assert 0 < parts["test"]["recall@20"] <= 1
    assert told["report"] == str(place / "report.html")
    page = Path(told["report"]).read_text(encoding="utf-8")
    assert "<img" in page
    assert "NegGen" in page

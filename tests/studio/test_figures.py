"""Learning curves: SVG that a page can hold."""

from __future__ import annotations

import json
import re
from xml.etree import ElementTree

from neggen.studio.figures import learning_curves
from neggen.studio.groups import group_runs
from neggen.workspace import write_text


def log(epoch: int, loss: float, recall: float | None, best: bool = False) -> dict:
    valid = None if recall is None else {"recall@20": recall}
    return {"epoch": epoch, "loss": loss, "seconds": 1.0, "valid": valid, "best": best}


EPOCHS = [
    log(0, float("nan"), 0.1, True),
    log(1, 0.6, None),
    log(2, 0.5, 0.2, True),
    log(3, 0.4, 0.15),
]


def draw(written_run, histories):
    runs = []
    for model, history in histories.items():
        run = written_run(model, {})
        write_text(run.history_path, json.dumps(history))
        runs.append(run)
    return learning_curves(group_runs(runs))


def test_a_model_without_epochs_has_no_curve(written_run):
    assert draw(written_run, {"ease": {}}) is None


def test_the_svg_takes_color_from_the_page_and_nothing_from_the_web(written_run):
    curves = draw(written_run, {"ease": {}, "lightgcn": {"lightgcn": EPOCHS}})
    for svg, label in ((curves.validation, "Recall@20"), (curves.loss, "Training loss")):
        root = ElementTree.fromstring(svg)
        assert root.tag == "svg"
        assert "http" not in svg
        assert "currentColor" in svg
        assert "var(--series-0)" in svg
        assert "#01020" not in svg
        assert label in root.attrib["aria-label"]
        texts = [text.text for text in root.iter("text")]
        assert "Epoch" in texts, "text must stay text"
        ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        assert len(ids) == len(set(ids))
        assert set(re.findall(r"url\(#([^)]+)\)", svg)) <= set(ids)
    assert not set(_ids(curves.validation)) & set(_ids(curves.loss))


def test_every_phase_has_its_own_line(written_run):
    history = {"<warm>": EPOCHS, "main": EPOCHS}
    curves = draw(written_run, {"neggen": history, "lightgcn": {"lightgcn": EPOCHS}})
    assert [(curve.title, curve.color, curve.dash) for curve in curves.legend] == [
        ("NegGen: <warm>", 0, 0),
        ("NegGen: main", 0, 1),
        ("LightGCN", 1, 0),
    ]
    assert "warm" not in curves.validation, "names belong into the legend, where they are escaped"


def test_the_same_history_gives_the_same_svg(written_run):
    first = draw(written_run, {"lightgcn": {"lightgcn": EPOCHS}})
    assert draw(written_run, {"lightgcn": {"lightgcn": EPOCHS}}) == first


def _ids(svg: str) -> list[str]:
    return re.findall(r' id="([^"]+)"', svg)

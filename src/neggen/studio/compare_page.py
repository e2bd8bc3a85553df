"""The page that sets two runs side by side, user by user."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from neggen.errors import NegGenError
from neggen.runs import Run, finished_runs
from neggen.studio.browse_page import OPEN_JS
from neggen.studio.desk import Desk
from neggen.studio.pages import QUICK, page
from neggen.studio.pictures import Thumbnails
from neggen.studio.scores import METRICS
from neggen.studio.versus import compare_users, measured_parts, refuse_unlike, two_lists

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset
    from neggen.models.base import Recommender

FIRST_METRIC = "ndcg@20"
PER_USER = [metric for metric in METRICS if not metric.startswith("coverage")]
"""The figures that every user has."""


class ComparePage:
    """The components of the page.

    Attributes:
        outputs: what changes when the page is opened.
    """

    def __init__(self, desk: Desk) -> None:
        """Lay the page out within the Blocks that are open."""
        self._desk = desk
        with gr.Row(elem_classes="bar"):
            self.first = gr.Dropdown([], label="Baseline", elem_id="first-run", scale=2)
            self.second = gr.Dropdown([], label="Compared run", elem_id="second-run", scale=2)
            self.part = gr.Dropdown([], label="Part", min_width=110, elem_id="part")
            self.metric = gr.Dropdown(
                PER_USER, value=FIRST_METRIC, label="Figure", min_width=110, elem_id="metric"
            )
            self.user = gr.Textbox(
                label="User", placeholder="an id, or click on one", elem_id="user"
            )
        self.message = gr.HTML(elem_id="compare-message")
        self.summary = gr.HTML(elem_id="difference", js_on_load=OPEN_JS)
        self.lists = gr.HTML(elem_id="lists")
        runs = [self.first, self.second]
        chosen = [*runs, self.part, self.metric]
        compared = [self.part, self.summary, self.lists, self.message]
        for component in chosen:
            component.input(self.compare, chosen, compared, **QUICK)
        shown = [self.user, self.lists, self.message]
        self.user.submit(self.show_user, [self.user, *runs, self.part], shown, **QUICK)
        self.summary.click(self._clicked, [*runs, self.part], shown, **QUICK)
        self.outputs = [*runs, *compared]

    def open(self, first: str | None, second: str | None, part: str | None, metric: str) -> Any:
        """Return what shows the page: the runs there are, and the two that were chosen.

        At first, these are the last two by name of which NegGen's stands second.
        """
        runs = finished_runs(self._desk.workspace)
        names = [run.folder.name for run in runs if _may_be_compared(run)]
        if len(names) < 2:
            empty = page("two-runs.html", runs=len(names))
            return [gr.update(choices=names, value=None)] * 2 + [gr.skip(), "", "", empty]
        if first not in names or second not in names:
            by_rank = sorted(names, key=lambda name: (name.startswith("neggen"), name))
            first, second = by_rank[-2:]
        updates = [gr.update(choices=names, value=name) for name in (first, second)]
        return [*updates, *self.compare(first, second, part, metric)]

    def compare(
        self, first: str | None, second: str | None, part: str | None, metric: str
    ) -> list[Any]:
        """Return what shows the difference between two runs over all users."""
        if first is None or second is None:
            return [gr.skip(), "", "", ""]
        try:
            one, other = self._run(first), self._run(second)
            parts = measured_parts(one, other)
            part = part if part in parts else (parts[0] if parts else "test")
            difference = compare_users(one, other, part, metric)
        except NegGenError as error:
            return [gr.skip(), "", "", page("message.html", kind="failed", text=str(error))]
        html = page("difference.html", difference=difference, first=first, second=second)
        return [gr.update(choices=parts, value=part), html, "", ""]

    def show_user(
        self, user: str, first: str | None, second: str | None, part: str | None
    ) -> list[Any]:
        """Return what shows both lists of a user."""
        if first is None or second is None or part is None or not user.strip():
            return [user, "", ""]
        user = user.strip()
        try:
            runs = self._run(first), self._run(second)
            refuse_unlike(*runs)
            (one, data, pictures), (other, *_) = (_loaded(run.folder, _time(run)) for run in runs)
            lists = two_lists((one, other), data, part, user, pictures)
        except NegGenError as error:
            return [user, "", page("message.html", kind="failed", text=str(error))]
        return [user, page("lists.html", lists=lists, first=first, second=second), ""]

    def _clicked(
        self, first: str | None, second: str | None, part: str | None, event: gr.EventData
    ) -> list[Any]:
        return self.show_user(str(event._data.get("open", "")), first, second, part)

    def _run(self, name: str) -> Run:
        """Return a finished run by its name, which comes from a browser."""
        for run in finished_runs(self._desk.workspace):
            if run.folder.name == name:
                return run
        raise NegGenError(f"There is no finished run '{name}' any more; choose another.")


def _time(run: Run) -> int:
    return run.manifest_path.stat().st_mtime_ns


@lru_cache(maxsize=4)
def _loaded(folder: Path, written: int) -> tuple[Recommender, Dataset, Thumbnails]:
    run = Run(folder)
    data = run.load_data()
    return run.load_model(), data, Thumbnails(data, missing_ok=True)


def _may_be_compared(run: Run) -> bool:
    try:
        return run.holds_out
    except NegGenError:
        return True  # what is wrong with it is said when it is chosen

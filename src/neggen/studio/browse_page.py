"""The page where items are looked for."""

from __future__ import annotations

from typing import Any

import gradio as gr

from neggen.studio.cards import SIDES, record_view
from neggen.studio.choosing import (
    ANY,
    NEGATIVE_CHOICES,
    SIDE_CHOICES,
    STATUS_CHOICES,
    WHY_CHOICES,
    choose,
    reasons,
)
from neggen.studio.desk import Desk
from neggen.studio.entries import Entry
from neggen.studio.pages import QUICK, page
from neggen.studio.pictures import SMALL

ON_A_PAGE = 10
OPEN_JS = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('[data-open]');
  if (button) trigger('click', {open: button.dataset.open});
});
"""
"""Tells which button inside of an HTML component was pressed."""


class BrowsePage:
    """The components of the page.

    Attributes:
        list: the entries; its ``click`` event says in ``open`` which one is to be reviewed.
        keys: the entries on the page, in order.
        inputs: what decides the page.
        outputs: the components that show it.
    """

    def __init__(self, desk: Desk) -> None:
        """Lay the page out within the Blocks that are open."""
        self._desk = desk
        with gr.Row(elem_classes="bar"):
            search = gr.Textbox(
                label="Search", placeholder="words in the id, the text or the negative",
                elem_id="search", scale=3,
            )  # fmt: skip
            side = _choice("Side", SIDE_CHOICES)
            negative = _choice("Negative", NEGATIVE_CHOICES)
            why = _choice("Verdict", (*WHY_CHOICES, *reasons(desk.entries)))
            status = _choice("Status", STATUS_CHOICES)
        with gr.Row(elem_classes="bar"):
            self.count = gr.HTML(elem_id="found")
            previous = gr.Button("← Previous", size="sm", min_width=110, elem_id="page-previous")
            following = gr.Button("Next →", size="sm", min_width=110, elem_id="page-next")
        self.list = gr.HTML(elem_id="browse", js_on_load=OPEN_JS)
        self.number = gr.State(0)
        self.keys: gr.State = gr.State([])
        choices = [side, negative, why, status]
        filters = [search, *choices]
        self.inputs = [self.number, *filters]
        self.outputs = [self.list, self.count, self.keys, self.number]
        for changed in (search.submit, *(choice.input for choice in choices)):
            changed(lambda *chosen: self.show(0, *chosen), filters, self.outputs, **QUICK)
        for button, by in ((previous, -1), (following, 1)):
            button.click(
                lambda number, *chosen, by=by: self.show(number + by, *chosen),
                self.inputs, self.outputs, **QUICK,
            )  # fmt: skip

    def show(
        self, number: int, search: str, side: str, negative: str, why: str, status: str
    ) -> list[Any]:
        """Return what shows a page of the entries that fit; pages are counted from 0."""
        entries = self._desk.entries
        found = choose(entries, search=search, side=side, negative=negative, why=why, status=status)
        number = min(max(number, 0), max(0, (len(found) - 1) // ON_A_PAGE))
        keys = found[number * ON_A_PAGE : (number + 1) * ON_A_PAGE]
        html = page(
            "browse.html",
            rows=[self._row(entry) for key in keys if (entry := entries.find(key))],
            total=entries.table.height,
        )
        count = page(
            "found.html",
            total=len(found),
            first=number * ON_A_PAGE + 1,
            last=number * ON_A_PAGE + len(keys),
        )
        return [html, count, keys, number]

    def _row(self, entry: Entry) -> dict[str, Any]:
        record = entry.state.record
        return {
            "entry": entry,
            "title": self._desk.data.item_title(entry.item),
            "side": SIDES[entry.key[1]],
            "picture": self._desk.thumbnails.get(entry.item, SMALL),
            "view": None if record is None else record_view(record, None),
        }


def _choice(label: str, choices: tuple[str, ...]) -> gr.Dropdown:
    return gr.Dropdown(
        list(choices), value=ANY, label=label, min_width=130, elem_id=f"by-{label.lower()}"
    )

"""The page of the audit trail: who decided what, and when."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr

from neggen.generation.journal.reviews import Key, State
from neggen.studio.browse_page import OPEN_JS
from neggen.studio.cards import SIDES, RecordView, record_view
from neggen.studio.desk import Desk
from neggen.studio.pages import page

SHOWN = 200
"""Decisions on the page, the newest."""


class TrailPage:
    """The components of the page.

    Attributes:
        list: the decisions; its ``click`` event says in ``open`` the number of one.
    """

    def __init__(self, desk: Desk) -> None:
        """Lay the page out within the Blocks that are open."""
        self._desk = desk
        self.list = gr.HTML(elem_id="trail", js_on_load=OPEN_JS)

    def show(self) -> str:
        """Return what shows the newest decisions."""
        reviews = self._desk.entries.reviews
        rows = [
            {
                "review": review,
                "side": SIDES[review.key[1]],
                "before": _view(review.before),
                "after": _view(review.after),
            }
            for review in reversed(reviews[-SHOWN:])
        ]
        return page("trail.html", rows=rows, more=len(reviews) > SHOWN)

    def key(self, event: Mapping[str, Any]) -> Key | None:
        """Return which entry the decision that was clicked on is about."""
        number = str(event.get("open", ""))
        reviews = self._desk.entries.reviews
        return next((review.key for review in reviews if str(review.number) == number), None)


def _view(state: State) -> RecordView | None:
    return None if state.record is None else record_view(state.record, None)

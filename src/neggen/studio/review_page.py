"""The page where one negative after another is looked at and decided about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from neggen.errors import NegGenError
from neggen.generation.journal.reviews import Key
from neggen.studio.cards import SIDES, record_view
from neggen.studio.choosing import ANY, SIDE_CHOICES, STATUS_CHOICES, TO_REVIEW, queue
from neggen.studio.desk import Desk, marked_text
from neggen.studio.entries import Seen
from neggen.studio.pages import QUICK, page
from neggen.studio.pictures import LARGE

Place = tuple[Key, Seen] | None
"""What a browser shows: which entry, and what there was of it."""
Shown = list[Any]
"""New values of :attr:`ReviewPage.outputs`."""

WENT = {
    "approve": "Approved.",
    "reject": "Rejected: the item goes without this negative.",
    "edit": "Saved.",
    "regenerate": "Written anew; look at it.",
    "undo": "Taken back.",
}
HINT = (
    "Square brackets mark the key attributes. Keys: A approve, R reject, E edit, Ctrl+Enter save, "
    "G regenerate, U undo, J next, K previous."
)


class ReviewPage:
    """The components of the page, and what happens when they are used.

    Attributes:
        outputs: the components that change when another entry is shown.
    """

    def __init__(self, desk: Desk, reviewer: gr.Textbox) -> None:
        """Lay the page out within the Blocks that are open.

        Args:
            desk: what is reviewed.
            reviewer: holds the name of who reviews.
        """
        self._desk = desk
        with gr.Row(elem_classes="bar"):
            self.status = gr.Dropdown(
                list(STATUS_CHOICES), value=TO_REVIEW, label="Show", elem_id="status", min_width=140
            )
            self.side = gr.Dropdown(
                list(SIDE_CHOICES), value=ANY, label="Side", elem_id="side", min_width=120
            )
            self.place = gr.HTML(elem_id="place")
            previous = gr.Button("← Previous", elem_id="previous", size="sm", min_width=110)
            following = gr.Button("Next →", elem_id="next", size="sm", min_width=110)
        with gr.Row(equal_height=False):
            with gr.Column(scale=6):
                self.card = gr.HTML(elem_id="card")
            with gr.Column(scale=5, min_width=400):
                self.message = gr.HTML(elem_id="message")
                with gr.Row():
                    approve = gr.Button("Approve", variant="primary", elem_id="approve")
                    reject = gr.Button("Reject", variant="stop", elem_id="reject")
                self.marked = gr.Textbox(
                    label="What it is", lines=5, max_lines=10, elem_id="marked"
                )
                self.replacements = gr.Textbox(
                    label="What it is not: one replacement a line, in the order of the brackets",
                    lines=4, max_lines=12, elem_id="replacements",
                )  # fmt: skip
                with gr.Row():
                    save = gr.Button("Save edit", elem_id="save")
                    again = gr.Button("Regenerate", elem_id="regenerate")
                    undo = gr.Button("Undo", elem_id="undo")
                gr.HTML(page("message.html", kind="hint", text=HINT))
        self.seen = gr.State(None)
        self.outputs = [
            self.card, self.marked, self.replacements, self.place, self.message, self.seen,
        ]  # fmt: skip
        filters = [self.status, self.side]
        at = [self.seen, *filters]
        for filtered in filters:
            filtered.input(self.first, filters, self.outputs, **QUICK)
        previous.click(lambda *now: self._step(-1, *now), at, self.outputs, **QUICK)
        following.click(lambda *now: self._step(1, *now), at, self.outputs, **QUICK)
        who = [reviewer, *at]
        texts = [self.marked, self.replacements]
        approve.click(self._approve, [*who, *texts], self.outputs, **QUICK)
        reject.click(self._reject, who, self.outputs, **QUICK)
        undo.click(self._undo, who, self.outputs, **QUICK)
        save.click(self._save, [*who, *texts], self.outputs, **QUICK)
        # Only this takes long, and tells in between that it has begun, which takes the queue.
        again.click(self._regenerate, who, self.outputs, **{**QUICK, "queue": True})

    def first(self, status: str, side: str) -> Shown:
        """Show the first entry of the queue."""
        keys = queue(self._desk.entries, side=side, status=status)
        return self.show(keys[0] if keys else None, status, side)

    def show(
        self, key: Key | None, status: str, side: str, said: str = "", kind: str = "done"
    ) -> Shown:
        """Return what shows an entry, with a message if something is ``said``."""
        entries = self._desk.entries
        keys = queue(entries, side=side, status=status)
        number = keys.index(key) + 1 if key in keys else "–"
        place = page("place.html", number=number, total=len(keys), measured=entries.measured)
        message = page("message.html", kind=kind, text=said) if said else ""
        entry = entries.find(key) if key is not None else None
        if entry is None:
            card = page(
                "nothing.html",
                generated=bool(entries.table["negative"].any()) or bool(entries.reviews),
                decided=len({review.key for review in entries.reviews}),
                open=len(queue(entries)),
            )
            return [card, "", "", place, message, None]
        record = entry.state.record
        card = page(
            "card.html",
            entry=entry,
            title=self._desk.data.item_title(entry.item),
            text=self._desk.data.item_text(entry.item),
            side=SIDES[entry.key[1]],
            picture_uri=self._desk.thumbnails.get(entry.item, LARGE),
            view=None if record is None else record_view(record, None),
            measured=entries.measured,
        )
        marked = "" if record is None else marked_text(record)
        replacements = "" if record is None else "\n".join(record["replacements"])
        return [card, marked, replacements, place, message, (entry.key, entry.seen)]

    def _step(self, by: int, seen: Place, status: str, side: str) -> Shown:
        keys = queue(self._desk.entries, side=side, status=status)
        if seen is None or seen[0] not in keys:
            return self.first(status, side)
        return self.show(keys[(keys.index(seen[0]) + by) % len(keys)], status, side)

    def _approve(
        self, reviewer: str, seen: Place, status: str, side: str, marked: str, replacements: str
    ) -> Shown:
        def change(key: Key, saw: Seen) -> None:
            entry = self._desk.entries.find(key)
            record = None if entry is None or entry.seen != saw else entry.state.record
            if record is not None and (marked.strip(), _lines(replacements)) != (
                marked_text(record),
                tuple(record["replacements"]),
            ):
                raise NegGenError(
                    "You have changed the text: save it first (Ctrl+Enter), which is as good as "
                    "approving it."
                )
            self._desk.approve(key, saw, reviewer)

        return self._try(change, "approve", seen, status, side, onward=True)

    def _reject(self, reviewer: str, seen: Place, status: str, side: str) -> Shown:
        def change(key: Key, saw: Seen) -> None:
            self._desk.reject(key, saw, reviewer)

        return self._try(change, "reject", seen, status, side, onward=True)

    def _undo(self, reviewer: str, seen: Place, status: str, side: str) -> Shown:
        def change(key: Key, saw: Seen) -> None:
            self._desk.undo(key, saw, reviewer)

        return self._try(change, "undo", seen, status, side)

    def _save(
        self, reviewer: str, seen: Place, status: str, side: str, marked: str, replacements: str
    ) -> Shown:
        def change(key: Key, saw: Seen) -> None:
            self._desk.edit(key, saw, reviewer, marked, _lines(replacements))

        return self._try(change, "edit", seen, status, side)

    def _regenerate(self, reviewer: str, seen: Place, status: str, side: str) -> Iterator[Shown]:
        waiting = page("message.html", kind="busy", text="Asking for another answer …")
        yield [gr.skip()] * 4 + [waiting, gr.skip()]

        def change(key: Key, saw: Seen) -> None:
            self._desk.regenerate(key, saw, reviewer)

        yield self._try(change, "regenerate", seen, status, side)

    def _try(
        self,
        change: Callable[[Key, Seen], None],
        action: str,
        seen: Place,
        status: str,
        side: str,
        *,
        onward: bool = False,
    ) -> Shown:
        """Change the entry that is shown; then show it, or the one after it in the queue.

        What was typed stays if it could not be done, unless another record is shown then, which it
        would overwrite: only whoever wanted to save it keeps it.
        """
        if seen is None:
            return self.first(status, side)
        key, saw = seen
        before = queue(self._desk.entries, side=side, status=status)
        try:
            change(key, saw)
        except NegGenError as error:
            shown = self.show(key, status, side, str(error), "failed")
            if action == "edit" or shown[self.outputs.index(self.seen)] == seen:
                for typed in (self.marked, self.replacements):
                    shown[self.outputs.index(typed)] = gr.skip()
            return shown
        if onward and key in before:
            left = set(queue(self._desk.entries, side=side, status=status)) - {key}
            place = before.index(key)
            ahead = [other for other in before[place + 1 :] + before[:place] if other in left]
            return self.show(ahead[0] if ahead else None, status, side, WENT[action])
        return self.show(key, status, side, WENT[action])


def _lines(replacements: str) -> tuple[str, ...]:
    return tuple(line.strip() for line in replacements.splitlines() if line.strip())

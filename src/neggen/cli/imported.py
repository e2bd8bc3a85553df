"""What an import tells: how much it took, or in a dry run, what it would take."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neggen.cli.output import print_json, print_table, say

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset


def show_dry_run(reader: str, data: Dataset, as_json: bool) -> None:
    """Print what an import would take; what it would not take is in the notes."""
    from neggen.data.attributes import OWN_COLUMNS

    times = [] if data.time is None else ["time"]
    parts = [] if data.given_parts is None else ["part"]
    texts = list(data.text_columns)
    others = [name for name in data.item_table.columns if name not in (*texts, *OWN_COLUMNS)]
    taken = {
        "interaction columns": ["user", "item", *times, *parts],
        "item text": texts,
        "other item columns": others,
    }
    figures = counts(data)
    if as_json:
        print_json({"format": reader, **figures, **taken, "notes": list(data.notes)})
        return
    for note in data.notes:
        say(note)
    rows = [["format", reader], *([name, f"{count:,}"] for name, count in figures.items())]
    rows += [[name, ", ".join(columns) or "none"] for name, columns in taken.items()]
    print_table(["dry run, nothing written", ""], rows)


def counts(data: Dataset) -> dict[str, int]:
    """Return the figures that describe a catalogue."""
    users, items = data.shape
    pictures = len(data.item_table) - data.item_table["image"].null_count()
    return {
        "users": users,
        "items": items,
        "interactions": len(data.users),
        "pictures": pictures,
        **{f"{name} features": int(given.mask.sum()) for name, given in data.features.items()},
        **{f"{name} graph": int(given.mask.sum()) for name, given in data.graphs.items()},
    }

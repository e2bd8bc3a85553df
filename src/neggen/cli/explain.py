"""The command that says why: which key attributes carried a recommendation."""

from __future__ import annotations

from typing import Annotated

import typer

from neggen.cli.catalogue import DeviceOption, JsonOption
from neggen.cli.learning import RunArgument
from neggen.cli.output import console, print_json, print_table, say

BAR = 10
"""Characters of a bar that stands for all of an item's contributions."""


def explain(
    run: RunArgument,
    user: Annotated[str, typer.Option("--user", "-u", help="A user id.")],
    item: Annotated[
        list[str] | None,
        typer.Option("--item", "-i", help="An item id, instead of the best items. Repeatable."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many of the best items.")] = 3,
    device: DeviceOption = "cpu",
    as_json: JsonOption = False,
) -> None:
    """Say which key attributes of items carry their scores for a user.

    Every key attribute of a description is exchanged for its replacement, the others staying as
    they are; what the score by descriptions then loses is the contribution of this attribute.
    """
    from neggen.models.explain import require_described
    from neggen.runs import Run, with_vectors
    from neggen.studio.reasons import explain_run

    opened = Run.open(run)
    model = opened.load_model(device)
    require_described(model)
    items = list(dict.fromkeys(item or [])) or model.recommend([user], k)["item_id"].to_list()
    with console.status("Explaining"):
        data = with_vectors(opened.workspace, opened.load_data())
        found = explain_run(opened, model, data, [user] * len(items), items)
    if as_json:
        print_json(found.to_dicts())
        return
    title = {item_id: data.item_title(place) for place, item_id in enumerate(data.item_ids)}
    for item_id in items:
        rows = found.rows_by_key("item_id", named=True).get(item_id)
        if rows is None:
            say(f"{title[item_id]} ({item_id}) has no descriptions, so nothing is known of why.")
            continue
        print_table(
            ["key attribute", "in its", "rather than", "contribution", "share", ""],
            [
                [
                    row["value"],
                    row["modality"],
                    row["replacement"],
                    _signed(row["contribution"], ".4f"),
                    _signed(row["share"], ".0%"),
                    ("█" if row["share"] > 0 else "░") * round(BAR * abs(row["share"])),
                ]
                for row in rows
            ],
            title=f"{title[item_id]} ({item_id}): score {rows[0]['score']:.4f}, by its "
            f"descriptions alone {rows[0]['causal']:.4f}",
        )


def _signed(value: float, form: str) -> str:
    """Write a figure with its sign, if it is anything but zero as written."""
    text = f"{value:+{form}}"
    return text if any(digit in text for digit in "123456789") else text[1:]

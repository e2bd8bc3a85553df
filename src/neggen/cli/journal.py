"""The command that shows what the journal of answers holds, and saves it as plain text."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neggen.cli.catalogue import JsonOption, WorkspaceArgument
from neggen.cli.output import counted, print_json, print_table, say, visible
from neggen.errors import NegGenError, quoted

if TYPE_CHECKING:
    from neggen.generation.journal.listing import JournalListing
    from neggen.generation.journal.reading import Row
    from neggen.workspace import Workspace

LINES = {"answers": "answer", "failures": "failure", "reviews": "decision"}
"""The sorts of lines in an export, and what one is called."""
LONGEST_SHOWN = 120
"""Characters of an answer or a reason in a table."""


def journal(
    workspace: WorkspaceArgument,
    failed: Annotated[
        bool, typer.Option("--failed", help="List the items that were given up, with the reason.")
    ] = False,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="List the answers that were found invalid.")
    ] = False,
    reviews: Annotated[
        bool, typer.Option("--reviews", help="List what people decided in the studio.")
    ] = False,
    item: Annotated[
        str | None, typer.Option(help="Show every answer about the item with this id.")
    ] = None,
    export: Annotated[
        Path | None,
        typer.Option(help="Save answers, failures and decisions to this JSONL file, as a backup."),
    ] = None,
    restore: Annotated[
        Path | None,
        typer.Option(help="Put what is missing back from a file that --export wrote."),
    ] = None,
    forget_batches: Annotated[
        bool,
        typer.Option(
            "--forget-batches", help="Give up a provider's batches; their items are asked anew."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show what the journal holds: answers, failures, tokens and cost.

    It only reads (but for --restore and --forget-batches), so it may be used
    while another command generates.
    """
    from neggen.generation.journal.listing import JournalListing
    from neggen.workspace import Workspace

    alone = (item is not None, export is not None, restore is not None, reviews, forget_batches)
    if sum((failed or rejected, *alone)) > 1:
        raise NegGenError(
            "Give --item, --export, --restore, --reviews, --forget-batches, or any of --failed "
            "and --rejected, not several."
        )
    place = Workspace.open(workspace)
    if restore is not None:
        _restore(place, restore, as_json)
        return
    if forget_batches:
        from neggen.generation.batches.hosted import forget_batches as forget

        given_up = forget(place)
        if as_json:
            print_json({"given_up": given_up})
            return
        bill = "; the provider may still work on them and bill them" if given_up else ""
        say(f"Gave up {counted(given_up, 'batch job')}{bill}.")
        return
    with JournalListing(place.journal_path) as listing:
        if listing.warning is not None:
            say(listing.warning)
        if export is not None:
            _export(listing, export, as_json)
        elif reviews:
            _show_reviews(listing, as_json)
        elif item is not None:
            _show_item(listing, item, as_json)
        else:
            _show(listing, failed, rejected, as_json)


def _show(listing: JournalListing, failed: bool, rejected: bool, as_json: bool) -> None:
    from neggen.generation.journal.reviews import reviews_in

    sides, failures = listing.sides(), listing.failures()
    dead = list(listing.dead()) if failed else []
    refused = list(listing.rejected()) if rejected else []
    if as_json:
        figures: dict[str, Any] = {
            "journal": str(listing.path),
            "sides": [asdict(side) for side in sides],
            "failures": failures,
            "reviews": Counter(review.action for review in reviews_in(listing)),
        }
        asked_for = {"failed": dead} if failed else {}
        print_json(figures | asked_for | ({"rejected": refused} if rejected else {}))
        return
    counts = ["valid", "dead", "unfinished", "answers", "rejected"]
    counts += ["prompt_tokens", "completion_tokens"]
    for generator in dict.fromkeys(side.generator for side in sides):
        own = [side for side in sides if side.generator == generator]
        rows = [
            [name.replace("_", " "), *(f"{getattr(side, name):,}" for side in own)]
            for name in counts
        ]
        costs = [f"${side.cost:,.4f}" if side.cost is not None else "–" for side in own]
        print_table(
            ["", *(visible(side.modality) for side in own)],
            [*rows, ["cost", *costs]],
            title=visible(generator),
        )
    if not sides:
        say(f"{listing.path} holds no answers yet.")
    if decided := len(reviews_in(listing)):
        say(f"{counted(decided, 'decision')} by people; --reviews lists them.")
    if waiting := listing.waiting_exports():
        say(f"{counted(waiting, 'question')} went into batches whose results are not here yet.")
    times = [time for side in sides for time in (side.first, side.last) if time is not None]
    if times:
        say(f"Answers from {visible(min(times))} to {visible(max(times))}.")
    if failures:
        names = ["generator", "modality", "kind", "items", "example"]
        _table(names, failures, "Why items were given up")
    if failed:
        _table(["item_id", "modality", "generator", "kind", "attempts", "reason"], dead, "Dead")
    if rejected:
        names = ["item_id", "modality", "step", "attempt", "rejected_kind", "answer"]
        _table(names, refused, "Invalid answers")


def _show_reviews(listing: JournalListing, as_json: bool) -> None:
    from neggen.generation.journal.reviews import reviews_in

    found = reviews_in(listing)
    if as_json:
        print_json({"journal": str(listing.path), "reviews": [asdict(one) for one in found]})
        return
    rows = [
        {
            "number": review.number,
            "at": review.at,
            "reviewer": review.reviewer,
            "action": review.action + (f" of {review.undoes}" if review.undoes else ""),
            "item_id": review.key[0],
            "modality": review.key[1],
            "replacements": "; ".join((review.after.used or {}).get("replacements", ["none"])),
        }
        for review in found
    ]
    if not rows:
        say(
            f"Nobody has decided anything yet; begin with: "
            f"neggen studio {quoted(listing.path.parent)}"
        )
        return
    _table(list(rows[0]), rows, "Reviews")


def _table(names: list[str], rows: list[Row], title: str) -> None:
    cells = [[visible(_shortened(row[name])) for name in names] for row in rows]
    print_table([name.replace("_", " ") for name in names], cells, title=title)


def _show_item(listing: JournalListing, item_id: str, as_json: bool) -> None:
    units = listing.dialogues(item_id)
    if as_json:
        print_json({"item_id": item_id, "units": units})
        return
    for unit in units:
        typer.echo(visible(f"{item_id}, {unit['modality']}, {unit['generator']}: {unit['state']}"))
        if unit.get("kind") is not None:
            typer.echo(visible(f"  given up: {unit['kind']}: {unit['reason']}"))
        for answer in unit["answers"]:
            what = f"{answer['step']}, completion {answer['completion']}"
            tokens = f"{answer['prompt_tokens']} + {answer['completion_tokens']} tokens"
            typer.echo(visible(f"  {what}, attempt {answer['attempt']}, {tokens}, {answer['at']}"))
            for line in answer["answer"].split("\n"):
                typer.echo(f"    {visible(line)}")
            if answer["rejected_kind"] is not None:
                verdict = f"rejected: {answer['rejected_kind']}: {answer['rejected_reason']}"
                typer.echo(visible(f"  {verdict}"))
            else:
                typer.echo("  not rejected")


def _export(listing: JournalListing, path: Path, as_json: bool) -> None:
    from neggen.generation.journal.backup import is_saved, saved
    from neggen.workspace import atomic_path

    if path.exists() and not is_saved(path):
        raise NegGenError(
            f"{path} exists and is no earlier export; give --export the name of a new file."
        )
    counts: dict[str, int] = dict.fromkeys(LINES, 0)
    with atomic_path(path) as temporary:
        with temporary.open("w", encoding="utf-8") as file:
            for sort, line in saved(listing):
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
                counts[sort] += 1
        if listing.damage is not None and path.exists():
            raise NegGenError(
                f"Not all of {listing.path} can be read ({listing.damage}), so {path} is "
                "kept as it is: it may hold more; give --export the name of a new file."
            )
    if as_json:
        print_json({"file": str(path), **counts, "damage": listing.damage})
        return
    say(f"{_lines(counts)} saved to {path}.")
    if listing.damage is None and (waiting := listing.waiting_exports()):
        say(
            f"{counted(waiting, 'question')} out in batches are not in it: bring their results in, "
            f"then save again."
        )
    if listing.damage is not None:
        place = quoted(listing.path.parent)
        say(
            f"The journal {listing.path} is damaged ({listing.damage}): this is all that could be "
            "read. Move the journal away, then put this into a new one with: "
            f"neggen journal {place} --restore {quoted(path)}"
        )


def _restore(place: Workspace, path: Path, as_json: bool) -> None:
    from neggen.generation.journal.backup import restore
    from neggen.generation.reviews import known_reviews

    known = known_reviews(place.records_path) if place.records_path.is_file() else 0
    counts = restore(place.journal_path, path, known)
    if as_json:
        print_json({"file": str(path), **counts})
        return
    say(f"{_lines(counts)} of {path} were missing and are in the journal now.")
    say("The command that wrote the records makes them again without asking for these answers.")


def _lines(counts: Mapping[str, int]) -> str:
    answers, failures, reviews = (counted(counts[sort], name) for sort, name in LINES.items())
    return f"{answers}, {failures} and {reviews}"


def _shortened(value: object) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[: LONGEST_SHOWN - 1]}…"

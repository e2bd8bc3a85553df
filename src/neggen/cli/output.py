"""What commands print: progress and remarks to standard error, results to standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from neggen.generation.prepared import GenerationSummary
    from neggen.models.base import OnPhaseEpoch
    from neggen.training.loop import EpochLog

console = Console(stderr=True, highlight=False, emoji=False)
SHOWN = "\u00a0\u2009\u202f\u3000\u200c\u200d"
"""Blanks and joiners that people write with."""
SHOWN_METRICS = (
    "recall@20",
    "ndcg@20",
    "precision@20",
    "map@20",
    "mrr@20",
    "hit@20",
    "coverage@20",
)
NARROW_METRICS = ("recall@20", "ndcg@20", "hit@20", "coverage@20")
WIDE = 100
"""Columns of the terminal from which on all metrics are shown."""


def say(text: str) -> None:
    """Print a remark, in which square brackets are just brackets."""
    console.print(escape(_lines(text)), soft_wrap=True)


def suggest(command: str, following: str) -> None:
    """Say what comes next, unless ``command`` runs as a part of another one."""
    context = click.get_current_context(silent=True)
    if context is not None and context.info_name == command:
        say(f"Next: neggen {following}")


def fail(text: str) -> None:
    """Print an error."""
    console.print(f"[bold red]Error:[/] {escape(_lines(text))}", soft_wrap=True)


def print_json(value: Any) -> None:
    """Print ``value`` as JSON, and nothing else, to standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False) + "\n")


def print_table(
    columns: Sequence[str], rows: Iterable[Sequence[str]], *, title: str | None = None
) -> None:
    """Print a table to standard output; columns of figures are right-aligned."""
    cells = [list(row) for row in rows]
    table = Table(title=title and escape(visible(title)), title_justify="left", header_style="bold")
    for position, column in enumerate(columns):
        figures = all(_is_figure(row[position]) for row in cells)
        table.add_column(escape(column), justify="right" if figures else "left")
    for row in cells:
        table.add_row(*(escape(visible(cell)) for cell in row))
    Console(highlight=False, emoji=False).print(table)


def visible(text: str) -> str:
    r"""Return ``text`` with what a terminal would not show, or obey, as escapes.

    >>> visible("red\x1b[2J")
    'red\\x1b[2J'
    """
    return "".join(
        character
        if character.isprintable() or character in SHOWN
        else character.encode("unicode_escape").decode()
        for character in text
    )


def _lines(text: str) -> str:
    return "\n".join(map(visible, text.split("\n")))


def counted(count: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "item"), counted(2000, "item")
    ('1 item', '2,000 items')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _is_figure(cell: str) -> bool:
    return cell == "" or cell[0] in "0123456789+-–$"


def print_metrics(
    results: Mapping[str, Mapping[str, float]], *, title: str, rivals: bool = False
) -> None:
    """Print figures, one row a model or part; the best of rivals in a column is marked ``*``."""
    columns = [m for m in SHOWN_METRICS if any(m in row for row in results.values())]
    if Console().width < WIDE:
        columns = [m for m in columns if m in NARROW_METRICS]
    best = {m: max(row.get(m, 0.0) for row in results.values()) for m in columns}

    def cell(row: Mapping[str, float], metric: str) -> str:
        if metric not in row:
            return "–"
        mark = "*" if row[metric] == best[metric] else " "
        return f"{row[metric]:.4f}{mark if rivals else ''}"

    rows = [[name, *(cell(row, metric) for metric in columns)] for name, row in results.items()]
    print_table(["", *columns], rows, title=title)


@contextmanager
def counting(description: str) -> Iterator[Callable[[int, int], None]]:
    """Show a progress bar; yields a function that takes (done, total)."""
    with _bar(description) as (progress, task):
        yield lambda done, total: progress.update(task, completed=done, total=total)


@contextmanager
def generating() -> Iterator[Callable[[GenerationSummary], None]]:
    """Show the progress of generation with its failures and cost; yields its callback."""
    with _bar("Generating") as (progress, task):

        def show(summary: GenerationSummary) -> None:
            if summary.interrupted:
                text = "Waiting for answers on their way; Ctrl-C again does not wait"
                progress.update(task, description=text)
                return
            failed = sum(side.failed.total() for side in summary.modalities.values())
            text = f"Generating{f' · {failed:,} failed' if failed else ''}"
            if summary.cost is not None:
                text += f" · ${summary.cost:.4f}"
            progress.update(task, completed=summary.done, total=summary.total, description=text)

        yield show


@contextmanager
def _bar(description: str) -> Iterator[tuple[Progress, TaskID]]:
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    ) as progress:
        yield progress, progress.add_task(description, total=None)


@contextmanager
def epochs() -> Iterator[OnPhaseEpoch]:
    """Show the training epochs, one line a phase; yields the callback of ``train_run``."""
    progress = Progress(
        SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), console=console
    )
    tasks: dict[str, Any] = {}
    kept: dict[str, str] = {}

    def show(phase: str, log: EpochLog) -> None:
        if phase not in tasks:
            progress.start()  # not before: without an epoch there is nothing to show
            for earlier in tasks.values():
                progress.stop_task(earlier)
            tasks[phase] = progress.add_task(phase, total=None)
        if log.best and log.valid:
            kept[phase] = f"keeps epoch {log.epoch}, valid ndcg@20 {log.valid['ndcg@20']:.4f}"
        loss = "" if log.loss is None else f" loss {log.loss:.4f}"
        text = f"{phase} epoch {log.epoch}{loss} · {kept.get(phase, '')}"
        progress.update(tasks[phase], description=text)

    try:
        yield show
    finally:
        if tasks:
            progress.stop()

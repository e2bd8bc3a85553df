"""The ways of running ``neggen generate``: now, later as a batch, elsewhere, or not at all."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neggen.cli.output import counted, counting, generating, print_json, print_table, say, suggest
from neggen.cli.writers import WAYS, Writer
from neggen.errors import NegGenError, quoted

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset
    from neggen.generation.backends.base import Backend
    from neggen.generation.backends.budget import Prices
    from neggen.generation.batches.importing import Imported
    from neggen.generation.dialogue import Screen
    from neggen.generation.prepared import GenerationSummary, Options
    from neggen.workspace import Workspace


@dataclass(frozen=True)
class Job:
    """What was typed: whose items are described by whom, and how."""

    place: Workspace
    data: Dataset
    writer: Writer
    options: Options
    as_json: bool

    def ask(self, budget: float | None) -> None:
        """Ask now."""
        backend = self.writer.made(
            self.data, budget, partial(_spent, self.place, self.writer.model)
        )
        say(f"Generator: {backend.name}")
        if self.writer.needs_split:
            self._spare_the_records_of_others(backend.name)
        self._print(self._generate(backend))

    def ask_on_ray(self, address: str, budget: float | None) -> None:
        """Ask from workers on a Ray cluster."""
        from neggen.generation.distributed import generate_on_ray

        server = self.writer.server if budget is not None else self.writer.language_model
        make = server("--ray" if budget is None else "--budget")
        cluster = None if address == "local" else address
        gpus = float(self.writer.local is not None and self.writer.device != "cpu")
        with generating() as progress:
            options: Options = {**self.options, "on_progress": progress}
            summary = generate_on_ray(
                self.place, self.data, make, cluster, gpus=gpus, budget=budget, **options
            )
        self._print(summary)

    def ask_in_batches(self) -> None:
        """Ask through a provider's Batch API and wait."""
        from neggen.generation.batches.hosted import generate_in_batches

        backend = self.writer.server("--batch")()
        with counting("Waiting for batches") as progress:
            run = generate_in_batches(
                self.place, self.data, backend, self.writer.url, prices=self.writer.prices,
                on_wait=progress, **self.options,
            )  # fmt: skip
        _say_imported(run.imported)
        self._print(run.summary)

    def take(self, files: list[Path]) -> None:
        """Take the results of batch files and make records of them."""
        from neggen.generation.batches.collecting import Deferring
        from neggen.generation.batches.importing import import_batch

        backend = self.writer.server("--import-batch")()
        with counting("Importing"):
            imported = import_batch(self.place, files, prices=self.writer.prices)
        _say_imported(imported)
        summary = self._generate(Deferring(backend))
        if imported.answers and not any(side.reused for side in summary.modalities.values()):
            say(
                "None of them answers what these options ask: give the model, plan, prompts and "
                "modalities of the export."
            )
        self._print(summary)

    def export(self, path: Path) -> None:
        """Write what is to be asked to a batch file."""
        from neggen.generation.batches.files import export_batch

        backend = self.writer.server("--export-batch")()
        with counting("Exporting"):
            export = export_batch(self.place, self.data, backend, path, **self.options)
        files = [str(file) for file in export.paths]
        if self.as_json:
            print_json({"files": files, "requests": export.requests})
            return
        if not files:
            say("Nothing is to be asked, so there is no file.")
            return
        say(f"{counted(export.requests, 'request')} in {', '.join(files)}")
        say("Give the result files to --import-batch with the same other options.")

    def estimate(self) -> None:
        """Say what would be asked, and what it would cost."""
        from neggen.generation.batches.estimate import estimate

        backend = self.writer.language_model("--dry-run")()
        found = estimate(self.place, self.data, backend, prices=self.writer.prices, **self.options)
        figures = {
            "items": found.sides,
            "calls": found.calls.total(),
            "calls_by_step": dict(found.calls),
            **asdict(found.usage),
            "cost": found.cost,
        }
        if self.as_json:
            print_json(figures)
            return
        rows = [["calls", f"{found.calls.total():,}"]]
        rows += [[f"  {step}", f"{count:,}"] for step, count in found.calls.items()]
        rows += [[name.replace("_", " "), f"{n:,}"] for name, n in asdict(found.usage).items()]
        rows.append(["cost", "–" if found.cost is None else f"${found.cost:,.2f}"])
        print_table([f"{found.sides:,} sides of items to ask about", "estimate"], rows)
        if found.cost is None:
            say("The cost needs --input-price and --output-price.")
        if not found.calls:
            return
        say(
            f"Tokens of {found.measured:,} calls are averages of earlier answers, of the rest "
            "guesses by length. Invalid answers that are asked for again come on top."
        )

    def _generate(self, backend: Backend) -> GenerationSummary:
        from neggen.generation.run import generate

        before = _written(self.place)
        with generating() as progress:
            options: Options = {**self.options, "on_progress": progress}
            summary = generate(self.place, self.data, backend, **options)
        after = _written(self.place)
        for (modality, generator), count in before.items():
            left = after.get((modality, generator), 0)
            if left < count and generator != summary.generator:
                say(
                    f"{counted(count, f'{modality} record')} by {generator} made way; their "
                    "answers are kept, and the command that wrote them brings them back."
                )
        return summary

    def _spare_the_records_of_others(self, generator: str) -> None:
        from neggen.generation.record_files import count_decided
        from neggen.generation.reviews import BY_HAND

        asked_for = self.options["modalities"]
        replaced = {
            (modality, other): count
            for (modality, other), count in _written(self.place).items()
            if other not in (generator, BY_HAND) and modality in (asked_for or (modality,))
        }
        if not replaced:
            return
        decided = count_decided(self.place.records_path, self.place.journal_path, self.data)
        for (modality, other), count in replaced.items():
            left = count - decided.get((modality, other), 0)
            if left:
                raise NegGenError(
                    f"{self.place.path} has {counted(left, f'{modality} record')} by {other}, "
                    f"which the built-in generator would replace; name who writes ({WAYS}), or "
                    f"delete {self.place.records_path} first."
                )

    def _print(self, summary: GenerationSummary) -> None:
        from neggen.encoding.store import encode_command

        sides = {name: _figures(side) for name, side in summary.modalities.items()}
        waiting = sum(side.waiting for side in summary.modalities.values())
        failed = sum((side.failed for side in summary.modalities.values()), Counter())
        if not waiting and not any(side.valid for side in summary.modalities.values()):
            why = ", ".join(f"{reason} ({count})" for reason, count in failed.most_common(3))
            raise NegGenError(
                f"{summary.generator} gave no valid record for {self.place.path} "
                f"({why or 'nothing asked'}); see why with: "
                f"neggen journal {quoted(self.place.path)} --failed, mend the cause, and ask again "
                "with --retry-failed."
            )
        if self.as_json:
            print_json(
                {
                    "generator": summary.generator,
                    "modalities": sides,
                    "cost": summary.cost,
                    "stopped": summary.stopped,
                    "seconds": round(summary.seconds, 2),
                }
            )
            return
        columns = ["items", "valid", "asked", "reused", "rejected", "waiting"]
        print_table(
            ["modality", *columns],
            [[name, *(f"{side[c]:,}" for c in columns)] for name, side in sides.items()],
            title=f"Written by {summary.generator} in {summary.seconds:.1f} s",
        )
        if summary.cost is not None:
            say(f"Cost of this run: ${summary.cost:,.4f}")
        for name, counts in summary.modalities.items():
            for reason, count in counts.failed.most_common():
                say(f"{name}: {counted(count, 'item')} failed: {reason}")
        if failed:
            say(
                f"Why: neggen journal {quoted(self.place.path)} --failed. "
                "They are asked for again only with --retry-failed."
            )
        if summary.stopped is not None:
            say(f"Stopped: {summary.stopped}. The same command goes on.")
        elif waiting:
            say(f"{counted(waiting, 'item')} left for further answers: export again, or --batch.")
        else:
            suggest("generate", encode_command(self.place))


def synonym_screen() -> Screen:
    """Return the screen that compares values and replacements with the built-in encoder."""
    from neggen.encoding.synonyms import SynonymScreen
    from neggen.encoding.text import TextEncoder

    return SynonymScreen(TextEncoder())


def _figures(side: Any) -> dict[str, Any]:
    figures = {
        name: getattr(side, name)
        for name in ("items", "valid", "records", "asked", "reused", "rejected", "waiting")
    }
    return {**figures, "failed": dict(side.failed), **asdict(side.usage), "cost": side.cost}


def _say_imported(imported: Imported) -> None:
    new = counted(imported.answers, "new answer")
    say(f"{counted(imported.lines, 'result')}: {new}, {imported.known:,} known")
    for what, reasons in (("failed", imported.failed), ("to be asked again", imported.again)):
        for reason, count in reasons.most_common():
            say(f"{counted(count, 'request')} {what}: {reason}")
    if imported.unknown:
        unknown = counted(imported.unknown, "result")
        say(f"{unknown} to requests that this workspace never exported.")


def _written(place: Workspace) -> dict[tuple[str, str], int]:
    """Count the records that there are by modality and generator."""
    from neggen.generation.record_files import count_records

    return count_records(place.records_path) if place.records_path.is_file() else {}


def _spent(place: Workspace, model: str | None, prices: Prices) -> float:
    from neggen.event_loop import run_to_end
    from neggen.generation.backends.base import generator_name
    from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
    from neggen.generation.journal import Journal

    async def look() -> float:
        async with Journal(place.journal_path) as journal:
            generator = generator_name(OpenAICompatibleBackend.name, model)
            return journal.spent(generator, prices.input, prices.output)

    return run_to_end(look())

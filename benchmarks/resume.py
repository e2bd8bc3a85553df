"""Training killed again and again: does it end with the weights of an undisturbed one?

    python benchmarks/resume.py
    python benchmarks/resume.py --kills 100 --keep 3

``neggen train`` runs as a process of its own on the built-in shop and is killed (SIGKILL) at random
moments, while it starts, trains, validates or writes; then the same command is given again. When a
run is finished in spite of that, it is compared with an undisturbed one and begun anew, until there
were enough kills. ``equal`` is whether every model ended with the same file, byte by byte, and the
same loss and validation in every epoch.
"""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer

from common import NoDataOption, described_shop, print_last_line, run_benchmark
from neggen import NegGenError, Workspace
from neggen.cli.output import console, counting, print_table
from neggen.runs import Run, finished_runs

SHORT = {"epochs": 120, "patience": 120, "checkpoint_seconds": 0}
"""Long enough to be killed in, with a checkpoint after every epoch."""
MODELS: dict[str, dict[str, Any]] = {
    "mf": SHORT,
    "lightgcn": {**SHORT, "seed": 1},  # another than the base of neggen
    "neggen": {**SHORT, "epochs": 30, **{f"base.{name}": value for name, value in SHORT.items()}},
}
AT_ONCE = 10
"""One kill in so many comes while the process starts, the others after its first checkpoint."""


@dataclass
class Trial:
    """What became of one model.

    Attributes:
        kills: how often it was killed, by the phase whose checkpoint was the newest.
        finished: how many of its runs ended and were compared.
        equal: whether all of these were as the undisturbed one.
    """

    kills: Counter[str] = field(default_factory=Counter)
    finished: int = 0
    equal: bool = True


def main(
    data: NoDataOption = None,
    kills: Annotated[int, typer.Option(min=1, help="How often, over all models.")] = 20,
    keep: Annotated[int, typer.Option(min=1, help="How many checkpoints are kept.")] = 1,
    items: Annotated[int, typer.Option(min=56, help="In the shop.")] = 100,
    users: Annotated[int, typer.Option(min=20, help="Of the shop.")] = 300,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
) -> None:
    """Kill training at random moments and see that it ends as if nothing had happened."""
    draw, trials = random.Random(seed), {model: Trial() for model in MODELS}
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as name:
        folder = Path(name)
        with console.status("Describing a shop"):
            undisturbed, _ = described_shop(folder / "undisturbed", items, users)
        disturbed = {
            model: Workspace.open(shutil.copytree(undisturbed.path, folder / model))
            for model in MODELS
        }
        for model in MODELS:
            with console.status(f"Training {model} undisturbed"):
                finish(command(undisturbed, model, keep))
        with counting("Killing") as progress:
            done, number = 0, 0
            while done < kills:
                model = list(MODELS)[number % len(MODELS)]
                number += 1
                place, trial = disturbed[model], trials[model]
                at_once = draw.random() < 1 / AT_ONCE
                if disturb(command(place, model, keep), place, at_once, draw.uniform(0, 1.5)):
                    done += 1
                    trial.kills[newest_phase(place)] += 1
                    progress(done, kills)
                else:
                    compare(place, undisturbed, trial)
        for model, place in disturbed.items():
            with console.status(f"Training {model} to its end"):
                finish(command(place, model, keep))
            compare(place, undisturbed, trials[model])
    report(trials)


def command(place: Workspace, model: str, keep: int) -> list[str]:
    """Return what is typed to train."""
    settings = {"keep_checkpoints": keep, **MODELS[model]}
    if model == "neggen":
        settings["base.keep_checkpoints"] = keep
    typed = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    module = [sys.executable, "-m", "neggen.cli", "train", str(place.path)]
    return [*module, "--model", model, *typed, "--json"]


def disturb(command: list[str], place: Workspace, at_once: bool, delay: float) -> bool:
    """Start training and kill it; return whether it was killed before its end."""
    before = newest(place)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    while not at_once and process.poll() is None and newest(place) <= before:
        time.sleep(0.01)
    time.sleep(delay)
    process.kill()
    _, said = process.communicate()
    if process.returncode not in (0, -signal.SIGKILL):
        raise NegGenError(f"neggen train ended by itself: {said.decode()}")
    return process.returncode != 0


def checkpoints(place: Workspace) -> dict[Path, int]:
    """Return when each checkpoint of a workspace was written, in nanoseconds."""
    times = {}
    for path in place.runs_dir.glob("*/checkpoints/*.safetensors"):
        try:
            times[path] = path.stat().st_mtime_ns
        except FileNotFoundError:
            continue  # the run was finished meanwhile
    return times


def newest(place: Workspace) -> int:
    """Return when the newest checkpoint was written; 0 where there is none."""
    return max(checkpoints(place).values(), default=0)


def newest_phase(place: Workspace) -> str:
    """Return the phase of the newest checkpoint."""
    times = checkpoints(place)
    return max(times, key=times.__getitem__).name.partition(".")[0] if times else "none"


def finish(command: list[str]) -> None:
    """Let training run to its end."""
    ended = subprocess.run(command, capture_output=True, text=True)
    if ended.returncode:
        raise NegGenError(f"neggen train failed: {ended.stderr}")


def compare(place: Workspace, undisturbed: Workspace, trial: Trial) -> None:
    """Compare the runs of a workspace with the undisturbed ones, and delete them."""
    for run in finished_runs(place):
        expected = Run.open(undisturbed.runs_dir / run.folder.name)
        trial.equal &= outcome(run) == outcome(expected)
    trial.finished += 1
    shutil.rmtree(place.runs_dir)


def outcome(run: Run) -> tuple[bytes, str]:
    """Return the weights of a run, and its epochs but how long they took."""
    logs = {p: [{**log, "seconds": 0} for log in logs] for p, logs in run.history.items()}
    return (run.model_dir / "model.safetensors").read_bytes(), json.dumps(logs)


def report(trials: dict[str, Trial]) -> None:
    """Print what became of every model, and the last line."""
    rows = []
    for model, trial in trials.items():
        when = ", ".join(f"{phase}: {count}" for phase, count in sorted(trial.kills.items()))
        cells = [str(trial.kills.total()), when, str(trial.finished), str(trial.equal)]
        rows.append([model, *cells])
    print_table(["model", "kills", "newest checkpoint", "finished", "equal"], rows, title="Resumed")
    print_last_line(
        {
            "kills": sum(trial.kills.total() for trial in trials.values()),
            "equal": all(trial.equal for trial in trials.values()),
            "finished": sum(trial.finished for trial in trials.values()),
        }
    )


if __name__ == "__main__":
    run_benchmark(main)

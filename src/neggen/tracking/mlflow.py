"""MLflow: a run of the experiment ``neggen``, at ``MLFLOW_TRACKING_URI`` or in ``W/mlflow.db``.

mlflow ui --backend-store-uri sqlite:///W/mlflow.db
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from neggen.errors import NegGenError, first_line
from neggen.tracking.base import TrackedRun, Tracker, plain, scalars
from neggen.training.loop import EpochLog

EXPERIMENT = "neggen"
PARAMETERS_AT_ONCE = 100
"""More, the server refuses."""
_LOGIN = re.compile(r"(?<=://)[^/?#\s]*@")
"""Name and password in an address."""
_ADDRESS = re.compile(r"([^:/]*)://([^/?#]*)([^?#]*)")


class MLflow(Tracker):
    """Writes to an MLflow server or database."""

    name = "mlflow"
    needs = "mlflow"

    def __init__(self, run: TrackedRun) -> None:
        """Begin a run of MLflow, or continue the one that was begun for this folder.

        Raises:
            NegGenError: If the server or database refuses.
        """
        from mlflow import MlflowClient

        own = f"sqlite:///{run.workspace / 'mlflow.db'}"
        self._place = _place(run.kept.get("uri"), os.environ.get("MLFLOW_TRACKING_URI")) or own
        if self._place != own:
            run.kept["uri"] = _public(self._place)  # what lies in the workspace moves with it
        self._known: dict[str, set[int]] = {}
        with self._asking():
            self._client = MlflowClient(tracking_uri=self._place)
            if "run_id" not in run.kept:
                run.kept["run_id"] = self._begun(run)
            self._id = run.kept["run_id"]
            self._client.update_run(self._id, status="RUNNING")

    def epoch(self, phase: str, log: EpochLog) -> None:
        """Log the figures of an epoch, unless they are there."""
        if phase not in self._known:
            with self._asking():
                history = self._client.get_metric_history(self._id, f"{phase}/seconds")
            self._known[phase] = {entry.step for entry in history}
        if log.epoch not in self._known[phase]:
            self._log({f"{phase}/{name}": value for name, value in scalars(log).items()}, log.epoch)

    def figures(self, part: str, figures: Mapping[str, float]) -> None:
        """Log the figures of a part."""
        self._log(plain(part, figures), 0)

    def close(self, *, finished: bool) -> None:
        """Say that the run is finished, or was interrupted."""
        with self._asking():
            self._client.set_terminated(self._id, status="FINISHED" if finished else "KILLED")

    def _begun(self, run: TrackedRun) -> str:
        """Return the identifier of a new run with its parameters."""
        from mlflow.entities import Param

        experiment = self._client.get_experiment_by_name(EXPERIMENT)
        number = (
            self._client.create_experiment(EXPERIMENT)
            if experiment is None
            else experiment.experiment_id
        )
        tags = {"run_folder": str(run.folder.resolve())}
        made = self._client.create_run(number, run_name=run.folder.name, tags=tags)
        entries = [Param(key, str(value)) for key, value in run.parameters.items()]
        for start in range(0, len(entries), PARAMETERS_AT_ONCE):
            some = entries[start : start + PARAMETERS_AT_ONCE]
            self._client.log_batch(made.info.run_id, params=some)
        return str(made.info.run_id)

    def _log(self, figures: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [Metric(name, value, now, step) for name, value in figures.items()]
        with self._asking():
            self._client.log_batch(self._id, metrics=entries)

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Say in a sentence what MLflow refuses."""
        from mlflow.exceptions import MlflowException

        try:
            yield
        except MlflowException as error:
            raise NegGenError(
                f"MLflow at {_public(self._place)} cannot be used ({_public(first_line(error))}); "
                f"set MLFLOW_TRACKING_URI, or train without --track mlflow."
            ) from None


def _place(kept: str | None, given: str | None) -> str | None:
    """Return where a run is kept, with the login that is given for that place, if one is."""
    if kept is None or (given and _host_and_path(given) == _host_and_path(kept)):
        return given
    return kept


def _host_and_path(address: str) -> tuple[str, str]:
    """Return what tells two places apart; for an address without a host, the scheme instead."""
    found = _ADDRESS.match(_public(address))
    if found is None:
        return "", address
    scheme, host, path = found.groups()
    return host.lower() or scheme, path.rstrip("/")


def _public(text: str) -> str:
    """Return an address, or a text with addresses in it, without name and password."""
    return _LOGIN.sub("", text)

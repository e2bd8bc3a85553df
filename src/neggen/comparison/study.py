"""A study: which rows are compared, on what, and with how much tuning, as one TOML file.

::

    title = "Office, warm"
    split = "random"
    seeds = 5
    metric = "ndcg@20"
    reference = "neggen"
    budget = 20
    minutes = 30

    [data]
    source = "amazon-office"
    answers = "answers.jsonl"

    [rows.ease]
    model = "ease"
    [rows.ease.search]
    regularization = {low = 10, high = 2000, log = true}

    [rows.neggen]
    model = "neggen"
    base = "lightgcn"

    [rows."neggen, placebo"]
    model = "neggen"
    negatives = "shuffled"
    same_search_as = "neggen"

    [sweeps.contrast]
    row = "neggen"
    values = [0, 0.5, 1]
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import Field

from neggen.comparison.checking import check
from neggen.comparison.rows import Row, Sweep
from neggen.comparison.source import Source
from neggen.comparison.space import Space, build, read_space, usual_space, with_settings
from neggen.config import (
    NegGenConfig,
    SplitConfig,
    TrainConfig,
)
from neggen.errors import NegGenError
from neggen.models import MODELS, model_class
from neggen.overrides import merged
from neggen.recipe import Divided
from neggen.training.loop import VALIDATION_KS
from neggen.workspace import read_toml

METRIC = r"^(recall|ndcg|precision|map|mrr|hit)@(5|10|20|50)$"


class Study(Divided):
    """Everything that decides a comparison on a workspace."""

    title: str = "Comparison"
    """Heads the table."""
    seeds: int = Field(3, ge=1)
    """How many; seed s draws split s, where splits are drawn, and trains with seed s."""
    metric: str = Field("ndcg@20", pattern=METRIC)
    """What tuning maximizes on validation, and what is tested for significance on the test part."""
    part: str = "test"
    """The part the table is about: ``test`` or the name of a further test set."""
    reference: str | None = None
    """The row that every other is tested against unless it says else; None for the last one."""
    budget: int = Field(0, ge=0)
    """Trials of every row on the validation part of seed 0; 0 keeps the defaults."""
    minutes: float = Field(0, ge=0, allow_inf_nan=False)
    """No trial of a row begins after its trials have taken so long; 0 for no limit."""
    data: Source | None = None
    """What ``neggen run`` makes the workspace of; a comparison on a workspace needs none."""
    rows: Mapping[str, Row] = Field(min_length=1)
    """The rows of the table by name, in order."""
    sweeps: Mapping[str, Sweep] = Field(default_factory=dict)
    """The sweeps by name."""

    @classmethod
    def read(cls, path: Path, **changes: Any) -> Self:
        """Read a study file, with changes to what it says of itself, such as ``seeds=5``.

        Raises:
            NegGenError: If the file is missing, not TOML, or says something that cannot be.
        """
        try:
            return cls.parse({**read_toml(path), **changes})
        except NegGenError as error:
            raise NegGenError(f"The study {path} cannot be used: {error}") from None

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> Self:
        """Build a study from plain values, such as a TOML document.

        Raises:
            NegGenError: If it says something that cannot be.
        """
        values = dict(values)
        rows, sweeps = _table(values, "rows"), _table(values, "sweeps")
        values["rows"] = {name: _row(name, row) for name, row in rows.items()}
        values["sweeps"] = {
            name: build(f"sweeps.{name}", Sweep, sweep) for name, sweep in sweeps.items()
        }
        if "data" in values:
            values["data"] = build("data", Source, values["data"])
        study = cls.build(values)
        check(study)
        return study

    def on(self, *, labeled: bool) -> Self:
        """Return the study with its split settled, ``labeled`` saying whether the data have one."""
        return self.model_copy(update={"split": self.split or ("given" if labeled else "random")})

    @property
    def reference_row(self) -> str:
        """The name of the row that every other is compared with."""
        return self.reference or list(self.rows)[-1]

    def opponent(self, name: str) -> str | None:
        """Return the row that a row is tested against; None for the reference itself."""
        against = self.rows[name].against or self.reference_row
        return None if against == name else against

    def split_config(self, seed: int) -> SplitConfig:
        """Return the split of a seed."""
        return self.division(seed)

    def tuned_row(self, name: str) -> str:
        """Return the row whose trials decide the settings of a row: itself unless it says else."""
        return self.rows[name].same_search_as or name

    def space(self, name: str) -> Mapping[str, Space]:
        """Return where the tuning of a row looks."""
        row = self.rows[name]
        return usual_space(row.model, row.settings) if row.search is None else row.search

    def settings(
        self, name: str, chosen: Mapping[str, Mapping[str, Any]] | None = None
    ) -> dict[str, Any]:
        """Return the settings of a row; whoever chooses weights does so by the study's metric.

        Args:
            name: the row.
            chosen: what tuning chose by row that was tuned, by dotted name; None before tuning.
        """
        row, chosen = self.rows[name], chosen or {}
        found = _chosen_by(row.model, self.metric)
        if row.model == "neggen" and row.base is None:
            backbone = row.settings.get("backbone", NegGenConfig().backbone)
            found["base"] = _chosen_by(str(backbone), self.metric)
        if row.same_search_as is not None:
            found = self.settings(row.same_search_as, chosen)
        if row.base is not None:
            base = {"backbone": self.rows[row.base].model, "base": self.settings(row.base, chosen)}
            found = {**found, **base}
        return with_settings(merged(found, row.settings), chosen.get(name, {}))


def slug(title: str) -> str:
    """Return a file name for a title.

    >>> slug("Office, warm")
    'office-warm'
    """
    return re.sub(r"[^\w.]+", "-", title.lower()).strip("-.") or "study"


def _chosen_by(model: str, metric: str) -> dict[str, Any]:
    """Return the setting by which a model chooses its weights: the metric, or the same @20."""
    if not issubclass(model_class(model).config_class, TrainConfig):
        return {}
    figure, _, k = metric.partition("@")
    return {"metric": metric if int(k) in VALIDATION_KS else f"{figure}@20"}


def _row(name: str, values: Any) -> Row:
    if isinstance(values, Mapping):
        _refuse_settings(name, values)
        if isinstance(values.get("search"), Mapping):
            values = {**values, "search": read_space(f"rows.{name}.search", values["search"])}
    return build(f"rows.{name}", Row, values)


def _refuse_settings(name: str, values: Mapping[str, Any]) -> None:
    """Say where settings of the model belong that stand among the row's own keys."""
    model = str(values.get("model"))
    known = model_class(model).config_class.model_fields if model in MODELS else {}
    told = [
        f"{key} = {'…' if isinstance(value, Mapping) else json.dumps(value, default=str)}"
        for key, value in values.items()
        if key in known and key not in Row.model_fields
    ]
    if told:
        raise NegGenError(
            f"In rows.{name}: what is set of the model stands in a table of its own; write "
            f"settings = {{{', '.join(told)}}}."
        )


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    table = values.get(key, {})
    if not isinstance(table, Mapping):
        raise NegGenError(f"{key} = {table!r} is not a table.")
    return table

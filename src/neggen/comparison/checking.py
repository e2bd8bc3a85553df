"""What cannot be in a study, told before anything is trained."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

import polars as pl

from neggen.comparison.rows import Row
from neggen.comparison.space import samples, with_settings
from neggen.data.dataset import Dataset
from neggen.errors import NegGenError, nearest
from neggen.models import model_class
from neggen.models.base import Recommender

if TYPE_CHECKING:
    from neggen.comparison.study import Study

SIGHT = ("negatives", "modality")
"""What a row says of the descriptions that it learns from."""


def check(study: Study) -> None:
    """See that the rows and sweeps of a study can be.

    Raises:
        NegGenError: If one of them says something that cannot be.
    """
    for name, row in study.rows.items():
        _built(f"rows.{name}", row.model, {})  # whether there is such a model
        if row.against is not None:
            _check_name(study, row.against, f"rows.{name}.against")
        _check_seed(f"rows.{name}", row.settings)
        _check_seed(f"rows.{name}.search", row.search or {})
        if row.same_search_as is not None and row.search is not None:
            raise NegGenError(f"rows.{name} has both search and same_search_as; give one.")
        for key in ("same_search_as", "base"):
            if (other := getattr(row, key)) is None:
                continue
            _check_name(study, other, f"rows.{name}.{key}")
            if getattr(study.rows[other], key) is not None or other == name:
                raise NegGenError(
                    f"rows.{name}.{key} = '{other}' must name a row that has no {key} itself."
                )
        if row.base is not None and (row.model != "neggen" or "base" in row.settings):
            raise NegGenError(
                f"rows.{name} has a base, which only a neggen row can have that has no "
                "settings.base beside it."
            )
        if (other := row.same_search_as) and study.rows[other].model != row.model:
            raise NegGenError(
                f"rows.{name}.same_search_as = '{other}' must name a row of the same model."
            )
    if study.reference is not None:
        _check_name(study, study.reference, "reference")
    for name, sweep in study.sweeps.items():
        _check_name(study, sweep.row, f"sweeps.{name}.row")
        _check_seed(f"sweeps.{name}", [sweep.setting or name])
    for name in study.rows:
        _check_base(study, name)
    for where, model, settings in _all_settings(study):
        _built(where, model, settings)
    check_sight(study, study.rows)


def check_sight(study: Study, rows: Iterable[str], data: Dataset | None = None) -> None:
    """Refuse rows that say which descriptions they learn from, of a model that learns from none.

    Args:
        study: has the rows.
        rows: their names.
        data: what is learned from; None for any data that came without features.

    Raises:
        NegGenError: If there is such a row.
    """
    learned_from = _plain_data() if data is None else data
    why = "" if data is None else ", since features of the items came with the data"
    for name in rows:
        row = study.rows[name]
        if not (said := says(row)):
            continue
        if not learns(study, name, learned_from):
            raise NegGenError(
                f"rows.{name} has {said}, which changes nothing: {row.model} with its settings "
                f"does not learn from descriptions{why}; leave that out."
            )


def learns(study: Study, row: str, data: Dataset) -> bool:
    """Return whether a row, with any settings it may get, learns from descriptions of data."""
    models = (_built(*each) for each in _all_settings(study, [row]))
    return any(model.wants_vectors(data) for model in models)


def says(row: Row) -> str:
    """Return what a row says of the descriptions that it learns from, such as ``modality = …``."""
    usual = Row(model=row.model)
    said = [key for key in SIGHT if getattr(row, key) != getattr(usual, key)]
    return " and ".join(f"{key} = '{getattr(row, key)}'" for key in said)


def _check_base(study: Study, name: str) -> None:
    """Refuse a base that is to learn from other descriptions than the row that starts from it."""
    row = study.rows[name]
    base = row.base or study.rows[study.tuned_row(name)].base
    if base is None:
        return
    usual = Row(model=row.model)
    for key in SIGHT:
        said, own = getattr(study.rows[base], key), getattr(row, key)
        if said not in (own, getattr(usual, key)):
            raise NegGenError(
                f"rows.{name} starts from '{base}', which has {key} = '{said}', but a base learns "
                f"from the descriptions of the row that starts from it; give rows.{name} the same "
                f"{key}, or another base."
            )


def _all_settings(
    study: Study, rows: Iterable[str] | None = None
) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield all settings that may be asked for: where they stand, of which model, and what."""
    names = list(study.rows if rows is None else rows)
    for name in names:
        model, tuned = study.rows[name].model, study.tuned_row(name)
        yield f"rows.{name}", model, study.settings(name)
        for key, values in (study.rows[tuned].search or {}).items():
            for value in samples(values):
                yield f"rows.{tuned}.search", model, study.settings(name, {tuned: {key: value}})
    for name, sweep in study.sweeps.items():
        if sweep.row in names:
            for value in sweep.values:
                changed = with_settings(study.settings(sweep.row), {sweep.setting or name: value})
                yield f"sweeps.{name}", study.rows[sweep.row].model, changed


def _built(where: str, model: str, settings: Mapping[str, Any]) -> Recommender:
    try:
        cls = model_class(model)
        return cls(cls.config_class.build(settings))
    except NegGenError as error:
        raise NegGenError(f"In {where}: {error}") from None


def _check_seed(where: str, names: Iterable[str]) -> None:
    if "seed" in names:
        raise NegGenError(f"{where} sets a seed, which the seeds of the study decide.")


def _check_name(study: Study, row: str, where: str) -> None:
    if row not in study.rows:
        hint = nearest(row, study.rows) or f" Rows: {', '.join(study.rows)}."
        raise NegGenError(f"{where} = '{row}' is no row of the study.{hint}")


@cache
def _plain_data() -> Dataset:
    """Return data that came without features."""
    return Dataset.from_frames(pl.DataFrame({"user_id": ["u"], "item_id": ["i"]}))

"""What needs the text encoder: items the model has never seen, and the reasons of a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated

import numpy as np
import polars as pl
from pydantic import StringConstraints

from neggen.data.dataset import Dataset
from neggen.encoding.store import encoder_of
from neggen.encoding.text import TextEncoder
from neggen.errors import NegGenError
from neggen.models.balance import CATALOG
from neggen.models.base import Recommender
from neggen.models.described_items import Described
from neggen.models.explain import explain
from neggen.models.new_items import own_vectors
from neggen.runs import Run, with_vectors
from neggen.workspace import read_toml

Text = Annotated[str, StringConstraints(min_length=0)]
"""Any text; unlike those of a bare str, its characters are checked: half of one is refused."""
Value = Text | int | float | bool | list[Text] | None
"""An attribute of an item."""


class Words:
    """A model that knows items by their descriptions, and the encoder of these."""

    def __init__(self, run: Run, model: Described) -> None:
        """Load the descriptions and the encoder that the model was trained with.

        Raises:
            NegGenError: If either is not at hand or has changed since.
        """
        self._model = model
        self._data: Dataset = with_vectors(run.workspace, run.load_data())
        assert self._data.vectors is not None
        manifest = read_toml(run.workspace.vectors_manifest_path)
        self._encoder = TextEncoder(manifest["encoder"], device=model.config.device)
        same_words = self._data.vectors.content_hash == run.manifest.get("vectors_hash")
        if not same_words or self._encoder.fingerprint != encoder_of(run.workspace):
            raise NegGenError(
                f"The descriptions of {run.workspace.path} or their encoder have changed since "
                f"{run.folder} was trained; train again with --overwrite."
            )
        self._encoder.encode(["The first text takes longer."])

    @property
    def ranks_new(self) -> bool:
        """Whether the model knows items by their own texts, as new ones have them."""
        return CATALOG in self._model.balance.modalities

    def explain(self, user: str, items: Sequence[str]) -> pl.DataFrame:
        """Say which key attributes carry items' scores; see :func:`neggen.models.explain.explain`.

        Raises:
            NegGenError: If a user or an item is unknown.
        """
        return explain(self._model, self._data, [user] * len(items), items, self._encoder)

    def rank_new(
        self,
        person: Sequence[str] | Mapping[str, Sequence[str]],
        items: Mapping[str, Mapping[str, Value]],
        k: int,
    ) -> tuple[pl.DataFrame | None, list[str]]:
        """Rank items that the model has never seen by their attributes.

        Args:
            person: one external id of a user, or one history of known items by any name.
            items: attributes by the ids of the items.
            k: how many, at most.

        Returns:
            The ranked items, see :meth:`Described.recommend_new_items`, and the ids of those that
            cannot be ranked because they have no text; None if that is all of them.

        Raises:
            NegGenError: If the model does not know items by their own texts, if it knows all of
                these from training, or if nothing that the person used is described.
        """
        if not self.ranks_new:
            raise NegGenError(
                f"This {self._model.name} model knows items by generated descriptions alone, which "
                f"items sent here do not have; train it with use_text=true."
            )
        rows = [
            {**{name: _text(value) for name, value in attributes.items()}, "item_id": item}
            for item, attributes in items.items()
        ]
        data = Dataset.from_frames(None, pl.DataFrame(rows, infer_schema_length=None))
        vectors = own_vectors(self._model, data, self._encoder)
        left_out = data.item_ids[np.flatnonzero(~vectors.mask.any(1))].to_list()
        if len(left_out) == len(items):
            return None, left_out
        return self._model.recommend_new_items(data.replace(vectors=vectors), person, k), left_out


def load_words(run: Run, model: Recommender, *, wanted: bool) -> Words | str:
    """Return what explains and ranks new items, or a sentence that says why it cannot be had."""
    if not isinstance(model, Described):
        return f"A {model.name} model knows nothing of descriptions; serve neggen or neggen-linear."
    if not wanted:
        return "This server was started with --no-encoder."
    try:
        return Words(run, model)
    except NegGenError as error:  # recommending works all the same
        return str(error)


def _text(value: Value) -> str | None:
    if isinstance(value, list):
        return ", ".join(value)
    return None if value is None else str(value)

"""The embedded default: answers made from the catalogue itself, without a language model."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Mapping
from typing import Any

from neggen.data.dataset import Dataset
from neggen.generation.backends.base import RequestFailed
from neggen.generation.catalogue.images import image_answers
from neggen.generation.catalogue.texts import text_answers
from neggen.generation.records import Answer, Modality
from neggen.generation.requests import Completion, Request

VERSION = 2
"""Part of every journal key; raise it when the same catalogue would be answered differently."""


class CatalogueBackend:
    """Finds what preference follows in columns, texts and pictures of the catalogue itself."""

    name = "catalogue (no language model)"
    model = None
    finished = True

    def __init__(self, data: Dataset, *, seed: int = 0) -> None:
        """Prepare; a modality is analyzed when it is first asked about.

        Args:
            data: the catalogue, split, so that only training interactions are looked at.
            seed: seeds every draw; the same data and seed give the same answers.

        Raises:
            NegGenError: If the data set is not split yet.
        """
        self._data = data
        self._train = data.train
        self._seed = seed
        self._item = {item_id: index for index, item_id in enumerate(data.item_ids)}
        self._answers: dict[Modality, dict[int, Answer]] = {}
        self._at_work: dict[Modality, asyncio.Task[None]] = {}
        seen = hashlib.sha256(data.content_hash.encode())
        seen.update(self._train.indptr.tobytes() + self._train.indices.tobytes())
        self.parameters: Mapping[str, Any] = {
            "version": VERSION,
            "seed": seed,
            "data": seen.hexdigest(),
        }

    async def complete(self, request: Request) -> Completion:
        """Answer one request; see ``Backend``."""
        if request.modality not in self._answers:
            await self._analyzed(request.modality)
        answer = self._answers[request.modality].get(self._item[request.item_id])
        if answer is None:
            raise RequestFailed(
                "nothing to exchange",
                f"The {request.modality} holds no value that other items share and that another "
                "could replace.",
            )
        return Completion(answer.model_dump_json())

    def _analyzed(self, modality: Modality) -> asyncio.Task[None]:
        """Return the task that fills the answers, one for all who wait for them."""
        task = self._at_work.get(modality)
        if task is None or task.done():
            task = self._at_work[modality] = asyncio.create_task(self._analyze(modality))
        return task

    async def _analyze(self, modality: Modality) -> None:
        make = image_answers if modality == "image" else text_answers
        stop = threading.Event()
        try:
            made = await asyncio.to_thread(make, self._data, self._train, self._seed, stop)
        finally:
            stop.set()  # a thread that nobody waits for would hold up the end of the program
        self._answers[modality] = made

    async def close(self) -> None:
        """Nothing is open."""

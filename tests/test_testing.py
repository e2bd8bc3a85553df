"""The contract tests catch models, samplers, readers and backends that break the contract."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping
from pathlib import Path

import polars as pl
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.data.dataset import Dataset
from neggen.data.readers import ReadOptions
from neggen.generation.requests import Completion, Request
from neggen.models.base import FitContext, Recommender
from neggen.models.ease import EASE
from neggen.models.popularity import Popularity
from neggen.negatives.base import Batch, Draw, Sampler, SamplerConfig
from neggen.negatives.view import View
from neggen.testing import (
    BackendContract,
    ReaderContract,
    RecommenderContract,
    SamplerContract,
    checkerboard,
    refuses,
)


class Leaking(EASE):
    def _fit(self, data: Dataset, context: FitContext) -> None:
        super()._fit(data.replace(parts=data.parts * 0), context)


class Unseeded(EASE):
    def _fit(self, data: Dataset, context: FitContext) -> None:
        super()._fit(data, context)
        self.weights = self.weights + 1e-3 * torch.rand_like(self.weights)


class Forgetful(EASE):
    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        super()._restore(tensors)
        self.weights = self.weights.half().float()


class Impersonal(Popularity):
    pass


class Upside(EASE):
    def _score(self, users: Tensor) -> Tensor:
        return -super()._score(users)


class Drifting(EASE):
    def _score(self, users: Tensor) -> Tensor:
        self.weights = self.weights + 1
        return super()._score(users)


class Amnesic(EASE):
    def _score_histories(self, histories: csr_matrix) -> Tensor:
        return super()._score_histories(histories[::-1])


class Alike(EASE):
    def item_vectors(self, items: Tensor) -> Tensor:
        return torch.ones(len(items), 1)


@pytest.mark.parametrize(
    ("broken", "test"),
    [
        (Leaking, "test_never_looks_at_the_test_part"),
        (Unseeded, "test_a_second_fit_equals_the_first"),
        (Forgetful, "test_a_saved_model_is_the_same_model"),
        (Impersonal, "test_finds_the_planted_groups"),
        (Upside, "test_finds_the_planted_groups"),
        (Drifting, "test_recommendations_carry_the_scores"),
        (Amnesic, "test_recommends_by_a_history"),
        (Alike, "test_lists_can_be_spread"),
        (Alike, "test_finds_like_items"),
    ],
)
def test_a_broken_model_fails(broken: type[Recommender], test: str, tmp_path: Path) -> None:
    class Contract(RecommenderContract):
        def model(self) -> Recommender:
            return broken()

    arguments = [tmp_path] if "saved" in test else []
    with pytest.raises(AssertionError):
        getattr(Contract(), test)(*arguments)


class Careless(Sampler):
    """Draws from all items with the global generator, makes up what nothing can learn from."""

    name = "careless"
    made = 0

    def __init__(self, config: SamplerConfig, data: Dataset) -> None:
        torch.nn.Module.__init__(self)
        self.items = data.shape[1]
        Careless.made += 1
        self.register_buffer(f"weight_{Careless.made}", torch.zeros(1))

    def propose(self, users: Tensor, positives: Tensor, generator: torch.Generator) -> Tensor:
        return torch.randint(self.items, (len(users), 1))

    def choose(self, batch: Batch, view: View, generator: torch.Generator) -> Draw:
        frozen = view.items(batch.negatives).detach()[:, :, 1:]
        return Draw(batch.negatives, frozen.requires_grad_())


@pytest.mark.parametrize(
    "test", [name for name in dir(SamplerContract) if name[:5] == "test_" and "cuda" not in name]
)
def test_a_careless_sampler_fails_everything(test: str) -> None:
    class Contract(SamplerContract):
        def sampler(self, data: Dataset, device: str = "cpu") -> Careless:
            return Careless(SamplerConfig(), data)

    with pytest.raises((AssertionError, RuntimeError)):
        getattr(Contract(), test)()


class Sloppy:
    """Reads anything, differently each time, and leaves something behind."""

    name = "sloppy"
    layout = ""
    heeds = frozenset({"anything"})
    read_before = 0

    def recognizes(self, path: Path) -> bool:
        return True

    def read(self, path: Path, options: ReadOptions) -> Dataset:
        Sloppy.read_before += 1
        (path / "cache").write_text(str(Sloppy.read_before))
        used = (path / "log.txt").read_text().split(",")
        return Dataset.from_frames(
            pl.DataFrame({"user_id": used, "item_id": [str(Sloppy.read_before)] * len(used)})
        )


@pytest.mark.parametrize(
    "test", [name for name in dir(ReaderContract) if name[:5] == "test_" and "kept" not in name]
)
def test_a_sloppy_reader_fails(test: str) -> None:
    class Contract(ReaderContract):
        def reader(self) -> Sloppy:
            return Sloppy()

        def source(self, folder: Path) -> Path:
            (folder / "log.txt").write_text("u1,u2")
            return folder

    with pytest.raises(AssertionError):
        getattr(Contract(), test)()


class Confused:
    """Answers for the item it was asked about last, and counts what it was asked."""

    model = None
    finished = True

    def __init__(self) -> None:
        self.name, self.parameters = "confused", {"asked": random.random()}
        self.last = "nothing"

    async def complete(self, request: Request) -> Completion:
        self.last = request.item_id
        await asyncio.sleep(0.001)
        return Completion(
            json.dumps(
                {"marked": f"A chair for [{self.last}] at home.", "replacements": ["nobody"]}
            )
        )

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("test", ["decides", "twice", "many_at_once"])
def test_a_confused_backend_fails(test: str) -> None:
    class Contract(BackendContract):
        def backend(self, data: Dataset) -> Confused:
            return Confused()

    (name,) = (name for name in dir(Contract) if test in name)
    with pytest.raises(AssertionError):
        getattr(Contract(), name)()


def test_refuses_is_strict() -> None:
    with pytest.raises(AssertionError, match="nothing was refused"), refuses():
        pass
    with pytest.raises(AssertionError, match="should be in"), refuses("no such words"):
        checkerboard().matrix("nothing")
    with pytest.raises(KeyError), refuses():
        raise KeyError


def test_the_checkerboard_has_two_groups() -> None:
    data = checkerboard()
    users, items = (
        ids.str.slice(-2).cast(int)[positions]
        for ids, positions in ((data.user_ids, data.users), (data.item_ids, data.items))
    )
    assert (users % 2 == items % 2).all()
    assert (data.train.nnz, data.valid.nnz, data.test.nnz) == (320, 40, 40)
    assert data.vectors.mask.sum() == len(data.records) == 79
    cosine = (data.vectors.positive * data.vectors.negative[:, 0]).sum(-1)
    assert cosine.max() < 0.5
    assert (data.vectors.positive[~data.vectors.mask] == 0).all()

"""Mixtures: shares, what parts pass on, and parts that do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from neggen import MF, LightGCN, NegGen
from neggen.data.dataset import Dataset
from neggen.models.base import FitContext
from neggen.negatives import sampler_config
from neggen.negatives.base import Batch, Sampler
from neggen.negatives.dens import DENS, DENSConfig
from neggen.negatives.dns import DNS, DNSConfig
from neggen.negatives.mixture import Mixture, MixtureConfig
from neggen.negatives.view import View
from neggen.testing import SamplerContract, all_in_training, checkerboard, refuses
from neggen.training.loop import EpochLog

MANY = [{"name": "popularity", "negatives": 3}, {"name": "uniform", "negatives": 3}]


def made(data: Dataset, *parts: str | dict, weights: tuple = (), device: str = "cpu") -> Mixture:
    return Mixture(MixtureConfig(parts=parts, weights=weights), data, device)


class TestOfProposals(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> Mixture:
        return made(data, *MANY, device=device)

    def test_passes_on_the_log_q_of_the_part(self) -> None:
        data = self.data()
        batch, draw, _ = self.draw(data)
        popularity = 0.75 * np.log(np.maximum(data.train.toarray().sum(0), 1))
        theirs = torch.from_numpy(popularity[draw.items]).float()
        corrected = draw.log_q.isclose(theirs).all(1)
        corrected &= draw.positive_log_q.isclose(
            torch.from_numpy(popularity[batch.positives]).float()
        )
        nothing = (draw.log_q == 0).all(1) & (draw.positive_log_q == 0)
        assert (corrected | nothing).all()
        assert corrected.float().mean() == pytest.approx(0.5, abs=0.05)


class TestOfChoices(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> Sampler:
        return made(data, "uniform", "mixgcf", "dens", weights=(1, 2, 1), device=device)

    def test_items_stand_for_themselves_beside_what_is_made_up(self) -> None:
        data = self.data()
        _, draw, by_hop = self.draw(data, times=20)
        looked_up = View(by_hop.unbind(1), data.shape[0]).items(draw.items)
        plain = (draw.embeddings == looked_up).flatten(1).all(1)
        assert plain.float().mean() == pytest.approx(0.25, abs=0.05)


@pytest.mark.parametrize("weights", [(), (3, 1)])
def test_draws_from_each_by_weight(weights: tuple) -> None:
    """User 0 lacks items 2 and 3: DNS always takes 3, uniform in half of the cases."""
    data = all_in_training([[1, 1, 0, 0], [0, 0, 1, 1]])
    mixture = made(data, {"name": "dns", "candidates": 64}, "uniform", weights=weights)
    rows = torch.zeros(8000, dtype=torch.long)
    generator = torch.Generator().manual_seed(0)
    batch = Batch(rows, rows, mixture.propose(rows, rows, generator))
    assert batch.negatives.shape == (8000, 65)
    nodes = torch.tensor([[1.0], [1], [5], [5], [2], [3]])
    taken = mixture.choose(batch, View((nodes,), 2), generator).items
    share = 3 / 4 if weights else 1 / 2
    assert (taken == 3).float().mean() == pytest.approx(share + (1 - share) / 2, abs=0.02)


@pytest.mark.parametrize("layers", [0, 2])
def test_a_step_on_one_part_alone_is_that_of_the_part(tiny, layers: int) -> None:
    alone = DENS(DENSConfig(), tiny.data)
    mixture = made(tiny.data, {"name": "dens", "candidates": 3}, weights=(2,))
    users, positives, _ = tiny.batch
    mixture.propose(users, positives, torch.Generator())
    loss, gradient = tiny.step(mixture, layers)
    expected, gradient_alone = tiny.step(alone, layers)
    assert loss == pytest.approx(expected, rel=1e-6)
    np.testing.assert_allclose(gradient, gradient_alone, atol=1e-6)


def test_penalties_count_by_weight(tiny) -> None:
    users, positives, _ = tiny.batch
    mixture = made(tiny.data, "dns", "dens", weights=(3, 1))
    generator = torch.Generator().manual_seed(0)
    mixture.prepare(3, seed=0)
    mixture.begin_epoch(2)
    proposed = mixture.propose(users, positives, generator)
    view = View((tiny.nodes,), 4)
    penalty = mixture.choose(Batch(users, positives, proposed), view, generator).penalty

    alone = DENS(DENSConfig(), tiny.data)
    alone.prepare(3, seed=0)
    alone.begin_epoch(2)
    expected = alone.choose(Batch(users, positives, proposed[:, 16:]), view, generator).penalty
    assert penalty.item() == pytest.approx(expected.item() / 4)
    assert {name.split(".")[1] for name in mixture.state_dict()} == {"1"}, "DENS has gates"


def test_is_what_its_parts_are() -> None:
    assert Mixture.made_of(MixtureConfig(parts=("dns", "uniform")))[0] is DNS
    nested = MixtureConfig(parts=({"name": "mixture", "parts": ["dns", "generated"]}, "uniform"))
    names = [each.name for each in Mixture.made_of(nested)]
    assert names == ["dns", "generated", "uniform"]
    data = checkerboard()
    assert made(data, "mixgcf", "uniform").by_hop
    assert not made(data, "dns", "uniform").by_hop
    assert not DNS(DNSConfig(), data).by_hop
    with refuses("'dns'", "take uniform"):
        NegGen(sampler={"name": "mixture", "parts": ["uniform", "dns"]})


@pytest.mark.parametrize(
    "parts", [["uniform", "generated"], ["popularity", "dns", "mixgcf", "dens", "srns", "ans"]]
)
def test_models_train_with_it(parts: list) -> None:
    data = checkerboard()
    for cls in (LightGCN, MF):
        model = cls(
            sampler={"name": "mixture", "parts": parts}, dim=8, epochs=20, learning_rate=0.05
        )
        model.fit(data)
        assert all(part.isfinite().all() for part in model.factors())
        (history,) = model.history.values()
        assert history[-1].loss < history[1].loss
    if parts[0] == "uniform":
        sampler = {"name": "mixture", "parts": parts}
        NegGen(sampler=sampler, dim=8, epochs=1, base={"dim": 8, "epochs": 1}).fit(data)


def test_an_interruption_leaves_no_trace(tmp_path: Path) -> None:
    """What parts learn and remember is saved with the model."""
    data, sampler = checkerboard(), {"name": "mixture", "parts": ["popularity", "dens", "srns"]}
    settings = {"dim": 8, "epochs": 6, "learning_rate": 0.02, "checkpoint_seconds": 0}
    undisturbed = MF(sampler=sampler, **settings).fit(data)

    def stop(phase: str, log: EpochLog) -> None:
        if log.epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        MF(sampler=sampler, **settings).fit(data, FitContext(tmp_path, stop))
    resumed = MF(sampler=sampler, **settings).fit(data, FitContext(tmp_path))
    assert [log.loss for log in resumed.history["mf"]] == [
        log.loss for log in undisturbed.history["mf"]
    ]
    assert resumed.user_embeddings.equal(undisturbed.user_embeddings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"parts": ["uniform", {"name": "dns", "top_": 2}]}, ["part 2", "'sampler.top_'"]),
        ({"parts": ["uniform", "unifrm"]}, ["part 2", "Did you mean 'uniform'?"]),
        ({"parts": [{"candidates": 3}]}, ["part 1", "has no name"]),
        ({"parts": ["uniform", MANY[1]]}, ["Part 2", "'uniform'", "equally many"]),
        ({"parts": [{"name": "in-batch"}, "in-batch"]}, ["Part 1", "'in-batch'"]),
        ({"parts": ["uniform", "dns"], "weights": [1]}, ["2 parts but 1 weights"]),
        ({"parts": ["uniform"], "weights": [0]}, ["weights", "greater than 0"]),
        ({"parts": []}, ["sampler.parts"]),
        ({}, ["sampler.parts"]),
    ],
)
def test_parts_that_do_not_fit_are_named(settings: dict, words: list[str]) -> None:
    with refuses(*words):
        sampler_config({"name": "mixture", **settings})

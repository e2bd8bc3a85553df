"""The training loop: selection, patience, and interruptions that leave no trace."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

import neggen
from neggen.config import LightGCNConfig, TrainConfig
from neggen.errors import NegGenError
from neggen.models.base import FitContext
from neggen.models.lightgcn import LightGCN, LightGCNModule
from neggen.negatives.base import Batch
from neggen.negatives.uniform import Uniform, UniformConfig
from neggen.testing import checkerboard
from neggen.training import rhythm
from neggen.training.checkpoint import save_tensors
from neggen.training.loop import EpochLog, TrainState, train
from neggen.training.ranking_losses import BPR
from neggen.training.trainable import Factors, Measure, Trainable

DATA = checkerboard()
CONFIG = LightGCNConfig(dim=8, layers=2, learning_rate=0.05, epochs=9, patience=5, evaluate_every=1)


class Noisy(Factors):
    """Matrix factorization whose loss draws from the loop's generator, as dropout would."""

    def __init__(self, sign: float = 1.0, planted: bool = False) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        users, items = DATA.shape
        self.users = nn.Parameter(0.1 * torch.randn(users, 4, generator=generator))
        self.items = nn.Parameter(0.1 * torch.randn(items, 4, generator=generator))
        self.sign = sign
        self.sampler = Uniform(UniformConfig(), DATA)
        if planted:
            for table, ids in ((self.users, DATA.user_ids), (self.items, DATA.item_ids)):
                group = torch.tensor([int(name[-2:]) % 2 for name in ids])
                table.data[torch.arange(len(ids)), group] += 1

    def embeddings(self) -> tuple[Tensor, Tensor]:
        return self.users, self.items

    def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
        users = self.users[batch.users]
        users = users * (torch.rand(users.shape, generator=generator) > 0.2)
        positive = (users * self.items[batch.positives]).sum(1)
        negative = (users[:, None] * self.items[batch.negatives]).sum(2)  # [batch, 1]
        return self.sign * BPR()(positive, negative)


def lightgcn() -> LightGCNModule:
    module = LightGCNModule(DATA.train, CONFIG)
    module.sampler = Uniform(UniformConfig(), DATA)
    return module


class Scripted(Noisy):
    """Validates as it is told, one figure an evaluation."""

    def __init__(self, figures: list[float]) -> None:
        super().__init__()
        self.figures = iter(figures)

    def validate(self, measure: Measure) -> dict[str, float]:
        return {"ndcg@20": next(self.figures)}


def weights(module: nn.Module) -> list[list[float]]:
    return [tensor.flatten().tolist() for tensor in module.state_dict().values()]


def history(logs: list[EpochLog]) -> list[EpochLog]:
    """Return all that happened but how long it took."""
    return [dataclasses.replace(log, seconds=0) for log in logs]


def run(module: Trainable, config: TrainConfig = CONFIG, **options) -> TrainState:
    return train(module, DATA.train, DATA.valid, config, **options)


def test_learns_planted_groups() -> None:
    module = lightgcn()
    state = run(module, CONFIG.updated(patience=50))
    first, best = state.history[0].valid, state.history[state.best_epoch].valid
    assert state.history[-1].loss < 0.5 * state.history[1].loss
    assert best["recall@10"] > 1.5 * first["recall@10"]


def test_a_start_that_is_never_beaten_is_kept() -> None:
    module = Noisy(sign=-1.0, planted=True)
    start = weights(module)
    state = run(module, CONFIG.updated(patience=3))
    assert state.best_epoch == 0
    assert state.epoch == 3
    assert weights(module) == start


def test_keeps_the_best_weights_not_the_last() -> None:
    kept = []
    module = Scripted([0.1, 0.2, 0.15, 0.3, 0.3, 0.29])
    state = run(
        module, CONFIG.updated(patience=2), on_epoch=lambda log: kept.append(weights(module))
    )
    assert [log.best for log in state.history] == [True, True, False, True, False, False]
    assert (state.epoch, state.best_epoch, state.best_score) == (5, 3, 0.3)
    assert weights(module) == kept[3] != kept[5]


def test_patience_counts_evaluations_not_epochs() -> None:
    config = CONFIG.updated(patience=2, evaluate_every=3, epochs=100)
    state = run(Scripted([0.1, 0.2, 0.1, 0.1]), config)
    assert state.epoch == 9
    assert [log.epoch for log in state.history if log.valid] == [0, 3, 6, 9]


def test_short_epochs_are_not_validated_each() -> None:
    # By default validations are 50 steps apart, in whole epochs, and the last epoch has one.
    interactions = DATA.train.nnz
    for batch_size, expected in ((interactions, [0, 50, 75]), (interactions // 20, [0, 3, 6, 7])):
        config = CONFIG.updated(evaluate_every=0, epochs=expected[-1], batch_size=batch_size)
        state = run(Scripted([i / 100 for i in range(10)]), config)
        assert [log.epoch for log in state.history if log.valid] == expected


def test_costly_validations_are_made_less_often_and_count_for_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    interactions, valid = DATA.train.nnz, DATA.valid
    scores = np.count_nonzero(np.diff(valid.indptr)) * valid.shape[1]
    config = CONFIG.updated(
        evaluate_every=0, patience=12, epochs=100, batch_size=interactions // 60
    )
    for times, expected in ((3, [0, 3, 6, 9, 12, 15]), (99, [0, 3, 6, 9, 12, 15]), (1, range(14))):
        monkeypatch.setattr(rhythm, "SCORES_AN_INTERACTION", scores / (interactions * times))
        state = run(Scripted([0.1, 0.2] + [0.1] * 12), config)
        assert [log.epoch for log in state.history if log.valid] == list(expected)
        assert state.epoch - state.best_epoch == config.patience
        assert rhythm.rhythm(DATA.train, valid, config.updated(evaluate_every=7), 1) == (7, 1)


def test_epochs_bound_a_run_that_keeps_improving() -> None:
    assert run(Scripted([i / 100 for i in range(10)])).epoch == CONFIG.epochs


@pytest.mark.parametrize("make", [Noisy, lightgcn])
@pytest.mark.parametrize("checkpoint_seconds", [0, 3600])
@pytest.mark.parametrize("epoch", [0, 1, 4, 8])
def test_an_interrupted_run_ends_like_an_undisturbed_one(
    make, checkpoint_seconds: float, epoch: int, tmp_path: Path
) -> None:
    config = CONFIG.updated(checkpoint_seconds=checkpoint_seconds, batch_size=50, patience=50)
    undisturbed = make()
    expected = run(undisturbed, config)
    options = {"checkpoint": tmp_path / "run.safetensors", "fingerprint": "x"}

    def stop(log: EpochLog) -> None:
        if log.epoch == epoch:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(make(), config, on_epoch=stop, **options)
    seen = []
    resumed = make()
    state = run(resumed, config, on_epoch=lambda log: seen.append(log.epoch), **options)
    has_checkpoint = checkpoint_seconds == 0 and epoch > 1  # the first is written after epoch 1
    assert seen[0] == (epoch if has_checkpoint else 0)
    assert weights(resumed) == weights(undisturbed)
    assert history(state.history) == history(expected.history)

    again = make()  # a finished run has nothing left to do
    state = run(again, config, on_epoch=stop, **options)
    assert history(state.history) == history(expected.history)
    assert weights(again) == weights(undisturbed)


KILLED = """
import sys, time, torch
from pathlib import Path
from neggen.models.base import FitContext
from neggen.models.lightgcn import LightGCN
from neggen.testing import checkerboard

torch.set_num_threads(1)

def report(phase, log):
    print(log.epoch, flush=True)
    time.sleep(0.05)

settings = {"dim": 8, "learning_rate": 0.05, "epochs": 60, "patience": 60, "evaluate_every": 1}
LightGCN(**settings, checkpoint_seconds=0).fit(
    checkerboard(), FitContext(Path(sys.argv[1]), report)
)
"""


def test_a_killed_process_is_resumed_bit_for_bit(tmp_path: Path) -> None:
    source = str(Path(neggen.__file__).parents[1])
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": source},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        last = next(int(line) for line in process.stdout if int(line) >= 5)
        process.kill()
    assert process.returncode == -9

    seen = []
    context = FitContext(tmp_path, lambda phase, log: seen.append(log.epoch))
    settings = {"dim": 8, "learning_rate": 0.05, "epochs": 60, "patience": 60, "evaluate_every": 1}
    resumed = LightGCN(**settings, checkpoint_seconds=0).fit(DATA, context)
    undisturbed = LightGCN(**settings, checkpoint_seconds=0).fit(DATA)
    assert last <= seen[0] <= 60
    assert resumed.user_embeddings.equal(undisturbed.user_embeddings)
    assert resumed.item_embeddings.equal(undisturbed.item_embeddings)
    ours, theirs = (model.history["lightgcn"] for model in (resumed, undisturbed))
    assert history(ours) == history(theirs)


def test_refuses_checkpoints_of_other_runs(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run(Noisy(), checkpoint=path, fingerprint="one")
    with pytest.raises(NegGenError, match=f"{path} belongs to a run on other data"):
        run(Noisy(), checkpoint=path, fingerprint="two")
    save_tensors(path, {"weights": torch.ones(2)}, {"model": "ease"})
    with pytest.raises(NegGenError, match="belongs to a run on other data"):
        run(Noisy(), checkpoint=path, fingerprint="one")


def test_refuses_damaged_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "run.safetensors"
    run(Noisy(), checkpoint=path)
    whole = path.read_bytes()
    for damaged in (b"", whole[:7], whole[:200], whole[:-1], b"\xff" * 100):
        path.write_bytes(damaged)
        with pytest.raises(NegGenError, match=rf"{path} is damaged .* delete it"):
            run(Noisy(), checkpoint=path)


def test_a_loss_that_explodes_is_reported() -> None:
    class Exploding(Noisy):
        def loss(self, batch: Batch, generator: torch.Generator) -> Tensor:
            return super().loss(batch, generator) * torch.inf

    with pytest.raises(NegGenError, match=r"loss became (inf|nan) in epoch 1; lower learning_rate"):
        run(Exploding())


def test_refuses_what_it_cannot_choose_by() -> None:
    with pytest.raises(NegGenError, match="validation part is empty"):
        train(Noisy(), DATA.train, csr_matrix(DATA.shape, dtype=np.float32), CONFIG)
    with pytest.raises(
        NegGenError, match=r"'recal@20' is not allowed: .* Did you mean 'recall@20'"
    ):
        CONFIG.updated(metric="recal@20")


def test_the_global_generator_is_neither_used_nor_moved() -> None:
    torch.manual_seed(1)
    first, state = Noisy(), torch.get_rng_state()
    run(first)
    assert torch.get_rng_state().equal(state)
    torch.manual_seed(2)
    second = Noisy()
    run(second)
    assert weights(first) == weights(second)
    third = Noisy()
    run(third, CONFIG.updated(seed=1))
    assert weights(first) != weights(third)

"""The training loop: shuffled batches, early stopping on validation, checkpoints, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from torch import Tensor, nn

from neggen.config import TrainConfig
from neggen.errors import NegGenError
from neggen.evaluation.ranking import candidates_of
from neggen.negatives.base import Batch, Sampler
from neggen.training import distributed
from neggen.training.checkpoint import under
from neggen.training.checkpoints import kept_checkpoints, load_checkpoint, save_checkpoint
from neggen.training.rhythm import rhythm
from neggen.training.trainable import Trainable

VALIDATION_KS = (10, 20)
"""List lengths measured on validation, so ``metric`` may be ``recall@10``, ``ndcg@20``, …"""
RULES = 3
"""Raise it when the same settings train in another way: no checkpoint from before is resumed."""
PROPOSED_AT_ONCE = 1 << 17
"""Negatives proposed together: a search warms the cache for the next one."""


@dataclass
class EpochLog:
    """What happened in one epoch; epoch 0 is the start, before any step."""

    epoch: int
    loss: float | None = None
    seconds: float = 0.0
    valid: dict[str, float] | None = None
    best: bool = False


@dataclass
class TrainState:
    """Where training stands; what is in here and in the tensors is all a resume needs."""

    epoch: int = 0
    best_epoch: int = 0
    best_score: float = -1.0
    bad_evaluations: int = 0
    finished: bool = False
    history: list[EpochLog] = field(default_factory=list)


OnEpoch = Callable[[EpochLog], None]


def train(
    module: Trainable,
    interactions: csr_matrix,
    valid: csr_matrix | None,
    config: TrainConfig,
    *,
    checkpoint: Path | None = None,
    fingerprint: str = "",
    on_epoch: OnEpoch | None = None,
) -> TrainState:
    """Train ``module`` in place and leave it with the weights that validated best.

    Validation ranks all items, or the new ones if all that validates is new; see
    :func:`~neggen.evaluation.ranking.candidates_of`. If a module cannot tell these apart, and so
    validates alike all the way, it is left with its last weights.

    The start itself is a candidate: it is evaluated before the first step, so a module that starts
    at a good model can only be replaced by one that validates better.

    Args:
        module: what to train, on ``config.device``.
        interactions: what to learn from, 0/1 CSR ``[users, items]``.
        valid: what to choose the weights by, 0/1 CSR ``[users, items]``. None takes those after
            ``config.epochs`` epochs.
        config: the settings.
        checkpoint: file to save to and to resume from. An interrupted run ends bit-equal to an
            undisturbed one on a CPU; on a GPU, up to the rounding of its sparse products.
        fingerprint: identifies data and settings; a checkpoint with another one is refused.
        on_epoch: called after every epoch.

    Raises:
        NegGenError: If the checkpoint belongs to other data or settings, or validation is empty.
    """
    if valid is not None and valid.nnz == 0:
        raise NegGenError("The validation part is empty, so the best weights cannot be chosen.")
    device = torch.device(config.device)
    generator = torch.Generator(device).manual_seed(config.seed)
    optimizer = torch.optim.Adam(
        [p for p in module.parameters() if p.requires_grad], lr=config.learning_rate, fused=True
    )
    rows = np.arange(interactions.shape[0], dtype=np.int32).repeat(np.diff(interactions.indptr))
    users = torch.from_numpy(rows).to(device)  # [interactions]
    positives = torch.from_numpy(interactions.indices.astype(np.int32)).to(device)

    every, weight = config.epochs + 1, 1  # never
    candidates = None
    if valid is not None:
        every, weight = rhythm(interactions, valid, config, module.rankings)
        candidates = candidates_of(valid, interactions)

    def validate() -> dict[str, float] | None:
        if valid is None:
            return None
        measure = partial(
            distributed.ranking_figures, seen=interactions, target=valid, ks=VALIDATION_KS,
            candidates=candidates, device=device,
        )  # fmt: skip
        with torch.no_grad():
            return module.validate(measure)

    distributed.start_alike(module.state_dict().values())
    state = TrainState()
    found = checkpoint is not None and bool(kept_checkpoints(checkpoint))
    if checkpoint is not None and distributed.first_says(found):
        state, best = _restore(checkpoint, fingerprint, module, optimizer, generator)
    else:
        _judge(EpochLog(0), validate(), weight, state, config, on_epoch)
        best = _copy_state(module)
    saved_at = time.monotonic()

    while not state.finished:
        started = time.monotonic()
        mean_loss = _one_epoch(
            module, users, positives, optimizer, config, generator, state.epoch + 1
        )
        state.epoch += 1
        log = EpochLog(state.epoch, mean_loss, time.monotonic() - started)
        due = log.epoch % every == 0 or log.epoch == config.epochs
        if _judge(log, validate() if due else None, weight, state, config, on_epoch):
            best = _copy_state(module)
        save = time.monotonic() - saved_at >= config.checkpoint_seconds or state.finished
        if checkpoint is not None and save and distributed.writes():
            tensors, meta = _packed(fingerprint, module, optimizer, generator, state, best)
            save_checkpoint(checkpoint, tensors, meta, config.keep_checkpoints)
            saved_at = time.monotonic()

    if valid is None:
        with torch.no_grad():
            module.settle()
        return state
    told = {tuple(log.valid.values()) for log in state.history if log.valid}
    if candidates is None or len(told) > 1:  # else these are new items that it cannot tell apart
        module.load_state_dict(best)
    return state


def _one_epoch(
    module: Trainable,
    users: Tensor,
    positives: Tensor,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    generator: torch.Generator,
    epoch: int,
) -> float:
    """Take every interaction once, in a random order, and return the mean loss.

    Raises:
        NegGenError: If that is no finite number.
    """
    module.begin_epoch(epoch, generator)
    parameters = list(module.parameters())
    order = torch.randperm(len(users), generator=generator, device=users.device)
    total = torch.zeros((), device=users.device)  # read once an epoch: a GPU need not wait
    for whole in _batches(module.sampler, users, positives, order, config, generator):
        batch, share = distributed.share(whole, module.by_row)
        loss = share * module.loss(batch, generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        distributed.add_up(parameter.grad for parameter in parameters)
        optimizer.step()
        total += loss.detach() * len(whole.users)
    distributed.add_up([total])
    mean_loss = float(total) / len(users)
    if not math.isfinite(mean_loss):
        raise NegGenError(f"The loss became {mean_loss} in epoch {epoch}; lower learning_rate.")
    return mean_loss


def _batches(
    sampler: Sampler | None,
    users: Tensor,
    positives: Tensor,
    order: Tensor,
    config: TrainConfig,
    generator: torch.Generator,
) -> Iterator[Batch]:
    """Yield the batches of an epoch; negatives are proposed for several of them at once.

    Args:
        sampler: what proposes; without it, batches have no negatives.
        users: of the interactions, int32 ``[interactions]``.
        positives: the items, likewise.
        order: numbers of interactions as they are taken, int64 ``[interactions]``.
        config: says how large a batch is.
        generator: what the sampler draws from.
    """
    size, ahead = config.batch_size, 1
    if sampler is not None and sampler.ahead:
        ahead = max(1, PROPOSED_AT_ONCE // (size * max(1, sampler.config.proposed)))
    for part in torch.split(order, ahead * size):
        some, theirs = users[part].long(), positives[part].long()
        proposed = some.new_empty(len(some), 0)
        if sampler is not None:
            proposed = sampler.propose(some, theirs, generator)  # [ahead · batch, candidates]
        yield from map(Batch, *(torch.split(each, size) for each in (some, theirs, proposed)))


def _judge(
    log: EpochLog,
    figures: dict[str, float] | None,
    weight: int,
    state: TrainState,
    config: TrainConfig,
    on_epoch: OnEpoch | None,
) -> bool:
    """Enter an epoch and its validation, if any, and say whether it is the best so far.

    In ``patience`` a validation counts for ``weight``.
    """
    if figures is not None:
        log.valid = figures
        log.best = figures[config.metric] > state.best_score
        if log.best:
            state.best_epoch, state.best_score = log.epoch, figures[config.metric]
        state.bad_evaluations = 0 if log.best else state.bad_evaluations + weight
    state.finished = state.bad_evaluations >= config.patience or log.epoch >= config.epochs
    state.history.append(log)
    if on_epoch is not None:
        on_epoch(log)
    return log.best


def _copy_state(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _packed(
    fingerprint: str,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    state: TrainState,
    best: dict[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    tensors = {f"module/{name}": tensor for name, tensor in module.state_dict().items()}
    tensors |= {f"best/{name}": tensor for name, tensor in best.items()}
    for position, slots in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{position}/{name}": tensor for name, tensor in slots.items()}
    tensors["generator"] = generator.get_state()
    return tensors, {"fingerprint": fingerprint, "state": asdict(state)}


def _restore(
    path: Path,
    fingerprint: str,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
) -> tuple[TrainState, dict[str, Tensor]]:
    tensors, meta = load_checkpoint(path)
    if meta.get("fingerprint") != fingerprint:
        raise NegGenError(
            f"{path} belongs to a run on other data or with other settings; "
            f"train under another run name, or delete the file."
        )

    module.load_state_dict(under("module", tensors))
    whole = optimizer.state_dict()
    slots: dict[int, dict[str, Any]] = {}
    for name, tensor in under("optimizer", tensors).items():
        position, _, slot = name.partition("/")
        slots.setdefault(int(position), {})[slot] = tensor
    whole["state"] = slots
    optimizer.load_state_dict(whole)
    drawn = tensors["generator"]
    if len(drawn) == len(generator.get_state()):
        generator.set_state(drawn)
    else:  # of another kind of device, which draws other numbers anyway
        generator.manual_seed(generator.initial_seed() + meta["state"]["epoch"])
    state = TrainState(**{**meta["state"], "history": []})
    state.history = [EpochLog(**log) for log in meta["state"]["history"]]
    device = next(module.parameters()).device
    return state, {name: tensor.to(device) for name, tensor in under("best", tensors).items()}

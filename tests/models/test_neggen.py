"""NegGen against an independent dense implementation, its promises, and a planted taste."""

from __future__ import annotations

import dataclasses
import functools
import math
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
import torch.nn.functional as F
from scipy.sparse import csr_matrix
from torch import Tensor

from neggen.config import NegGenConfig
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.data.tables import PARTS
from neggen.data.vectors import ItemVectors
from neggen.errors import NegGenError
from neggen.evaluation.ranking import evaluate_ranking
from neggen.models.base import FitContext, Recommender
from neggen.models.history import HISTORY_SAMPLE, History
from neggen.models.lightgcn import LightGCN
from neggen.models.neggen import NegGen
from neggen.models.neggen_module import NegGenModule
from neggen.negatives.base import Batch
from neggen.testing import RecommenderContract, checkerboard, triples
from neggen.training.loop import EpochLog

BASE = {"dim": 16, "layers": 2, "learning_rate": 0.05, "epochs": 8}
SMALL = {"dim": 16, "heads": 2, "epochs": 6, "learning_rate": 0.01, "base": BASE}


class TestNegGen(RecommenderContract):
    def model(self) -> Recommender:
        return NegGen(**SMALL)


def test_a_second_fit_equals_the_first_on_four_threads() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        type("OnFourThreads", (TestNegGen,), {})().test_a_second_fit_equals_the_first()
    finally:
        torch.set_num_threads(before)


# -- the loss ---------------------------------------------------------------------------------


def module_of(
    data: Dataset, config: NegGenConfig, base_dim: int = 5
) -> tuple[NegGenModule, LightGCN]:
    """A module on a random base whose attention is not silent."""
    generator = torch.Generator().manual_seed(1)
    base = LightGCN(dim=base_dim)
    base.user_embeddings = torch.randn(data.shape[0], base_dim, generator=generator)
    base.item_embeddings = torch.randn(data.shape[1], base_dim, generator=generator)
    base.fold_in = torch.zeros(base_dim + 1, base_dim)
    module = NegGenModule(data, base, config)
    for weights in (module.causal.attention.out_proj.weight, module.causal.effect.weight):
        weights.data += 0.3 * torch.randn(weights.shape, generator=generator)
    return module, base


def dense_effects(
    vectors: ItemVectors, weights: dict[str, Tensor], heads: int, contrast: float
) -> tuple[list[Tensor], list[list[Tensor]], list[Tensor]]:
    """Return c_i, n_i of every completion and g(s_i), one item at a time."""
    items, modalities = vectors.mask.shape
    positive = torch.from_numpy(vectors.positive).double()
    negative = torch.from_numpy(vectors.negative).double()
    for m in range(modalities):
        present = vectors.mask[:, m]
        positive[present, m] -= positive[present, m].mean(0)
        negative[present, :, m] -= negative[present, :, m].flatten(0, 1).mean(0)
        energy = (positive[present, m] - contrast * negative[present, :, m].mean(1)) ** 2
        scale = energy.sum(1).mean().sqrt()
        positive[:, m], negative[:, :, m] = positive[:, m] / scale, negative[:, :, m] / scale

    def pooled(item: int, rows: Tensor) -> Tensor:
        here = [m for m in range(modalities) if vectors.mask[item, m]]
        tokens = torch.stack([weights["causal.projections"][m] @ rows[m] for m in here])  # [m, d]
        mixed = tokens @ weights["causal.attention.in_proj_weight"].T
        query, key, value = (mixed + weights["causal.attention.in_proj_bias"]).chunk(3, dim=1)
        outputs = []
        for q, k, v in zip(*(part.chunk(heads, 1) for part in (query, key, value)), strict=True):
            outputs.append(torch.softmax(q @ k.T / math.sqrt(q.shape[1]), dim=1) @ v)
        attended = torch.cat(outputs, 1) @ weights["causal.attention.out_proj.weight"].T
        return (tokens + attended + weights["causal.attention.out_proj.bias"]).mean(0)

    effects, counterfactuals, contexts = [], [], []
    for item in range(items):
        factual = pooled(item, positive[item])
        changed = [pooled(item, rows) for rows in negative[item]]
        g = weights["causal.effect.weight"]
        effect = g @ torch.stack([factual - contrast * each for each in changed]).mean(0)
        effects.append(effect / effect.norm())
        answers = [g @ each for each in changed]
        counterfactuals.append([answer / answer.norm() for answer in answers])
        contexts.append(g @ ((factual + torch.stack(changed).mean(0)) / 2))
    return effects, counterfactuals, contexts


def dense_loss(
    data: Dataset,
    config: NegGenConfig,
    weights: dict[str, Tensor],
    base: LightGCN,
    batch: Batch,
    seed: int,
) -> Tensor:
    """The formulas of ``NegGenModule`` with loops, in double precision."""
    assert data.vectors is not None
    effects, changed, contexts = dense_effects(data.vectors, weights, config.heads, config.contrast)
    size = len(batch.users)
    share = torch.rand((size, 8), generator=torch.Generator().manual_seed(seed))
    scale = weights["log_scale"].exp()
    ranking, counterfactual, alignment, separation = [], [], [], []
    for row, (u, i, j) in enumerate(zip(*(part.flatten().tolist() for part in batch), strict=True)):
        history = sorted(data.train[u].indices)
        drawn = [history[int(x * len(history))] for x in share[row].tolist()]
        rest = [effects[item] for item in drawn if item != i]
        profile = torch.stack(rest).mean(0) if rest else torch.zeros(config.dim).double()
        if config.score == "embedding":
            profile = base.user_embeddings[u].double()
        ranking.append(-torch.log(torch.sigmoid(scale * profile @ (effects[i] - effects[j]))))
        for other in changed[i]:
            margin = scale * profile @ (effects[i] - other)
            counterfactual.append(-torch.log(torch.sigmoid(margin)))
        anchor = F.normalize(weights["align.weight"] @ base.item_embeddings[i].double(), dim=0)
        others = [item for item in batch.positives.tolist() if item != i]
        rivals = [effects[item] for item in [i, *others]] + changed[i]
        exponents = torch.stack([anchor @ rival / config.tau for rival in rivals])
        alignment.append(torch.logsumexp(exponents, 0) - anchor @ effects[i] / config.tau)
        cosine = effects[i] @ contexts[i] / contexts[i].norm()
        separation.append(cosine.abs())
    terms = (ranking, counterfactual, alignment, separation)
    parts = [torch.stack(term).mean() for term in terms]
    return parts[0] + config.beta * parts[1] + config.alpha * parts[2] + config.gamma * parts[3]


def with_completions(data: Dataset) -> Dataset:
    """Give every item of the checkerboard a second negative, and richer vectors."""
    assert data.vectors is not None
    rng = np.random.default_rng(3)
    vectors = data.vectors
    there = vectors.mask[:, None, :, None]
    noise = rng.normal(0, 0.7, (2, *vectors.negative.shape)).astype(np.float32)
    negative = np.concatenate([vectors.negative + noise[0], vectors.negative + noise[1]], 1) * there
    positive = (vectors.positive + noise[0, :, 0][::-1]) * vectors.mask[..., None]
    return data.replace(vectors=ItemVectors(vectors.modalities, positive, negative, vectors.mask))


# A large batch wants every item, a small one only some: the two take different ways.
@pytest.mark.parametrize("size", [3, 40])
@pytest.mark.parametrize("score", ["profile", "embedding"])
@pytest.mark.parametrize(
    ("alpha", "beta", "gamma"),
    [(0.0, 0.0, 0.0), (0.3, 0.0, 0.0), (0.0, 0.7, 0.0), (0.0, 0.0, 0.8), (0.3, 0.7, 0.8)],
)
def test_loss_and_a_gradient_step_equal_the_dense_ones(
    alpha: float, beta: float, gamma: float, score: str, size: int
) -> None:
    data = with_completions(checkerboard())
    losses = {"alpha": alpha, "beta": beta, "gamma": gamma}
    config = NegGenConfig(dim=6, heads=2, **losses, score=score, modality_dropout=0, seed=2)
    module, base = module_of(data, config, base_dim=6 if score == "embedding" else 5)
    module.log_scale.data.fill_(0.5)  # gradients of a size that float32 can tell
    rng = np.random.default_rng(0)
    rows = rng.choice(data.train.nnz, size, replace=False)
    users, items = data.train.nonzero()
    batch = Batch(
        torch.from_numpy(users[rows].astype(np.int64)),
        torch.from_numpy(items[rows].astype(np.int64)),
        torch.from_numpy(rng.integers(0, data.shape[1], (size, 1))),
    )
    weights = {
        name: parameter.detach().double().requires_grad_()
        for name, parameter in module.named_parameters()
    }

    def ours() -> Tensor:
        return module.loss(batch, torch.Generator().manual_seed(9))

    def theirs(weights: dict[str, Tensor]) -> Tensor:
        return dense_loss(data, config, weights, base, batch, seed=9)

    loss, expected = ours(), theirs(weights)
    assert abs(loss.item() - expected.item()) < 2e-6
    loss.backward()
    expected.backward()
    for name, parameter in module.named_parameters():
        wanted = weights[name].grad
        if wanted is None or (wanted == 0).all():
            assert parameter.grad is None or (parameter.grad == 0).all(), name
        else:
            assert torch.allclose(parameter.grad.double(), wanted, rtol=1e-3, atol=2e-6), name

    learned = [name for name in weights if weights[name].grad is not None]
    rate = 0.01 if gamma else 0.1  # an absolute value has a kink, which is soon passed
    torch.optim.SGD(module.parameters(), lr=rate).step()
    with torch.no_grad():
        for name in learned:
            weights[name] -= rate * weights[name].grad
        moved = theirs(weights)
    assert moved < expected
    assert abs(ours().item() - moved.item()) < 5e-6


def test_modality_dropout_leaves_modalities_out() -> None:
    data = checkerboard()
    users, items = (torch.from_numpy(part[:40].astype(np.int64)) for part in data.train.nonzero())
    for size in (3, 40):
        batch = triples(users[:size], items[:size], (items[:size] + 1) % data.shape[1])
        losses = {}
        for dropout in (0.0, 0.5, 0.999999):
            config = NegGenConfig(dim=6, heads=2, alpha=0, beta=1.0, modality_dropout=dropout)
            module, _ = module_of(data, config)
            losses[dropout] = module.loss(batch, torch.Generator().manual_seed(0)).item()
        assert losses[0.999999] == pytest.approx(math.log(2))  # nothing is left to tell by
        assert len(set(losses.values())) == 3


# -- the history ------------------------------------------------------------------------------


def history_of(dense: np.ndarray) -> History:
    return History(csr_matrix(dense.astype(np.float32)), "cpu")


def test_history_is_drawn_evenly_from_what_the_user_has() -> None:
    dense = np.zeros((4, 9))
    dense[0, [2, 5, 8]] = dense[2, [0]] = dense[3, :7] = 1  # the second user has nothing
    history = history_of(dense)
    times = 3000
    for user in (0, 2, 3):
        users = torch.full((times,), user)
        sample = history.sample(users, torch.Generator().manual_seed(user))
        assert sample.shape == (times, HISTORY_SAMPLE)
        counts = np.bincount(sample.flatten().numpy(), minlength=9)
        assert (counts[dense[user] == 0] == 0).all()
        expected = times * HISTORY_SAMPLE / dense[user].sum()
        assert (np.abs(counts[dense[user] > 0] - expected) < 5 * math.sqrt(expected)).all()


def test_history_mean_is_the_mean_of_the_history() -> None:
    rng = np.random.default_rng(0)
    dense = rng.random((6, 9)) < 0.4
    dense[3] = False
    items = torch.from_numpy(rng.normal(size=(9, 4)).astype(np.float32))
    mean = history_of(dense).mean(items)
    for user in range(6):
        own = items[dense[user]]
        wanted = own.mean(0) if len(own) else torch.zeros(4)
        assert torch.allclose(mean[user], wanted, atol=1e-6)


def test_an_item_never_predicts_itself() -> None:
    # Every user has two training items, so that predicting one, the profile is the other's effect.
    users, items = 12, 24
    pairs = np.array([(user, 2 * user + which) for user in range(users) for which in (0, 1)])
    data = planted(users=users, items=items, pairs=pairs)
    module, _ = module_of(data, NegGenConfig(dim=6, heads=2, alpha=0, modality_dropout=0))
    with torch.no_grad():
        effects = module.causal(module.all_items).effects
    scale = module.log_scale.exp()
    for user in range(users):
        i, other, j = 2 * user, 2 * user + 1, (2 * user + 5) % items
        loss = module.loss(
            triples(*(torch.tensor([each]) for each in (user, i, j))),
            torch.Generator().manual_seed(user),
        )
        margin = scale * effects[other] @ (effects[i] - effects[j])
        assert loss.item() == pytest.approx(F.softplus(-margin).item(), rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_a_user_with_one_training_item_has_no_profile_and_no_nan(alpha: float) -> None:
    pairs = np.array([(user, user) for user in range(10)])
    data = planted(users=10, items=20, pairs=pairs)
    config = NegGenConfig(dim=6, heads=2, beta=1.0, alpha=alpha)
    module, _ = module_of(data, config)
    batch = triples(torch.arange(10), torch.arange(10), torch.arange(10, 20))
    loss = module.loss(batch, torch.Generator().manual_seed(0))
    if alpha == 0:
        assert loss.item() == pytest.approx(2 * math.log(2))
    loss.backward()
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)


# -- do no harm -------------------------------------------------------------------------------


KEYS = 20


def planted(
    users: int = 120, items: int = 300, pairs: np.ndarray | None = None, *, taste: bool = True
) -> Dataset:
    """Users who like three of twenty key features; a context twice as loud, and no attributes.

    x⁺ is the key feature plus the context, x⁻ another key feature plus the same context. Without
    ``taste``, vectors are noise. Given ``pairs``, all of them train.
    """
    rng = np.random.default_rng(5)
    keys = np.arange(items) % KEYS
    if pairs is None:
        likes = [rng.choice(KEYS, 3, replace=False) for _ in range(users)]
        choices = [rng.choice(np.flatnonzero(np.isin(keys, liked)), 6, False) for liked in likes]
        pairs = np.stack([np.repeat(np.arange(users), 6), np.concatenate(choices)], axis=1)
        data = log_of(pairs, items).split()
    else:
        data = log_of(pairs, items)
        data = data.replace(parts=np.full(len(pairs), PARTS.index("train"), dtype=np.uint8))
    context = rng.normal(0, 2 / math.sqrt(KEYS), (items, 2, KEYS))
    axes = np.eye(KEYS)
    positive = axes[keys][:, None] + context  # [items, modalities, width]
    negative = axes[(keys + rng.integers(1, KEYS, items)) % KEYS][:, None] + context
    if not taste:
        positive, negative = rng.normal(size=(2, *context.shape))
    present = np.ones((items, 2), dtype=bool)
    both = (each.astype(np.float32) for each in (positive, negative[:, None]))
    return data.replace(vectors=ItemVectors(("image", "text"), *both, present))


def log_of(pairs: np.ndarray, items: int) -> Dataset:
    return Dataset.from_frames(
        pl.DataFrame(
            {"user_id": [f"u{u}" for u, _ in pairs], "item_id": [f"i{i}" for _, i in pairs]}
        ),
        pl.DataFrame({"item_id": [f"i{i}" for i in range(items)]}),
    )


def valid_ndcg(model: Recommender, data: Dataset) -> float:
    return evaluate_ranking(model.score_index, data.train, data.valid).metrics["ndcg@20"]


def test_without_effect_it_is_the_base() -> None:
    data = checkerboard()
    model = NegGen(**SMALL, effect_weights=(0.0,)).fit(data)
    base = LightGCN(**BASE).fit(data)
    users = data.user_ids.to_list()
    assert model.score(users).equals(base.score(users))
    assert model.recommend(users).equals(base.recommend(users))
    # Even on top of a base that is given, and whatever the causal part has learned meanwhile.
    given = NegGen(**SMALL, effect_weights=(0.0,), alpha=1.0)
    given.base = base
    assert given.fit(data).score(users).equals(base.score(users))
    assert list(given.history) == ["neggen"]


@pytest.mark.parametrize("seed", range(2))
def test_useless_vectors_do_no_harm(seed: int) -> None:
    data = planted(taste=False)
    base = LightGCN(**BASE, seed=seed).fit(data)
    model = NegGen(**{**SMALL, "seed": seed, "learning_rate": 0.1})
    model.base = base
    assert valid_ndcg(model.fit(data), data) >= valid_ndcg(base, data)


def test_beats_the_base_where_key_features_decide() -> None:
    data = planted()
    base = LightGCN(**{**BASE, "epochs": 100}).fit(data)
    figures = []
    for contrast in (0.0, 0.25, 1.0):  # the more of the shared context is taken off, the better
        model = NegGen(**{**SMALL, "dim": 32}, contrast=contrast)
        model.base = base
        figures.append(valid_ndcg(model.fit(data), data))
        # The figure that chose the weights is the figure of the model that came out.
        best = max(log.valid["ndcg@20"] for log in model.history["neggen"] if log.valid)
        assert figures[-1] == pytest.approx(best)
    assert figures[0] > 1.2 * valid_ndcg(base, data)
    assert figures[1] > 1.1 * figures[0]
    assert figures[2] > 1.1 * figures[1]


def test_training_learns_which_modality_matters() -> None:
    # The start weighs modalities equally; here pictures are noise, and only texts tell the taste.
    data = planted(users=400)
    vectors = data.vectors
    assert vectors is not None
    rng = np.random.default_rng(0)
    positive, negative = vectors.positive.copy(), vectors.negative.copy()
    positive[:, 0] = rng.normal(size=positive[:, 0].shape)
    negative[:, :, 0] = rng.normal(size=negative[:, :, 0].shape)
    data = data.replace(vectors=ItemVectors(vectors.modalities, positive, negative, vectors.mask))
    settings = {**SMALL, "dim": 20, "epochs": 25, "base": {**BASE, "epochs": 1}}
    model = NegGen(**settings, contrast=1.0, batch_size=500, evaluate_every=5).fit(data)
    start, *later = (log.valid["ndcg@20"] for log in model.history["neggen"] if log.valid)
    assert max(later) > 1.1 * start


# -- phases -----------------------------------------------------------------------------------


@functools.cache
def undisturbed() -> NegGen:
    return NegGen(**interruptible(0)).fit(checkerboard())


def interruptible(checkpoint_seconds: float) -> dict[str, Any]:
    often = {"checkpoint_seconds": checkpoint_seconds, "evaluate_every": 1, "batch_size": 100}
    return {**SMALL, **often, "alpha": 0.1, "beta": 0.1, "base": {**BASE, **often}}


@pytest.mark.parametrize(
    ("phase", "epoch", "checkpoint_seconds"),
    [
        ("lightgcn", 0, 0),
        ("lightgcn", 3, 0),
        ("lightgcn", 3, 3600),
        ("neggen", 0, 0),
        ("neggen", 4, 0),
        ("neggen", 4, 3600),
    ],
)
def test_an_interrupted_fit_ends_like_an_undisturbed_one(
    phase: str, epoch: int, checkpoint_seconds: float, tmp_path: Path
) -> None:
    data = checkerboard()
    settings = interruptible(checkpoint_seconds)

    def stop(name: str, log: EpochLog) -> None:
        if (name, log.epoch) == (phase, epoch):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        NegGen(**settings).fit(data, FitContext(tmp_path, stop))
    seen = []
    context = FitContext(tmp_path, lambda name, log: seen.append((name, log.epoch)))
    resumed = NegGen(**settings).fit(data, context)
    kept = checkpoint_seconds == 0 and epoch > 1
    assert next(when for name, when in seen if name == phase) == (epoch if kept else 0)
    if phase == "neggen":  # phase 1 was finished and is not trained again
        assert "lightgcn" not in dict(seen)
    pairs = zip(resumed.factors(), undisturbed().factors(), strict=True)
    assert all(ours.equal(theirs) for ours, theirs in pairs)
    for name in ("lightgcn", "neggen"):
        ours, theirs = (
            [dataclasses.replace(log, seconds=0) for log in model.history[name]]
            for model in (resumed, undisturbed())
        )
        assert ours == theirs


def test_refuses_a_base_of_other_data() -> None:
    data = checkerboard()
    base = LightGCN(**BASE).fit(data)
    renamed = [f"{name}-new" for name in data.user_ids]
    others = {
        "users": data.replace(user_ids=pl.Series(renamed)),
        "40 items": data.replace(item_ids=data.item_ids.reverse()),
    }
    for words, other in others.items():
        model = NegGen(**SMALL)
        model.base = base
        with pytest.raises(NegGenError, match=f"fitted on other data.*{words}"):
            model.fit(other)
    model = NegGen(**SMALL)
    model.base = LightGCN(**BASE)
    with pytest.raises(NegGenError, match="base recommender is not fitted"):
        model.fit(data)


def test_refuses_heads_that_do_not_divide_the_width() -> None:
    with pytest.raises(NegGenError, match="heads = 8 does not divide dim = 20"):
        NegGen(dim=20)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"base": {"layrs": 1}}, "'base.layrs' .*LightGCNConfig. Did you mean 'layers'"),
        ({"base": {"layers": -1}}, "base.layers = -1 is not allowed"),
        (
            {"backbone": "ease", "base": {"layers": 1}},
            "'base.layers' .*EASEConfig. Known keys: .*reg",
        ),
        ({"backbone": "eas"}, "no model 'eas'. Did you mean 'ease'"),
        ({"backbone": "popularity"}, "backbone = 'popularity' has no vectors of items"),
        ({"backbone": "neggen"}, "backbone = 'neggen' has no vectors of items"),
        ({"score": "embedding", "dim": 32}, "dim = 32, but those of lightgcn are 64 wide"),
        ({"score": "embedding", "backbone": "ease"}, "dim = 64, but ease has none"),
    ],
)
def test_refuses_a_base_it_cannot_stand_on(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(NegGenError, match=message):
        NegGen(**settings)


def test_seed_and_device_of_the_base_follow() -> None:
    base = NegGen(seed=7, base={"seed": 3, "layers": 2}).base_config
    assert (base.seed, base.device, base.layers) == (7, "cpu", 2)


# -- data without records or vectors ----------------------------------------------------------


def test_describes_and_encodes_a_catalogue_by_itself() -> None:
    shop = make_shop(items=40, users=30, interactions_per_user=8)
    data = Dataset.from_frames(shop.interactions, shop.items.drop("image"))
    model = NegGen(**{**SMALL, "epochs": 2}).fit(data)
    users = data.user_ids[:3].to_list()
    assert len(model.recommend(users, k=5)) == 15
    # Text tells 40 items apart: the causal part of their embeddings differs.
    effects = model.effects
    assert effects.shape == (40, 16)
    assert len(effects.unique(dim=0)) > 30

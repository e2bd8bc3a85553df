"""Ranking losses against values worked out by hand, and against their authors' code."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from neggen.errors import NegGenError
from neggen.negatives.base import Draw
from neggen.testing import refuses
from neggen.training.ranking_losses import (
    BPR,
    LOSSES,
    BilateralSoftmax,
    Hinge,
    InfoNCE,
    RankingLoss,
    SampledSoftmax,
    compare,
    ranking_loss,
)

NONE = -math.inf


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_bpr_by_hand() -> None:
    loss = BPR()(torch.tensor([2.0, 0.0]), torch.tensor([[1.0], [3.0]]))
    assert loss.item() == pytest.approx(-(math.log(sigmoid(1)) + math.log(sigmoid(-3))) / 2)


def test_bpr_takes_several_negatives_a_row() -> None:
    loss = BPR()(torch.tensor([1.0]), torch.tensor([[1.0, 0.0, -1.0]]))
    expected = -sum(math.log(sigmoid(margin)) for margin in (0, 1, 2)) / 3
    assert loss.item() == pytest.approx(expected)


def test_bpr_stays_finite_for_hopeless_scores() -> None:
    loss = BPR()(torch.tensor([-500.0]), torch.tensor([[500.0]]))
    assert loss.item() == pytest.approx(1000)


def test_a_gradient_step_on_bpr_by_hand() -> None:
    # d loss / d s⁺ = −σ(s⁻ − s⁺) / batch, and the opposite for s⁻.
    positive = torch.tensor([0.5, -1.0], requires_grad=True)
    negative = torch.tensor([[0.2], [1.5]], requires_grad=True)
    BPR()(positive, negative).backward()
    pull = [sigmoid(0.2 - 0.5) / 2, sigmoid(1.5 + 1.0) / 2]
    assert positive.grad.tolist() == pytest.approx([-pull[0], -pull[1]])
    assert negative.grad.flatten().tolist() == pytest.approx(pull)


def test_hinge_by_hand() -> None:
    # Margins 0.5 − 2 + 1 < 0, 0.5 − 2 + 1.8 = 0.3, 0.5 − 0 − 0.1 = 0.4, 0.5 − 0 + 0.2 = 0.7.
    positive = torch.tensor([2.0, 0.0], requires_grad=True)
    negative = torch.tensor([[1.0, 1.8], [-0.1, 0.2]], requires_grad=True)
    loss = Hinge(margin=0.5)(positive, negative)
    assert loss.item() == pytest.approx((0.3 + 0.4 + 0.7) / 4)
    loss.backward()
    assert positive.grad.tolist() == pytest.approx([-1 / 4, -2 / 4])
    assert negative.grad.tolist() == [[0, 0.25], [0.25, 0.25]]


@pytest.mark.parametrize("loss", [InfoNCE(temperature=0.5), SampledSoftmax(temperature=0.5)])
def test_the_softmax_by_hand(loss: RankingLoss) -> None:
    positive = torch.tensor([0.5], requires_grad=True)
    negative = torch.tensor([[0.25, -0.5]], requires_grad=True)
    total = math.exp(1) + math.exp(0.5) + math.exp(-1)
    value = loss(positive, negative)
    assert value.item() == pytest.approx(-math.log(math.exp(1) / total))
    value.backward()
    # d loss / d s = (softmax − 1 for the positive) / τ.
    assert positive.grad.item() == pytest.approx((math.exp(1) / total - 1) / 0.5)
    shares = [math.exp(0.5) / total / 0.5, math.exp(-1) / total / 0.5]
    assert negative.grad[0].tolist() == pytest.approx(shares)


def test_bsl_by_hand() -> None:
    positive = torch.tensor([0.5], requires_grad=True)
    negative = torch.tensor([[0.25, -0.5]], requires_grad=True)
    total = math.exp(0.5) + math.exp(-1)
    loss = BilateralSoftmax(temperature=0.5, power=1.2)(positive, negative)
    assert loss.item() == pytest.approx(-math.log(math.exp(1) / total**1.2))
    loss.backward()
    assert positive.grad.item() == pytest.approx(-1 / 0.5)
    shares = [1.2 * math.exp(0.5) / total / 0.5, 1.2 * math.exp(-1) / total / 0.5]
    assert negative.grad[0].tolist() == pytest.approx(shares)


@pytest.mark.parametrize("name", LOSSES)
def test_what_is_no_negative_does_not_count(name: str) -> None:
    loss = ranking_loss({"name": name})
    few = loss(torch.tensor([0.5, 0.1]), torch.tensor([[0.3, 0.2], [0.4, -0.6]]))
    padded = torch.tensor([[0.3, NONE, 0.2], [NONE, 0.4, -0.6]])
    assert loss(torch.tensor([0.5, 0.1]), padded).item() == pytest.approx(few.item())


@pytest.mark.parametrize("name", LOSSES)
def test_a_row_without_negatives_teaches_nothing(name: str) -> None:
    positive = torch.tensor([0.5, 0.1], requires_grad=True)
    negative = torch.tensor([[0.3, 0.2], [NONE, NONE]], requires_grad=True)
    loss = ranking_loss({"name": name})(positive, negative)
    loss.backward()
    assert loss.isfinite()
    assert positive.grad[0].item() < 0
    assert positive.grad[1].item() == 0
    assert negative.grad[1].tolist() == [0, 0]
    alone = ranking_loss({"name": name})(positive[1:], negative[1:])
    assert alone.item() == 0


USERS = [[0.3, -0.2, 0.5], [-0.4, 0.1, 0.2], [0.6, 0.6, -0.1]]
POSITIVES = [[0.1, 0.4, 0.3], [-0.2, -0.5, 0.6], [0.7, -0.1, 0.2]]
NEGATIVES = [
    [[0.2, 0.2, -0.3], [0.5, -0.4, 0.1]],
    [[-0.6, 0.3, 0.3], [0.1, 0.1, 0.1]],
    [[0.4, 0.2, 0.9], [-0.3, 0.8, -0.2]],
]


def compared(
    loss: RankingLoss,
    users: torch.Tensor,
    positives: torch.Tensor,
    negatives: torch.Tensor,
    draw: Draw,
) -> torch.Tensor:
    """Compare a batch, made ready as models make their tables."""
    return compare(loss, *map(loss.ready, (users, positives, negatives)), draw)


def learned(
    loss: RankingLoss, negatives: list | None, allowed: torch.Tensor | None = None
) -> tuple[float, list[float], list[float]]:
    """Compare the batch above; return the loss and its gradients to users and to positives."""
    users, positives = (torch.tensor(each, requires_grad=True) for each in (USERS, POSITIVES))
    others = positives if negatives is None else torch.tensor(negatives)
    draw = Draw(torch.zeros(others.shape[:-1], dtype=torch.long), allowed=allowed)
    value = compared(loss, users, positives, others, draw)
    value.backward()
    return value.item(), users.grad.flatten().tolist(), positives.grad.flatten().tolist()


def test_bsl_as_its_authors_code() -> None:
    # BSL(0.15, 1.12, mode="reweight") of github.com/junkangwu/BSL, utils/losses.py at 89e0267, on
    # the cosines of MF_Frame.py's Uniform_loss; loss and gradients as it returned them.
    loss, to_users, to_positives = learned(
        BilateralSoftmax(temperature=0.15, power=1.12), NEGATIVES
    )
    assert loss == pytest.approx(2.5779972, abs=1e-5)
    assert to_users == pytest.approx(
        [1.58939, -4.77304, -2.86285, -0.30292, 4.49427, -2.85299, -2.59186, 2.53304, -0.35292],
        abs=1e-4,
    )
    assert to_positives == pytest.approx(
        [-1.84903, 2.50163, -2.71917, 2.12831, -1.2955, -0.37014, -0.56368, -2.34649, 0.79964],
        abs=1e-4,
    )


@pytest.mark.parametrize("loss", [InfoNCE(), SampledSoftmax()])
def test_ssm_as_its_authors_code(loss: RankingLoss) -> None:
    # github.com/wujcan/SSM-TensorFlow, model/general_recommender/SSM.py at 661767c, flag_l2_norm,
    # temp = 0.1, its TensorFlow calls answered by torch's of the same name. It sums over the batch
    # of 3, so loss and gradients are a third of what it returned.
    own, to_users, _ = learned(loss, NEGATIVES)  # _create_SSM_loss_V3
    assert own == pytest.approx(3.3143021, abs=1e-5)
    assert to_users == pytest.approx(
        [2.0594, -6.76076, -3.93994, -0.48889, 6.54861, -4.25209, -1.17051, 1.12407, -0.27862],
        abs=1e-4,
    )
    shared, to_users, _ = learned(loss, [row[0] for row in NEGATIVES])  # _create_SSM_loss_V2
    assert shared == pytest.approx(4.4934845, abs=1e-5)
    assert to_users == pytest.approx(
        [-0.32098, -2.2128, -0.69253, -0.48853, 6.54855, -4.25133, -2.20081, 1.63762, -3.37911],
        abs=1e-4,
    )
    # _create_SSM_loss: in-batch negatives, all but the own positive.
    in_batch, to_users, to_positives = learned(loss, None, ~torch.eye(3, dtype=torch.bool))
    assert in_batch == pytest.approx(1.9903016, abs=1e-5)
    assert to_users == pytest.approx(
        [0.51357, -5.25847, -2.41153, 0.41924, 1.91927, -0.12116, -2.17206, 2.31721, 0.87091],
        abs=1e-4,
    )
    assert to_positives == pytest.approx(
        [-1.24916, 4.70444, -5.8562, 1.63623, -0.19706, 0.38119, -1.14722, -3.03145, 2.49955],
        abs=1e-4,
    )


def scored(shared: bool) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, Draw]:
    """Return a batch of three with four negatives, some of them masked, of unequal chances."""
    generator = torch.Generator().manual_seed(0)
    users, positives = torch.randn((2, 3, 5), generator=generator)
    negatives = torch.randn((4, 5) if shared else (3, 4, 5), generator=generator)
    items = torch.zeros(negatives.shape[:-1], dtype=torch.long)
    allowed = torch.tensor([[1, 1, 0, 1], [0, 1, 1, 0], [1, 1, 1, 1]], dtype=torch.bool)
    log_q = torch.randn(items.shape, generator=generator)
    positive_log_q = torch.randn(3, generator=generator)
    return users, positives, negatives, Draw(items, None, allowed, log_q, positive_log_q)


@pytest.mark.parametrize("shared", [False, True])
def test_comparing_a_batch_by_hand(shared: bool) -> None:
    users, positives, negatives, draw = scored(shared)
    u, p, n = (each.double().numpy() for each in (users, positives, negatives))
    log_q, positive_log_q = draw.log_q.double().numpy(), draw.positive_log_q.double().numpy()
    pairs, rows = [], []
    for row in range(3):
        logit = u[row] @ p[row] / np.linalg.norm(u[row]) / np.linalg.norm(p[row]) / 0.3
        logits = [logit - positive_log_q[row]]
        for k in range(4):
            if not draw.allowed[row, k]:
                continue
            other = n[k] if shared else n[row, k]
            pairs.append(math.log1p(math.exp(u[row] @ other - u[row] @ p[row])))
            cosine = u[row] @ other / np.linalg.norm(u[row]) / np.linalg.norm(other)
            logits.append(cosine / 0.3 - (log_q[k] if shared else log_q[row, k]))
        rows.append(math.log(sum(math.exp(x) for x in logits)) - logits[0])
    bpr = compared(BPR(), users, positives, negatives, draw)
    assert bpr.item() == pytest.approx(np.mean(pairs), rel=1e-5)
    ssm = compared(SampledSoftmax(temperature=0.3), users, positives, negatives, draw)
    assert ssm.item() == pytest.approx(np.mean(rows), rel=1e-5)


def test_a_constant_of_log_q_does_not_matter() -> None:
    users, positives, negatives, draw = scored(shared=False)
    moved = draw._replace(log_q=draw.log_q + 7, positive_log_q=draw.positive_log_q + 7)
    one, other = (
        compared(SampledSoftmax(), users, positives, negatives, each) for each in (draw, moved)
    )
    assert one.item() == pytest.approx(other.item(), rel=1e-5)


def test_the_correction_estimates_the_softmax_over_all_items() -> None:
    # Many draws by q, corrected, against the sum over all items: log of Σ e^s / (e^s⁺ + Σ e^s).
    generator = torch.Generator().manual_seed(0)
    user, items = torch.randn(6, generator=generator), torch.randn((50, 6), generator=generator)
    q = torch.rand(50, generator=generator).square() + 0.01
    count = 200_000
    drawn = torch.multinomial(q, count, replacement=True, generator=generator)
    chances = q / q.sum() * count  # how often each is drawn
    draw = Draw(drawn, log_q=chances.log()[drawn], positive_log_q=torch.zeros(1))
    loss = compared(SampledSoftmax(temperature=0.5), user[None], items[:1], items[drawn], draw)
    cosines = torch.cosine_similarity(user[None], items).double() / 0.5
    exact = torch.logsumexp(torch.cat([cosines[:1], cosines]), 0) - cosines[0]
    assert loss.item() == pytest.approx(exact.item(), rel=0.01)


def test_settings() -> None:
    assert ranking_loss({"name": "bsl", "power": 1.3}) == BilateralSoftmax(power=1.3)
    with refuses("no ranking loss 'bpd'", "'bpr'"):
        ranking_loss({"name": "bpd"})
    with refuses("'loss.temprature'", "'temperature'"):
        ranking_loss({"name": "ssm", "temprature": 0.1})
    with refuses("has no name", "infonce"):
        ranking_loss({"temperature": 0.1})
    with pytest.raises(NegGenError, match="temperature"):
        ranking_loss({"name": "ssm", "temperature": 0})

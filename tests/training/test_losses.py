"""Losses against values worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn.functional import cosine_similarity

from neggen.training.losses import info_nce, separation


def test_separation_by_hand() -> None:
    effects = torch.tensor([[1.0, 0.0], [0.0, 2.0], [0.0, 0.0]], requires_grad=True)
    contexts = torch.tensor([[3.0, -4.0], [-1.0, 0.0], [1.0, 1.0]])
    loss = separation(effects, contexts)
    assert loss.item() == pytest.approx((0.6 + 0 + 0) / 3)
    loss.backward()
    assert effects.grad.isfinite().all()
    # |cos| of (1, y) and (3, −4) is |3 − 4y| / 5√(1 + y²); at y = 0 its slope is −4/5.
    assert effects.grad[0].tolist() == pytest.approx([0.0, -0.8 / 3])


def test_info_nce_is_the_formula() -> None:
    torch.manual_seed(0)
    batch, completions, tau = 5, 3, 0.2
    anchors, positives = torch.randn(batch, 4), torch.randn(batch, 4) * 7
    negatives = torch.randn(batch, completions, 4)
    expected = 0.0
    for row in range(batch):

        def weight(vector: torch.Tensor, row: int = row) -> float:
            return math.exp(cosine_similarity(anchors[row], vector, dim=0).item() / tau)

        others = sum(weight(positives[j]) for j in range(batch) if j != row)
        own = sum(weight(negatives[row, c]) for c in range(completions))
        top = weight(positives[row])
        expected -= math.log(top / (top + others + own)) / batch
    assert info_nce(anchors, positives, negatives, tau).item() == pytest.approx(expected, rel=1e-5)


def test_info_nce_does_not_push_an_item_from_itself() -> None:
    generator = torch.Generator().manual_seed(3)
    anchors, positives = (torch.randn(3, 4, generator=generator) for _ in range(2))
    negatives = torch.randn(3, 1, 4, generator=generator)
    positives[2] = positives[0]
    items = torch.tensor([7, 5, 7])
    found = info_nce(anchors, positives, negatives, 0.3, items)
    unit = [torch.nn.functional.normalize(each, dim=-1) for each in (anchors, positives, negatives)]
    rows = []
    for row, rivals in enumerate(([1], [0, 2], [1])):
        logits = [unit[0][row] @ unit[1][row]]
        logits += [unit[0][row] @ unit[1][rival] for rival in rivals]
        logits.append(unit[0][row] @ unit[2][row, 0])
        exponents = torch.stack(logits) / 0.3
        rows.append(torch.logsumexp(exponents, 0) - exponents[0])
    assert torch.allclose(found, torch.stack(rows).mean())


def test_info_nce_of_a_zero_negative_is_that_without() -> None:
    generator = torch.Generator().manual_seed(0)
    anchors, positives = (torch.randn(3, 4, generator=generator) for _ in range(2))
    some = torch.randn(3, 2, 4, generator=generator)
    some[:, 1] = 0
    found = info_nce(anchors, positives, some, 0.3)
    assert found.equal(info_nce(anchors, positives, some[:, :1], 0.3))

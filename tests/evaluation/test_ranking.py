"""The vectorized figures against textbook definitions, one user and one rank at a time."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from neggen.errors import NegGenError
from neggen.evaluation import ranking
from neggen.evaluation.ranking import RankingResult, evaluate_ranking


def reference(scores, seen, target, k, candidates):
    """Return every figure of one user by definition: sort, cut, count."""
    allowed = [i for i in range(len(scores)) if candidates[i] and not seen[i]]
    top = sorted(allowed, key=lambda i: -scores[i])[:k]
    hits = [target[i] for i in top]
    n = sum(target)
    dcg = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits, 1) if hit)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(n, k) + 1))
    precisions = [sum(hits[:rank]) / rank for rank, hit in enumerate(hits, 1) if hit]
    return {
        f"recall@{k}": sum(hits) / n,
        f"precision@{k}": sum(hits) / k,
        f"hit@{k}": float(any(hits)),
        f"mrr@{k}": 1 / (hits.index(True) + 1) if any(hits) else 0.0,
        f"ndcg@{k}": dcg / ideal,
        f"map@{k}": sum(precisions) / min(n, k),
    }, top


def measure(scores, seen, target, **options) -> RankingResult:
    table = torch.from_numpy(scores)
    return evaluate_ranking(
        lambda users: table[users], csr_matrix(seen), csr_matrix(target), **options
    )


def problem(seed: int, users: int, items: int, density: float):
    """Return scores without ties, and disjoint seen and target pairs."""
    rng = np.random.default_rng(seed)
    scores = rng.permuted(np.tile(np.arange(items, dtype=np.float32), (users, 1)), axis=1)
    kind = rng.random((users, items))
    seen, target = kind < density, kind > 1 - density
    return scores, seen.astype(np.float32), target.astype(np.float32)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    users=st.integers(1, 12),
    items=st.integers(2, 30),
    density=st.floats(0.02, 0.5),
    some_items=st.booleans(),
)
def test_equals_the_textbook(seed, users, items, density, some_items) -> None:
    scores, seen, target = problem(seed, users, items, density)
    candidates = np.arange(items) % 3 != 1 if some_items else None
    ks = (1, 3, 10, 50)
    result = measure(scores, seen, target, ks=ks, candidates=candidates)
    evaluated = np.flatnonzero(target.sum(1))
    assert result.users.tolist() == evaluated.tolist()
    allowed = np.ones(items, dtype=bool) if candidates is None else candidates
    for k in ks:
        shown = set()
        for position, user in enumerate(evaluated):
            row = scores[user].tolist()
            figures, top = reference(row, seen[user] > 0, (target[user] > 0).tolist(), k, allowed)
            shown.update(top)
            assert [i for i in result.lists[position, :k] if i >= 0] == top
            for name, value in figures.items():
                assert result.per_user[name][position] == pytest.approx(value, abs=1e-6), name
        assert result.coverage[f"coverage@{k}"] == pytest.approx(len(shown) / allowed.sum())


def test_one_list_by_hand() -> None:
    # Item 3 is seen, so the list is 0 1 2 4 with hits at ranks 2 and 4; item 5 is never reached.
    scores = np.array([[9, 8, 7, 6, 5, 1]], dtype=np.float32)
    seen = np.array([[0, 0, 0, 1, 0, 0]], dtype=np.float32)
    target = np.array([[0, 1, 0, 0, 1, 1]], dtype=np.float32)
    figures = measure(scores, seen, target, ks=[4]).metrics
    assert figures["recall@4"] == pytest.approx(2 / 3)
    assert figures["precision@4"] == pytest.approx(2 / 4)
    assert figures["mrr@4"] == pytest.approx(1 / 2)
    assert figures["map@4"] == pytest.approx((1 / 2 + 2 / 4) / 3)
    dcg, ideal = 1 / math.log2(3) + 1 / math.log2(5), 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert figures["ndcg@4"] == pytest.approx(dcg / ideal)


def test_memory_bound_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    scores, seen, target = problem(3, users=25, items=30, density=0.3)
    whole = measure(scores, seen, target)
    sizes = []
    table = torch.from_numpy(scores)

    def score(users: torch.Tensor) -> torch.Tensor:
        sizes.append(len(users))
        return table[users]

    monkeypatch.setattr(ranking, "CHUNK_SCORES", 4 * 30)
    parts = evaluate_ranking(score, csr_matrix(seen), csr_matrix(target))
    assert max(sizes) == 4
    assert sum(sizes) == len(whole.users)
    assert parts.users.tolist() == whole.users.tolist()
    assert parts.coverage == whole.coverage
    for name, values in whole.per_user.items():
        assert parts.per_user[name].tolist() == values.tolist()


def test_users_without_a_target_do_not_count() -> None:
    scores = np.array([[3, 2, 1]] * 3, dtype=np.float32)
    target = np.array([[0, 0, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32)
    result = measure(scores, np.zeros_like(target), target, ks=[1])
    assert result.users.tolist() == [1]
    assert result.metrics["recall@1"] == 1
    assert result.metrics["coverage@1"] == pytest.approx(1 / 3)


def test_figures_keep_their_names_in_a_small_catalog() -> None:
    scores = np.array([[3, 2, 1]], dtype=np.float32)
    target = np.array([[0, 1, 0]], dtype=np.float32)
    figures = measure(scores, np.zeros_like(target), target, ks=[20, 50]).metrics
    assert figures["recall@20"] == figures["recall@50"] == 1
    assert figures["precision@20"] == pytest.approx(1 / 20)


def test_what_cannot_be_ranked_is_never_found() -> None:
    # Only one item may be listed, and it is seen: targets outside the ranking are misses.
    scores = np.array([[3, 2, 1]], dtype=np.float32)
    seen, target = np.array([[1, 0, 0]], np.float32), np.array([[0, 1, 1]], np.float32)
    candidates = np.array([True, False, False])
    figures = measure(scores, seen, target, ks=[3], candidates=candidates).metrics
    assert figures["recall@3"] == figures["coverage@3"] == 0


def test_scores_that_are_no_numbers_are_refused() -> None:
    scores = np.array([[3, 2, 1], [3, np.nan, 1]], dtype=np.float32)
    target = np.array([[0, 1, 0], [0, 0, 1]], dtype=np.float32)
    with pytest.raises(NegGenError, match="scored some items as NaN"):
        measure(scores, np.zeros_like(target), target, ks=[2])

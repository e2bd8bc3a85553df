"""Graphs of like items against dense ones, built from the definitions."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from neggen.data.readers import read_source
from neggen.data.vectors import Features, ItemGraph
from neggen.models.item_graphs import (
    item_adjacency,
    item_graphs,
    nearest_graph,
    normalized_weights,
    tie_weights,
)
from neggen.testing import checkerboard, refuses


def some_features(seed: int = 0) -> Features:
    """Return features of twelve items, of which 3 and 7 have none."""
    values = np.random.default_rng(seed).normal(0.3, 1, (12, 5)).astype(np.float32)
    values[[3, 7]] = 0
    return Features(values, values.any(axis=1))


def dense_cosines(features: Features) -> np.ndarray:
    values = features.values.astype(np.float64)
    norms = np.linalg.norm(values, axis=1)
    present = features.mask
    cosines = np.full((len(values), len(values)), -np.inf)
    inside = values[present] / norms[present, None]
    cosines[np.ix_(present, present)] = inside @ inside.T
    return cosines


def dense_adjacency(features: Features, k: int, weighting: str) -> np.ndarray:
    """Return D^(−1/2) A D^(−1/2) with the row sums of A, entry by entry."""
    cosines = dense_cosines(features)
    ties = np.zeros_like(cosines)
    for item in np.flatnonzero(features.mask):
        for near in np.argsort(-cosines[item])[:k]:
            ties[item, near] = 1 if weighting == "binary" else max(cosines[item, near], 0)
    sums = ties.sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(ties > 0, ties / np.sqrt(np.outer(sums, sums)), 0)


def test_the_nearest_by_cosine_itself_first() -> None:
    features = some_features()
    graph, cosines = nearest_graph(features, 4, "cpu"), dense_cosines(features)
    assert graph.neighbors.shape == graph.cosines.shape == (12, 4)
    assert (graph.mask == features.mask).all()
    for item in np.flatnonzero(features.mask):
        assert graph.neighbors[item].tolist() == np.argsort(-cosines[item])[:4].tolist()
        assert graph.neighbors[item, 0] == item
        assert np.allclose(graph.cosines[item], cosines[item][graph.neighbors[item]], atol=1e-6)


@pytest.mark.parametrize(("k", "expected"), [(1, 1), (10, 10), (50, 10)])
def test_as_many_as_there_are(k: int, expected: int) -> None:
    assert nearest_graph(some_features(), k, "cpu").neighbors.shape == (12, expected)
    nothing = Features(np.zeros((3, 2), np.float32), np.zeros(3, bool))
    assert not nearest_graph(nothing, k, "cpu").mask.any()


@pytest.mark.parametrize("weighting", ["binary", "cosine"])
@pytest.mark.parametrize("k", [1, 4, 10])
def test_normalization_of_one_modality_is_the_dense_one(k: int, weighting: str) -> None:
    features = some_features()
    graph = nearest_graph(features, k, "cpu")
    adjacency = item_adjacency({"image": graph}, weighting, "cpu")
    expected = dense_adjacency(features, k, weighting)
    assert np.allclose(adjacency.matrix.to_dense(), expected, atol=1e-6)
    assert np.allclose(adjacency.transpose.to_dense(), expected.T, atol=1e-6)
    assert adjacency.matrix.crow_indices().dtype == torch.int32


def test_modalities_are_a_weighted_mean() -> None:
    both = {"image": some_features(0), "text": some_features(1)}
    graphs = {name: nearest_graph(given, 4, "cpu") for name, given in both.items()}
    image, text = (dense_adjacency(given, 4, "binary") for given in both.values())
    one_to_three = item_adjacency(graphs, "binary", "cpu", {"image": 2, "text": 6})
    assert np.allclose(one_to_three.matrix.to_dense(), 0.25 * image + 0.75 * text, atol=1e-6)
    equal = item_adjacency(graphs, "binary", "cpu")
    assert np.allclose(equal.matrix.to_dense(), (image + text) / 2, atol=1e-6)


def test_smoothing_and_its_gradient_on_a_graph_that_is_not_symmetric() -> None:
    adjacency = item_adjacency({"image": nearest_graph(some_features(), 4, "cpu")}, "cosine", "cpu")
    dense = adjacency.matrix.to_dense()
    assert not torch.allclose(dense, dense.T, atol=0.01)
    nodes, target = torch.randn(2, 12, 3, generator=torch.Generator().manual_seed(0))
    ours, theirs = nodes.clone().requires_grad_(), nodes.clone().requires_grad_()
    smoothed, expected = adjacency.smooth(adjacency.smooth(ours)), dense @ (dense @ theirs)
    assert torch.allclose(smoothed, expected, atol=1e-6)
    (smoothed * target).square().sum().backward()
    (expected * target).square().sum().backward()
    assert torch.allclose(ours.grad, theirs.grad, atol=1e-6)


def test_weights_are_differentiable() -> None:
    neighbors, weights = tie_weights(nearest_graph(some_features(), 4, "cpu"), "cosine", "cpu")
    weights = weights.double().requires_grad_()
    normalized_weights(neighbors, weights).square().sum().backward()
    assert weights.grad.isfinite().all()  # also of items without neighbors
    everybody = torch.arange(5)[:, None] + torch.arange(3) & 3  # [5, 3]
    random = torch.rand(5, 3, dtype=torch.double, generator=torch.Generator().manual_seed(0))
    random.requires_grad_()
    assert torch.autograd.gradcheck(lambda given: normalized_weights(everybody, given), random)


def test_a_published_normalization() -> None:
    # What get_sparse_laplacian(..., normalization="sym") of src/utils/utils.py in
    # github.com/enoche/MMRec (e775373) returns for these ties.
    graph = ItemGraph(
        np.array([[0, 1], [1, 2], [2, 0]], np.int32),
        np.array([[1, 0.5], [1, 0.25], [1, 0.75]], np.float32),
    )
    expected = [[0.66666663, 0.36514837], [0.79999995, 0.16903086], [0.57142866, 0.46291006]]
    found = normalized_weights(*tie_weights(graph, "cosine", "cpu"))
    assert np.allclose(found, expected, atol=1e-6)


def test_normalization_of_published_graphs() -> None:
    folder = Path(os.environ.get("NEGGEN_DATA", ""), "amazon-baby")
    if not (folder / "image_knn10.npz").is_file():
        pytest.skip("NEGGEN_DATA does not name a folder with the graphs of amazon-baby")
    with np.load(folder / "image_knn10.npz") as stored:
        src, dst, published, cosine = (stored[k] for k in ("src", "dst", "norm_w", "cosine"))
    graph = read_source(folder).graphs["image"]
    adjacency = item_adjacency({"image": graph}, "cosine", "cpu").matrix.to_dense().numpy()
    known = ~np.isnan(cosine)
    assert np.allclose(adjacency[src, dst][known], published[known], atol=1e-6)
    assert np.count_nonzero(adjacency) == known.sum()


def test_a_given_graph_comes_before_features_and_is_cut() -> None:
    given = ItemGraph(
        np.tile(np.arange(3, dtype=np.int32), (40, 1)), np.full((40, 3), 0.5, np.float32)
    )
    data = checkerboard().replace(graphs={"image": given})
    vectors = data.vectors
    assert vectors is not None
    features = {
        modality: Features(vectors.positive[:, m], vectors.mask[:, m])
        for m, modality in enumerate(vectors.modalities)
    }
    graphs = item_graphs(data, features, 2, "cpu")
    assert graphs["image"].neighbors.tolist() == [[0, 1]] * 40
    expected = nearest_graph(features["text"], 2, "cpu")
    assert (graphs["text"].neighbors == expected.neighbors).all()
    assert list(item_graphs(data, {}, 3, "cpu")) == ["image"]
    with refuses("graph 'image' has 3 neighbors", "not 4", "neighbors=3"):
        item_graphs(data, features, 4, "cpu")

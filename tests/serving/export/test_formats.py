"""Exports give outside programs the model's own lists."""

from __future__ import annotations

from pathlib import Path

import faiss
import numpy as np
import onnx
import onnxruntime
import polars as pl
import pytest
import torch

import neggen
from neggen.models.base import Recommender
from neggen.serving.export import export_run, write_onnx
from neggen.serving.export.scoring import check_against, seen_mask
from neggen.testing import refuses

K = 20
BY_VECTORS = ["mf", "popularity", "content-knn", "neggen"]
BY_MATRIX = ["ease", "item-knn", "neggen-linear", "neggen on ease"]


def own_lists(model: Recommender) -> dict[str, list[str]]:
    frame = model.recommend(model.user_ids.to_list(), K)
    return {user: own["item_id"].to_list() for (user,), own in frame.group_by("user_id")}


def assert_same_lists(model: Recommender, lists: dict[str, list[str]]) -> None:
    """The same items in the same order, apart from items with the same score."""
    position = {item: number for number, item in enumerate(model.item_ids)}
    for user, own in own_lists(model).items():
        theirs = lists[user]
        assert len(set(theirs)) == len(theirs) == len(own)
        if theirs != own:
            index = torch.tensor([model.user_ids.to_list().index(user)])
            scores = model.score_index(index)[0].numpy()
            ours, found = (scores[[position[item] for item in each]] for each in (own, theirs))
            assert np.allclose(ours, found, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", [*BY_VECTORS, *BY_MATRIX])
def test_onnx_finds_the_same_best_items(name: str, trained, tmp_path: Path) -> None:
    run = trained(name)
    figures = export_run(run, tmp_path, ["onnx"])
    model, history = run.load_model(), run.load_data().train
    users = np.arange(len(model.user_ids))
    assert figures["onnx"] == {"opset": 17, "checked users": len(users)}
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "scorer.onnx")
    given = {
        "users": users,
        "history": history.toarray(),
        "seen": seen_mask(model, users),
        "k": np.array([K]),
    }
    inputs = {each.name: given[each.name] for each in session.get_inputs()}
    assert ("history" in inputs) == (name in BY_MATRIX)
    scores, positions, ids = session.run(["scores", "positions", "item_ids"], inputs)
    assert scores.shape == positions.shape == ids.shape == (len(users), K)
    assert (model.item_ids.to_numpy()[positions] == ids).all()
    table = pl.read_parquet(tmp_path / "onnx" / "users.parquet")
    assert table["number"].to_list() == users.tolist()
    assert_same_lists(model, dict(zip(table["user_id"], ids.tolist(), strict=True)))


def test_onnx_ranks_a_stranger_by_their_history(trained, tmp_path: Path) -> None:
    run = trained("ease")
    export_run(run, tmp_path, ["onnx"])
    model = run.load_model()
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "scorer.onnx")
    history = np.zeros((1, len(model.item_ids)), dtype=np.float32)
    history[0, [3, 5]] = 1
    (scores,) = session.run(["scores"], {"history": history, "seen": history > 0, "k": [9]})
    wanted = (torch.from_numpy(history) @ model.weights)[0]
    wanted[[3, 5]] = -torch.inf
    assert np.allclose(scores[0], wanted.topk(9).values, rtol=1e-5, atol=1e-6)


def test_onnx_gives_at_most_all_items(trained, tmp_path: Path) -> None:
    export_run(trained("mf"), tmp_path, ["onnx"])
    session = onnxruntime.InferenceSession(tmp_path / "onnx" / "scorer.onnx")
    items = session.get_inputs()[1].shape[1]
    seen = np.zeros((2, items), dtype=bool)
    seen[1] = True
    inputs = {"users": np.array([4, 2]), "seen": seen, "k": np.array([10_000])}
    scores, ids = session.run(["scores", "item_ids"], inputs)
    assert sorted(ids[0]) == sorted(trained("mf").load_model().item_ids)
    assert np.isneginf(scores[1]).all()


def test_large_weights_lie_in_a_file_of_their_own(
    trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("neggen.serving.export.onnx_scorer.LARGEST_FILE", 1000)
    write_onnx(trained("ease").load_model(), tmp_path)
    assert (tmp_path / "scorer.weights").stat().st_size > 1000
    assert onnx.load(tmp_path / "scorer.onnx").opset_import[0].version == 17


@pytest.mark.parametrize("name", BY_VECTORS)
def test_faiss_finds_the_same_best_items(name: str, trained, tmp_path: Path) -> None:
    run = trained(name)
    figures = export_run(run, tmp_path, ["faiss"], hnsw=True)
    model, folder = run.load_model(), tmp_path / "faiss"
    ids = pl.read_parquet(folder / "items.parquet")["item_id"].to_numpy()
    users = pl.read_parquet(folder / "users.parquet")
    index = faiss.read_index(str(folder / "items.faiss"))
    lists = {}
    for number, (user, vector) in enumerate(users.iter_rows()):
        seen = seen_mask(model, np.array([number]))[0]
        allowed = faiss.IDSelectorBatch(np.flatnonzero(~seen))
        _, found = index.search(
            np.array([vector], dtype=np.float32), K, params=faiss.SearchParameters(sel=allowed)
        )
        lists[user] = ids[found[0]].tolist()
    assert_same_lists(model, lists)
    near = faiss.read_index(str(folder / "items.hnsw.faiss"))
    assert near.ntotal == len(ids)
    assert figures["faiss"]["checked users"] == len(users)
    assert figures["faiss"]["hnsw recall@20"] > (0 if name == "popularity" else 0.9)


def test_parquet_vectors_multiply_to_the_scores(trained, tmp_path: Path) -> None:
    run = trained("neggen")
    figures = export_run(run, tmp_path, ["parquet"])
    users, items = (
        pl.read_parquet(tmp_path / "parquet" / f"{kind}.parquet") for kind in ("users", "items")
    )
    products = users["vector"].to_numpy() @ items["vector"].to_numpy().T
    model = run.load_model()
    scores = model.score_index(torch.arange(len(users))).numpy()
    assert figures["parquet"] == {"d": users["vector"].to_numpy().shape[1]}
    assert np.allclose(products, scores, rtol=1e-4, atol=1e-5)
    assert users["user_id"].equals(model.user_ids)
    assert items["item_id"].equals(model.item_ids)


@pytest.mark.parametrize("name", BY_MATRIX)
def test_a_matrix_of_items_is_no_vectors(name: str, trained, tmp_path: Path) -> None:
    for kind in ("parquet", "faiss"):
        with refuses("by a matrix of items", "--format onnx"):
            export_run(trained(name), tmp_path, ["onnx", kind])
    assert list(tmp_path.iterdir()) == []


def test_the_check_finds_other_items(trained) -> None:
    model = trained("mf").load_model()
    first = model.user_ids[0]

    def worst(users, k):
        scores = model.score_index(torch.from_numpy(users))
        return scores.topk(k, largest=False).indices.numpy()

    def repeated(users, k):
        seen = torch.from_numpy(seen_mask(model, users))
        scores = model.score_index(torch.from_numpy(users)).masked_fill(seen, -torch.inf)
        return scores.topk(k).indices[:, :1].repeat(1, k).numpy()

    for wrong in (worst, repeated):
        with refuses("A stand-in finds other best items", f"'{first}'", "nothing was exported"):
            check_against(model, "A stand-in", wrong)


def test_refusals(trained, tmp_path: Path) -> None:
    run = trained("mf")
    with refuses("no format 'onxn'", "Did you mean 'onnx'"):
        export_run(run, tmp_path, ["onxn"])
    with refuses("--hnsw"):
        export_run(run, tmp_path, ["onnx"], hnsw=True)
    with refuses("--license"):
        export_run(run, tmp_path, ["onnx"], license="mit")
    export_run(run, tmp_path, ["parquet"])
    with refuses("exists already", "--overwrite"):
        export_run(run, tmp_path, ["onnx", "parquet"])
    assert [path.name for path in tmp_path.iterdir()] == ["parquet"]
    (tmp_path / "parquet" / "stale").touch()
    export_run(run, tmp_path, ["parquet"], overwrite=True)
    assert not (tmp_path / "parquet" / "stale").exists()
    with refuses("not fitted"):
        write_onnx(neggen.MF(), tmp_path)

"""Given graphs of like items: what is read, what is masked, what is refused."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest

from neggen.data.readers import read_source
from neggen.data.vectors import ItemGraph
from neggen.testing import refuses

NAN = float("nan")
TIES = [(2, 0, 0.25), (2, 2, 1.0), (0, 0, 1.0), (0, 3, 0.5), (0, 2, NAN), (1, 0, NAN), (3, 3, 1.0)]


def graph_file(folder: Path, name: str = "image_knn3.npz", **changes: object) -> Path:
    """Write four items, of which item 1 has no features, beside two users' interactions."""
    (folder / "toys.inter").write_text("userID\titemID\tx_label\n0\t3\t0\n0\t1\t1\n2\t1\t2\n")
    src, dst, cosine = zip(*TIES, strict=True)
    arrays = {
        "src": np.array(src, np.int32),
        "dst": np.array(dst, np.int32),
        "cosine": np.array(cosine, np.float32),
        "norm_w": np.full(len(src), 7.0),
        "n_items": np.array(4),
        **changes,
    }
    np.savez_compressed(folder / name, **{k: v for k, v in arrays.items() if v is not None})
    return folder / name


def test_rows_are_sorted_by_likeness_and_ties_without_a_cosine_left_out(tmp_path: Path) -> None:
    graph_file(tmp_path)
    (tmp_path / "i_id_mapping.csv").touch()
    data = read_source(tmp_path)
    assert data.item_ids.to_list() == ["0", "1", "2", "3"]
    assert data.features == {}
    (modality,) = data.graphs
    graph = data.graphs[modality]
    assert modality == "image"
    assert graph.neighbors.tolist() == [[0, 3], [-1, -1], [2, 0], [3, -1]]
    assert graph.cosines.tolist() == [[1, 0.5], [0, 0], [1, 0.25], [1, 0]]
    assert graph.mask.tolist() == [True, False, True, True]
    assert (graph.neighbors.dtype, graph.cosines.dtype) == (np.int32, np.float32)
    assert data.notes == (
        "Masked 1 of 4 items of image_knn3.npz: no neighbor known.",
        "Left out 1 ties of other items of image_knn3.npz: no cosine.",
        f"Not used from {tmp_path}: i_id_mapping.csv.",
    )


def test_any_modality_and_weights_that_are_not_there(tmp_path: Path) -> None:
    graph_file(tmp_path, "audio_knn.npz", norm_w=None, n_items=None)
    graph_file(tmp_path, "text_knn10.npz", cosine=np.full(7, 1 + 1e-6))
    data = read_source(tmp_path)
    assert list(data.graphs) == ["audio", "text"]
    assert data.graphs["text"].cosines.max() == 1
    assert data.graphs["text"].mask.all()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"src": np.full(7, -1)}, ["src = -1", "0 to 3"]),
        ({"dst": np.full(7, 4, np.uint8)}, ["dst = 4", "0 to 3"]),
        ({"dst": np.zeros(7)}, ["dst of shape (7,) and type float64"]),
        ({"src": np.zeros((7, 1), int)}, ["src of shape (7, 1)"]),
        ({"src": np.zeros(6, int)}, ["shapes (6,), (7,) and (7,)"]),
        ({"cosine": np.float32(1)}, ["shapes (7,), (7,) and ()"]),
        ({"cosine": np.full(7, 1.1)}, ["cosine that is no number from -1 to 1"]),
        ({"cosine": np.full(7, -np.inf)}, ["cosine that is no number from -1 to 1"]),
        ({"cosine": np.array(["a"] * 7)}, ["cosine that is no number from -1 to 1"]),
        ({"cosine": None}, ["lacks an array", "cosine"]),
        ({"n_items": np.array(5)}, ["n_items = 5 for 4 items"]),
        ({"n_items": np.array(["4", "4"])}, ["n_items"]),
        ({"src": np.zeros(7, int), "dst": np.zeros(7, int)}, ["a neighbor of an item twice"]),
        ({"src": np.array([{}] * 7, dtype=object)}, ["not a file of plain NumPy arrays"]),
        ({"norm_w": np.zeros(8001)}, ["too large for 4 items"]),
    ],
)
def test_a_graph_that_does_not_fit(
    tmp_path: Path, changes: dict[str, object], words: list[str]
) -> None:
    graph_file(tmp_path, **changes)
    with refuses("image_knn3.npz", *words):
        read_source(tmp_path)


def test_damaged_files(tmp_path: Path) -> None:
    path = graph_file(tmp_path)
    whole = path.read_bytes()
    for damaged in (b"", b"rubbish", whole[:-30], whole[:90] + b"\0\0\0\0" + whole[94:]):
        path.write_bytes(damaged)
        with refuses("image_knn3.npz is not a file of plain NumPy arrays"):
            read_source(tmp_path)
    with zipfile.ZipFile(path, "w") as archive:  # a header that claims far more than there is
        header = "{'descr': '<f8', 'fortran_order': False, 'shape': (4000000000000,), }"
        start = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        for name in ("src", "dst", "cosine"):
            archive.writestr(f"{name}.npy", start + header.encode())
    with refuses("image_knn3.npz is not a file of plain NumPy arrays"):
        read_source(tmp_path)


def test_two_graphs_of_one_modality(tmp_path: Path) -> None:
    graph_file(tmp_path)
    graph_file(tmp_path, "image_knn5.npz")
    with refuses("two graphs of the modality 'image' (image_knn3.npz, image_knn5.npz)"):
        read_source(tmp_path)


def test_no_ties_at_all() -> None:
    none = np.zeros(0, np.int64)
    graph = ItemGraph.from_ties(none, none, np.zeros(0, np.float32), 3)
    assert graph.neighbors.shape == (3, 0)
    assert graph.mask.tolist() == [False] * 3

"""The whole way from a user to the best items as one ONNX graph."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import neggen
from neggen.errors import from_extra
from neggen.models.base import Recommender
from neggen.serving.export.scoring import Scoring, check_against, ids_of, scoring_of, seen_mask

OPSET = 17
IR_VERSION = 8
"""Of 2022, so that older runtimes read the file, too."""
LARGEST_FILE = 2**30
"""Bytes of weights from which on they lie in a file of their own; protobuf ends at 2 GiB."""


def write_onnx(model: Recommender, folder: Path) -> dict[str, int]:
    """Write ``scorer.onnx``, and ``users.parquet`` with the number of every user id.

    Inputs, of which a model has those that it needs:

    - ``users``: numbers of users, int64 ``[batch]``, where it scores by vectors;
    - ``history``: 1 where the user has used the item, float32 ``[batch, items]``, where it scores
      by a matrix of items: anybody's history, also an unknown person's;
    - ``seen``: True where the item is not to be recommended, bool ``[batch, items]``;
    - ``k``: how many items, int64 ``[1]``.

    Outputs, best first, ``[batch, k]``: ``scores`` float32 (−∞ for what was seen), ``positions``
    int64 and ``item_ids`` text. The graph is run by ONNX Runtime and must find the same best items
    as the model.

    Returns:
        The opset and how many users were checked.

    Raises:
        NegGenError: If the model scores in another way, ONNX is missing, or finds other items.
    """
    with from_extra("export", "The format onnx needs onnx and onnxruntime"):
        import onnx
        import onnxruntime
    scoring = scoring_of(model)
    user_ids, item_ids = ids_of(model)
    graph = _graph(scoring, item_ids.to_list())
    path = folder / "scorer.onnx"
    large = sum(len(each.raw_data) for each in graph.graph.initializer) > LARGEST_FILE
    graph.metadata_props.add(key="model", value=model.name)
    graph.metadata_props.add(key="neggen", value=neggen.__version__)
    onnx.save_model(graph, path, save_as_external_data=large, location="scorer.weights")
    onnx.checker.check_model(path, full_check=True)
    numbers = np.arange(len(user_ids), dtype=np.int64)
    user_ids.to_frame("user_id").with_columns(number=numbers).write_parquet(
        folder / "users.parquet"
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

    def best(batch: NDArray[np.int64], k: int) -> NDArray[np.int64]:
        inputs = {"seen": seen_mask(model, batch), "k": np.array([k])}
        if scoring.users is not None:
            inputs["users"] = batch
        if scoring.history is not None:
            inputs["history"] = scoring.history[batch].toarray()
        scores, positions = session.run(["scores", "positions"], inputs)
        found: NDArray[np.int64] = np.where(np.isfinite(scores), positions, -1)
        return found

    return {"opset": OPSET, "checked users": check_against(model, "ONNX Runtime", best)}


def _graph(scoring: Scoring, item_ids: list[str]) -> Any:
    """Return the model of inputs, weights and steps that :func:`write_onnx` describes."""
    from onnx import TensorProto, helper, numpy_helper

    def node(kind: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, list(outputs), **attributes))
        return outputs[0]

    def weight(name: str, values: NDArray[Any]) -> str:
        weights.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def value(name: str, kind: int, *shape: str | int) -> Any:
        return helper.make_tensor_value_info(name, kind, shape)

    count = len(item_ids)
    nodes: list[Any] = []
    weights: list[Any] = []
    inputs: list[Any] = []
    summands = []
    if scoring.users is not None and scoring.items is not None:
        inputs.append(value("users", TensorProto.INT64, "batch"))
        user = node("Gather", [weight("user_vectors", scoring.users), "users"], "user")
        items = weight("item_vectors", scoring.items.T)  # [d, items]
        summands.append(node("MatMul", [user, items], "by_vectors"))  # [batch, items]
    if scoring.weights is not None:
        inputs.append(value("history", TensorProto.FLOAT, "batch", count))
        matrix = weight("item_weights", scoring.weights)  # [items, items]
        summands.append(node("MatMul", ["history", matrix], "by_history"))  # [batch, items]
    inputs.append(value("seen", TensorProto.BOOL, "batch", count))
    inputs.append(value("k", TensorProto.INT64, 1))
    total = summands[0] if len(summands) == 1 else node("Add", summands, "total")
    never = weight("never", np.array(-np.inf, dtype=np.float32))
    unseen = node("Where", ["seen", never, total], "unseen")
    k = node("Min", ["k", weight("item_count", np.array([count]))], "at_most")
    node("TopK", [unseen, k], "scores", "positions", axis=1, largest=1, sorted=1)
    node("Gather", [weight("ids", np.array(item_ids, dtype=object)), "positions"], "item_ids")
    outputs = [
        value("scores", TensorProto.FLOAT, "batch", "best"),
        value("positions", TensorProto.INT64, "batch", "best"),
        value("item_ids", TensorProto.STRING, "batch", "best"),
    ]
    graph = helper.make_graph(nodes, "scorer", inputs, outputs, weights)
    return helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="neggen",
    )

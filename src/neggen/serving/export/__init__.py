"""Models as other programs read them: Parquet, FAISS, ONNX, and a folder for a model hub."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from neggen.errors import NegGenError, nearest
from neggen.runs import Run
from neggen.serving.export.faiss_index import write_faiss
from neggen.serving.export.hub import push, write_hub
from neggen.serving.export.onnx_scorer import write_onnx
from neggen.serving.export.parquet import write_parquet

__all__ = ["FORMATS", "export_run", "push", "write_faiss", "write_hub", "write_onnx"]
__all__ += ["write_parquet"]

FORMATS = ("parquet", "faiss", "onnx", "hub")


def export_run(
    run: Run,
    folder: str | Path,
    formats: Iterable[str],
    *,
    hnsw: bool = False,
    license: str | None = None,
    overwrite: bool = False,
) -> dict[str, dict[str, float]]:
    """Export a run's model, each format into a folder of its name inside ``folder``.

    Nothing appears in ``folder`` before all formats are written and checked.

    Args:
        run: a finished run.
        folder: where to; it need not exist.
        formats: some of ``FORMATS``.
        hnsw: with ``faiss``, also write an approximate index.
        license: with ``hub``, an identifier of the Hub, such as ``apache-2.0``.
        overwrite: replace earlier exports.

    Returns:
        By format, what its writer tells of it.

    Raises:
        NegGenError: For an unknown format, an earlier export, or a format that this model cannot
            have or whose packages are missing.
    """
    folder, wanted = Path(folder), list(dict.fromkeys(formats))
    for name in wanted:
        if name not in FORMATS:
            raise NegGenError(
                f"There is no format '{name}'; there are {', '.join(FORMATS)}."
                f"{nearest(name, FORMATS)}"
            )
        if (folder / name).exists() and not overwrite:
            raise NegGenError(
                f"{folder / name} exists already; choose another folder, or replace it with "
                f"--overwrite."
            )
    if hnsw and "faiss" not in wanted:
        raise NegGenError("An approximate index (--hnsw) needs --format faiss.")
    if license and "hub" not in wanted:
        raise NegGenError("A license (--license) stands in the model card of --format hub.")
    model = run.load_model()
    writers: dict[str, Callable[[Path], dict[str, float]]] = {
        "parquet": lambda place: {**write_parquet(model, place)},
        "faiss": lambda place: write_faiss(model, place, hnsw=hnsw),
        "onnx": lambda place: {**write_onnx(model, place)},
        "hub": lambda place: {**write_hub(run, model, place, license=license)},
    }
    folder.mkdir(parents=True, exist_ok=True)
    figures = {}
    with tempfile.TemporaryDirectory(dir=folder, prefix=".exporting-") as temporary:
        for name in wanted:
            place = Path(temporary) / name
            place.mkdir()
            figures[name] = writers[name](place)
        for name in wanted:
            if (folder / name).exists():
                shutil.rmtree(folder / name)
            (Path(temporary) / name).rename(folder / name)
    return figures

"""Whether the files of a saved model are whole, without reading all of them."""

from __future__ import annotations

from pathlib import Path

import polars as pl
from safetensors import SafetensorError, safe_open

from neggen.errors import NegGenError, first_line
from neggen.workspace import read_toml


def check_model_files(folder: Path) -> None:
    """Read the beginnings and ends of what ``Recommender.save`` wrote, which tell its length.

    Raises:
        NegGenError: If a file is missing or cut.
    """
    read_toml(folder / "config.toml")
    try:
        with safe_open(folder / "model.safetensors", framework="numpy"):
            pass
        for name in ("users.parquet", "items.parquet"):
            pl.read_parquet_schema(folder / name)
    except (SafetensorError, pl.exceptions.PolarsError, OSError) as error:
        raise NegGenError(
            f"{folder} cannot be read ({first_line(error)}); delete the run and train again."
        ) from None

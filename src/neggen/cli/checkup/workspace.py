"""Whether everything in a workspace is whole, and made from what it now holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

from neggen.cli.checkup import Check, Note
from neggen.cli.checkup.journal import check_journal
from neggen.cli.imported import counts
from neggen.errors import NegGenError, first_line, quoted
from neggen.workspace import Workspace

if TYPE_CHECKING:
    import polars as pl

    from neggen.data.dataset import Dataset
    from neggen.data.vectors import ItemVectors

NAMED = 3


def workspace_checks(path: Path) -> dict[str, Check]:
    """Return the checks by name; of what is not yet a workspace, only whether it is one."""
    checkup = Checkup(path)
    if not checkup.place.manifest_path.is_file():
        return {"workspace": checkup.workspace}
    found: dict[str, Check] = {
        "workspace": checkup.workspace,
        "pictures": checkup.pictures,
        "splits": checkup.splits,
        "journal": lambda: check_journal(checkup.place),
        "records": checkup.records,
        "vectors": checkup.vectors,
        "runs": checkup.runs,
    }
    for folder in sorted(checkup.place.runs_dir.glob("*/")):
        found[f"run {folder.name}"] = partial(checkup.run, folder)
    return found


class Checkup:
    """The checks of one workspace; what several of them look at is read once."""

    def __init__(self, path: Path) -> None:
        """Read nothing yet."""
        self.path = path
        self.place = Workspace(path)

    @property
    def _anew(self) -> str:
        return f"delete {self.place.manifest_path} and import the source again with --overwrite"

    @cached_property
    def _data(self) -> Dataset:
        from neggen.data.store import load_dataset

        return load_dataset(self.place)

    @cached_property
    def _records(self) -> pl.DataFrame:
        from neggen.generation.record_files import read_records

        return read_records(self.place.records_path)

    @property
    def _has_no_records(self) -> bool:
        return not self.place.records_path.is_file() or self._records.is_empty()

    @cached_property
    def _vectors(self) -> ItemVectors:
        from neggen.encoding.store import load_vectors

        return load_vectors(self.place, self._data, self._records)

    def workspace(self) -> str:
        """Whether the tables are whole and those that were imported."""
        Workspace(self.path).refuse_unfinished()
        imported = Workspace.open(self.path).manifest().get("content_hash")
        try:
            self._data  # noqa: B018 (which reads it)
        except NegGenError as error:
            raise NegGenError(f"{error} ({self._anew})") from None
        if self._data.content_hash != imported:
            raise NegGenError(
                f"The files of {self.path} are not those that were imported; {self._anew}."
            )
        return ", ".join(f"{count:,} {name}" for name, count in counts(self._data).items())

    def pictures(self) -> str:
        """Whether every picture is there, with the bytes that were imported."""
        from neggen.data.picture import UnreadablePicture, read_picture_file

        rows = self._data.item_table.select("item_id", "image", "image_sha256").drop_nulls()
        wrong = []
        for item, name, digest in rows.iter_rows():
            try:
                content = read_picture_file(self.place.image_dir / name)
            except UnreadablePicture as error:
                wrong.append(f"'{item}' ({error})")
                continue
            if hashlib.sha256(content).hexdigest() != digest:
                wrong.append(f"'{item}' (another one)")
        if wrong:
            more = ", …" if len(wrong) > NAMED else ""
            raise NegGenError(
                f"{len(wrong):,} of {len(rows):,} pictures in {self.place.image_dir} are not those "
                f"that were imported: {', '.join(wrong[:NAMED])}{more}; put them back, or "
                f"{self._anew}."
            )
        return f"all {len(rows):,} as imported" if len(rows) else "none"

    def splits(self) -> str:
        """Whether every split that was drawn can be read."""
        import polars as pl

        tables = sorted(self.place.splits_dir.glob("*.parquet"))
        for table in tables:
            try:
                pl.read_parquet(table)
            except (pl.exceptions.PolarsError, OSError) as error:
                raise NegGenError(
                    f"{table} is damaged ({first_line(error)}); delete it and {table.stem}.toml "
                    "beside it, and the next training draws the same split again."
                ) from None
        return ", ".join(table.stem for table in tables) or "none yet"

    def records(self) -> str:
        """Whether the records are whole and describe the catalogue as it is."""
        from neggen.generation.record_files import earlier_import

        if self._has_no_records:
            return Note(f"none yet; make them with: neggen generate {quoted(self.path)}")
        by_side = self._records["modality"].value_counts(sort=True).iter_rows()
        if finding := earlier_import(self.place.records_path, self._data):
            raise NegGenError(finding)
        return ", ".join(f"{count:,} {side}" for side, count in by_side)

    def vectors(self) -> str:
        """Whether every text has a vector, made by the encoder that is installed."""
        import numpy as np

        from neggen.encoding.store import encode_command, encoder_of
        from neggen.encoding.text import EMBEDDED, TextEncoder
        from neggen.workspace import read_toml

        if self._has_no_records:
            return Note("none yet; first come the records")
        if not self.place.vectors_dir.is_dir():
            return Note(f"none yet; make them with: neggen encode {quoted(self.path)}")
        vectors = self._vectors
        if not (np.isfinite(vectors.positive).all() and np.isfinite(vectors.negative).all()):
            raise NegGenError(
                f"Some vectors in {self.place.vectors_dir} are no finite numbers; delete that "
                f"folder and run: neggen {encode_command(self.place)}"
            )
        name = str(read_toml(self.place.vectors_manifest_path).get("encoder"))
        if name == EMBEDDED and TextEncoder().fingerprint != encoder_of(self.place):
            raise NegGenError(
                f"The vectors of {self.path} are of another version of {name} than is installed, "
                f"which explanations and new items cannot be compared with; run neggen "
                f"{encode_command(self.place)}, and train again with --overwrite."
            )
        shares = zip(vectors.modalities, vectors.mask.mean(0), strict=True)
        told = ", ".join(f"{side} of {share:.0%} of the items" for side, share in shares)
        return f"{told}, by {name}"

    def runs(self) -> str:
        """Name the finished ones; each is looked at by itself."""
        from neggen.runs import finished_runs

        return ", ".join(run.folder.name for run in finished_runs(self.place)) or "none yet"

    def run(self, folder: Path) -> str:
        """Whether a run is whole, finished, and of the data and vectors that there are now."""
        from neggen.models.files import check_model_files
        from neggen.runs import Run

        run = Run(folder)
        if not run.manifest_path.is_file():
            return Note(
                f"is not finished: another process is at it, or the command that began it goes "
                f"on; to forget it, delete {folder}"
            )
        try:
            manifest = run.manifest
            check_model_files(run.model_dir)
            run.history  # noqa: B018 (which reads it)
        except (NegGenError, OSError) as error:
            raise NegGenError(
                f"is damaged ({str(error).rstrip('.')}); train again after: rm -r {folder}"
            ) from None
        again = "train again with --overwrite, which keeps it until its successor is there"
        now = _quietly(lambda: self._data.content_hash)
        if now is not None and manifest.get("content_hash") != now:
            raise NegGenError(f"was trained on other data than {self.path} now holds; {again}")
        now = _quietly(lambda: self._vectors.content_hash)
        if now is not None and manifest.get("vectors_hash", now) != now:
            raise NegGenError(
                f"was trained on other descriptions or vectors than {self.path} now holds; {again}"
            )
        seen = manifest.get("pictures_hash")
        if seen is not None and _quietly(self._pictures_hash) not in (None, seen):
            raise NegGenError(f"was trained on other pictures than {self.path} now holds; {again}")
        return ""

    def _pictures_hash(self) -> str:
        from neggen.encoding.pictures import with_pictures

        return with_pictures(self.place, self._data.replace(vectors=self._vectors))[1]


def _quietly(read: Callable[[], str]) -> str | None:
    """Return what is read, or None where another check says why it cannot be."""
    try:
        return read()
    except NegGenError:
        return None

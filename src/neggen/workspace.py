"""The workspace: a plain folder that every stage reads from and writes to.

What stages hand to each other::

    workspace.toml         what was imported, from where, and its content hash
    items.parquet          one row an item: item_id, image, image_sha256, and the attribute columns
    users.parquet          one row a user: user_id
    interactions.parquet   one row an interaction: user_id, item_id, optional time and part
    downloads/             pictures fetched from web addresses, named after them
    images/                the pictures, named as in items.parquet
    features/              given feature vectors, one safetensors file a modality
    graphs/                given graphs of like items, one safetensors file a modality
    test_sets/             further (user_id, item_id) pairs to test on, one Parquet file a set
    splits/                which interactions train, validate and test, with their settings
    journal.sqlite         every answer of every generation call; -shards/ beside it while Ray works
    negatives.parquet      descriptions, templates and negatives, one row a record
    vectors/               encoded descriptions, negatives and pictures, with a manifest each
    runs/                  trained models with their metrics and logs
    quality/               measures of the negatives: items.parquet, summary.json and plots
    studies/               comparisons with their results, trials (SQLite), and a cache of fits
    report.html            what ``neggen report`` writes, unless it is told another place
    .locks/                files that are locked while a run is trained, one a run
"""

from __future__ import annotations

import os
import secrets
import stat
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tomli_w

from neggen.errors import NegGenError

FORMAT = 1
UNFINISHED = ".importing"
"""A file that is in a workspace while an import changes its data."""


class Workspace:
    """A folder holding one catalogue, its interactions, and everything made from them."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.manifest_path = self.path / "workspace.toml"
        self.items_path = self.path / "items.parquet"
        self.users_path = self.path / "users.parquet"
        self.interactions_path = self.path / "interactions.parquet"
        self.downloads_dir = self.path / "downloads"
        self.image_dir = self.path / "images"
        self.features_dir = self.path / "features"
        self.graphs_dir = self.path / "graphs"
        self.test_sets_dir = self.path / "test_sets"
        self.splits_dir = self.path / "splits"
        self.journal_path = self.path / "journal.sqlite"
        self.records_path = self.path / "negatives.parquet"
        self.vectors_dir = self.path / "vectors"
        self.vectors_manifest_path = self.vectors_dir / "manifest.toml"
        self.pictures_manifest_path = self.vectors_dir / "pictures.toml"
        self.runs_dir = self.path / "runs"
        self.quality_dir = self.path / "quality"
        self.studies_dir = self.path / "studies"
        self.locks_dir = self.path / ".locks"

    @classmethod
    def open(cls, path: str | Path) -> Workspace:
        """Open an existing workspace.

        Raises:
            NegGenError: If the folder is not a workspace, an import into it was interrupted, or it
                was written by a newer version.
        """
        workspace = cls(path)
        if not workspace.manifest_path.is_file():
            workspace.refuse_unfinished()
            raise NegGenError(
                f"{workspace.path} is not a workspace (it has no workspace.toml); "
                f"make one with: neggen import SOURCE {workspace.path}"
            )
        written = workspace.manifest().get("format")
        if written != FORMAT:
            raise NegGenError(
                f"{workspace.manifest_path} has format {written}, this version reads {FORMAT}; "
                f"import the source again into a new folder."
            )
        return workspace

    def refuse_unfinished(self) -> None:
        """Raise NegGenError if an import was interrupted, or is on its way."""
        if (self.path / UNFINISHED).exists():
            raise NegGenError(
                f"An import into {self.path} was interrupted, or is on its way; in the first case, "
                f"give the same neggen import command again."
            )

    def manifest(self, *needed: str) -> dict[str, Any]:
        """Return the contents of ``workspace.toml``, which must have the ``needed`` keys."""
        return read_toml(self.manifest_path, *needed)

    def write_manifest(self, **entries: Any) -> None:
        """Write ``workspace.toml``, keeping the order of ``entries``."""
        write_toml(self.manifest_path, {"format": FORMAT, **entries})


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path`` that replaces it when the block succeeds.

    A process killed inside the block leaves the old file as it was. Who may read the new one is
    up to the umask, as for any file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    made = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
    mode = stat.S_IMODE(os.fstat(made).st_mode)  # the umask itself cannot be read without a change
    os.close(made)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(mode)  # a writer may have made the file anew, for its owner alone
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write ``text`` to ``path`` atomically as UTF-8."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_toml(path: Path, value: dict[str, Any]) -> None:
    """Write ``value`` to ``path`` atomically; ``None`` values are left out (TOML has no null)."""
    write_text(path, tomli_w.dumps(without_none(value)))


def read_toml(path: Path, *needed: str) -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: the file.
        needed: keys that it must have.

    Raises:
        NegGenError: If the file is missing, unreadable, not valid TOML, or lacks a key.
    """
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise NegGenError(f"{path} does not exist.") from None
    except OSError as error:
        raise NegGenError(f"{path} cannot be read: {error.strerror}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise NegGenError(f"{path} is not valid TOML: {error}.") from None
    if missing := [key for key in needed if key not in found]:
        raise NegGenError(f"{path} is damaged: it has no '{missing[0]}'; make it anew.")
    return found


def without_none(value: Any) -> Any:
    """Return what :func:`write_toml` writes of a value: tables without what is None."""
    if isinstance(value, dict):
        return {key: without_none(entry) for key, entry in value.items() if entry is not None}
    return value

"""The contract of readers of source formats."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

from neggen.data.dataset import Dataset
from neggen.data.readers.base import Reader, ReadOptions
from neggen.data.store import load_dataset, save_dataset
from neggen.errors import NegGenError
from neggen.workspace import Workspace

DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "emptied": lambda content: b"",
    "cut in half": lambda content: content[: len(content) // 2],
    "with its second half reversed": lambda content: (
        content[: len(content) // 2] + content[len(content) // 2 :][::-1]
    ),
    "of bytes that are no text": lambda content: bytes(range(256)) * 8,
    "of zeros": lambda content: bytes(len(content)),
}


class ReaderContract:
    """What holds for every reader. Subclass it; provide :meth:`reader` and :meth:`source`."""

    def reader(self) -> Reader:
        """Return a reader."""
        raise NotImplementedError

    def source(self, folder: Path) -> Path:
        """Write a small source into an empty folder; return what is imported, it or a file in it.

        Somebody should have used something.
        """
        raise NotImplementedError

    @contextmanager
    def written(self) -> Iterator[tuple[Path, Path]]:
        """Yield a folder and the source that was written into it."""
        with tempfile.TemporaryDirectory(prefix="neggen-") as name:
            folder = Path(name) / "contract-4f7a"
            folder.mkdir()
            yield folder, self.source(folder)

    def read(self, path: Path) -> Dataset:
        """Read a source without any option."""
        return self.reader().read(path, ReadOptions())

    def test_says_what_it_reads(self) -> None:
        """It has a name, describes its layout, heeds options that there are, and needs nothing.

        The command line makes a reader without arguments.
        """
        reader = type(self.reader())()
        assert reader.name
        assert reader.layout
        assert reader.heeds <= {field.name for field in fields(ReadOptions)}

    def test_recognizes_its_own_format(self) -> None:
        """It knows what it reads, and neither an empty folder nor a text."""
        with self.written() as (folder, path):
            assert self.reader().recognizes(path)
            other = folder.parent / "other"
            other.mkdir()
            assert not self.reader().recognizes(other)
            (other / "readme.txt").write_text("Nobody used anything here.\n", encoding="utf-8")
            assert not self.reader().recognizes(other)
            assert not self.reader().recognizes(other / "readme.txt")

    def test_reads_who_used_what(self) -> None:
        """Somebody used something, and a second reader says the same."""
        with self.written() as (_, path):
            data = self.read(path)
            assert len(data.users) > 0
            assert data.content_hash == self.read(path).content_hash

    def test_what_it_reads_can_be_kept(self) -> None:
        """A workspace gives back the same data."""
        with self.written() as (folder, path):
            data, place = self.read(path), Workspace(folder.parent / "workspace")
            save_dataset(place, data, source=str(path))
            assert load_dataset(place).content_hash == data.content_hash

    def test_leaves_the_source_as_it_is(self) -> None:
        """Nothing is written beside the files that are read, nor to them."""
        with self.written() as (folder, path):
            before = _contents(folder)
            self.read(path)
            assert _contents(folder) == before

    def test_a_damaged_file_is_named(self) -> None:
        """Whatever becomes of a file: data, or a sentence about the file or its folder."""
        with self.written() as (folder, path):
            for file, content in _contents(folder).items():
                for how, damage in DAMAGES.items():
                    file.write_bytes(damage(content))
                    said = self._complaint(path, f"{file.name}, {how},")
                    named = said is None or any(
                        name in said for name in (file.name, folder.name, path.name)
                    )
                    assert named, f"which file does this speak of? {said}"
                file.write_bytes(content)

    def _complaint(self, path: Path, which: str) -> str | None:
        """Return why a source is refused, or None if it is read or not recognized any more."""
        try:
            if self.reader().recognizes(path):
                self.read(path)
        except NegGenError as error:
            return str(error)
        except Exception as error:
            raise AssertionError(
                f"{which} ends in {type(error).__name__}: {error}; a NegGenError should name the "
                "file and what is wrong with it"
            ) from error
        return None


def _contents(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}

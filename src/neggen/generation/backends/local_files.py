"""Find a model's files and tell them from another model's, without loading it."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path
from typing import BinaryIO

from neggen.errors import NegGenError, first_line

SAMPLE = 64
"""Bytes looked at in every weight tensor."""
LONGEST_HEADER = 100_000_000
"""Bytes; the limit of the safetensors format itself."""
_SMALL_FILES = ("*.json", "*.jinja", "*.txt", "*.model")


def find_model(model: str, revision: str | None = None) -> Path:
    """Return the folder of a model, fetched from the Hugging Face Hub if it is no folder here.

    Only weights in safetensors and plain data files are fetched: no pickled weights, no code.

    Raises:
        NegGenError: If there is no such model here or there, or the folder holds no model.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        folder = _fetch(model, revision)
    if not (folder / "config.json").is_file():
        raise NegGenError(
            f"The folder {folder} is no model: it has no config.json; give a folder written by "
            "save_pretrained, or a Hugging Face name."
        )
    if not any(folder.glob("*.safetensors")):
        raise NegGenError(
            f"The model {model} has no weights in safetensors, and others could run code; choose "
            "another model or convert it."
        )
    return folder


def _fetch(model: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                model,
                revision=revision,
                allow_patterns=["*.safetensors", *_SMALL_FILES],
                ignore_patterns=["*/*"],
            )
        )
    except (OSError, ValueError) as error:
        raise NegGenError(
            f"The model '{model}' is neither a folder here nor to be had from the Hugging Face Hub "
            f"({first_line(error)}); check the name and the network, or download it first with: "
            f"hf download {model}"
        ) from error


def fingerprint(folder: Path) -> str:
    """Return a SHA-256 over a model's settings, tokenizer and a sample of every weight tensor.

    The sample makes it cheap, a few reads a tensor, and still tells a fine-tuned model from its
    origin, because training changes nearly every weight of the tensors it touches.

    Raises:
        NegGenError: If a file cannot be read or is no safetensors file.
    """
    digest = hashlib.sha256()
    try:
        for path in sorted(path for pattern in _SMALL_FILES for path in folder.glob(pattern)):
            digest.update(f"{path.name}:{path.stat().st_size}:".encode())
            digest.update(path.read_bytes())
        for path in sorted(folder.glob("*.safetensors")):
            with path.open("rb") as file:
                digest.update(path.name.encode())
                _sample_tensors(file, path, digest)
    except OSError as error:
        raise NegGenError(
            f"The model's file {error.filename} cannot be read ({error.strerror}); mend its "
            "permissions or fetch the model again."
        ) from None
    return digest.hexdigest()


def _sample_tensors(file: BinaryIO, path: Path, digest: hashlib._Hash) -> None:
    """Feed the header and the middle of each tensor; the format is an 8-byte length and JSON."""
    try:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LONGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        header = file.read(length)
        offsets = [
            tuple(entry["data_offsets"])
            for name, entry in json.loads(header).items()
            if name != "__metadata__"
        ]
        digest.update(header)
        for start, end in sorted(offsets):
            middle = max(start, (start + end - SAMPLE) // 2)
            file.seek(8 + length + middle)
            digest.update(file.read(min(SAMPLE, end - start)))
    except (struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        raise NegGenError(
            f"{path} is no safetensors file ({error}); fetch the model again."
        ) from None

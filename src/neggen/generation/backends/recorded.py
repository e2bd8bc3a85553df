"""Answers that were written before, one JSON object a line.

A line reads::

    {"item_id": "7", "modality": "text", "marked": "A [slim] ...", "replacements": ["bulky"]}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from neggen.errors import NegGenError
from neggen.generation.backends.base import RequestFailed
from neggen.generation.records import Answer, Modality
from neggen.generation.requests import Completion, Request


class _Line(Answer):
    item_id: str
    modality: Modality


class RecordedBackend:
    """Replays a file of answers.

    Attributes:
        unknown: lines about items that the catalogue does not have; they are ignored.
    """

    name = "recorded"
    finished = True

    def __init__(self, path: Path, item_ids: Collection[str]) -> None:
        """Read the file.

        Args:
            path: the file of answers.
            item_ids: the external ids of the catalogue.

        Raises:
            NegGenError: If the file is missing, a line is not an answer, or an item and modality
                has two (which of them is meant cannot be known).
        """
        self.model = path.name
        try:
            contents = path.read_bytes()
            lines = contents.decode("utf-8").split("\n")
        except OSError as error:
            raise NegGenError(f"The answers {path} cannot be read: {error.strerror}.") from None
        except UnicodeDecodeError as error:
            raise NegGenError(f"The answers {path} are not UTF-8: {error}.") from None
        self.parameters: Mapping[str, Any] = {"sha256": hashlib.sha256(contents).hexdigest()}
        self.unknown = 0
        self._answers: dict[tuple[str, str], str] = {}
        first_line: dict[tuple[str, str], int] = {}
        known = set(item_ids)
        for number, text in enumerate(lines, start=1):
            if not text.strip():
                continue
            line = _read_line(text, f"{path}, line {number}")
            key = (line.item_id, line.modality)
            if key in first_line:
                raise NegGenError(
                    f"{path}, lines {first_line[key]} and {number} both answer for the "
                    f"{line.modality} of item '{line.item_id}'; keep one of them."
                )
            first_line[key] = number
            if line.item_id in known:
                answer = {"marked": line.marked, "replacements": line.replacements}
                self._answers[key] = json.dumps(answer, ensure_ascii=False)
            else:
                self.unknown += 1

    async def complete(self, request: Request) -> Completion:
        """Answer one request; see ``Backend``."""
        text = self._answers.get((request.item_id, request.modality))
        if text is None:
            raise RequestFailed(
                "no recorded answer",
                f"{self.model} has no answer for this item's {request.modality}.",
            )
        return Completion(text)

    async def close(self) -> None:
        """Nothing is open."""


def _read_line(text: str, where: str) -> _Line:
    try:
        return _Line.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"])
        raise NegGenError(
            f"{where} is not an answer ({field + ': ' if field else ''}{first['msg']}); it should "
            'read {"item_id": …, "modality": "image" or "text", "marked": …, "replacements": […]}.'
        ) from None

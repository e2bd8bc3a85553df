"""Every backend keeps the contract that those of other packages are held to."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from neggen.data.dataset import Dataset
from neggen.generation.backends.base import Backend
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.backends.recorded import RecordedBackend
from neggen.testing import BackendContract
from neggen.testing.chat_server import chat_app
from neggen.testing.serving import serve_in_thread


class TestCatalogue(BackendContract):
    def backend(self, data: Dataset) -> Backend:
        return CatalogueBackend(data)


class TestRecorded(BackendContract):
    @pytest.fixture(autouse=True)
    def answers(self, tmp_path: Path) -> None:
        self.path = tmp_path / "answers.jsonl"
        lines = [
            {
                "item_id": item_id,
                "modality": "text",
                "marked": f"Item {item_id} is a [{'large' if number % 2 else 'small'}] chair.",
                "replacements": ["folding"],
            }
            for number, item_id in enumerate(self.data().item_ids[:-1])  # one has no answer
        ]
        self.path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")

    def backend(self, data: Dataset) -> Backend:
        return RecordedBackend(self.path, list(data.item_ids))


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serve_in_thread(chat_app()) as url:
        yield url


class TestOpenAICompatible(BackendContract):
    @pytest.fixture(autouse=True)
    def of(self, address: str) -> None:
        self.url = f"{address}/v1"

    def backend(self, data: Dataset) -> Backend:
        return OpenAICompatibleBackend(self.url, "m")

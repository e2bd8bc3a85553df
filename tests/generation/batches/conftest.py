"""A provider with a Batch API, and batches that are waited for only a little."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.testing.serving import serve_in_thread

PATH = Path(__file__).parents[2] / "standins" / "batch_server.py"


@pytest.fixture(scope="session")
def standin() -> ModuleType:
    """The module of the server."""
    spec = importlib.util.spec_from_file_location("batch_server", PATH)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["batch_server"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def provider(standin: ModuleType) -> Iterator[Any]:
    """A running server; its ``url`` is the address of its API."""
    server = standin.BatchServer()
    with serve_in_thread(server.app()) as address:
        server.url = f"{address}/v1"
        yield server


@pytest.fixture
def backend() -> OpenAICompatibleBackend:
    """Who would answer on line; nobody is there."""
    return OpenAICompatibleBackend("http://127.0.0.1:9/v1", "m")

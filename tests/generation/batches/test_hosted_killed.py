"""Processes killed while they work with a provider, whose log tells what they did."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from neggen.data.dataset import Dataset
from neggen.data.store import save_dataset
from neggen.generation.batches.files import Limits
from neggen.generation.batches.hosted import generate_in_batches
from neggen.generation.batches.rounds import Waiting
from neggen.workspace import Workspace

Catalogue = Callable[..., Dataset]
PROGRAM = textwrap.dedent(
    """
    import sys
    from neggen.data.store import load_dataset
    from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
    from neggen.generation.batches.files import Limits
    from neggen.generation.batches.hosted import generate_in_batches
    from neggen.generation.batches.rounds import Waiting
    from neggen.workspace import Workspace
    workspace = Workspace(sys.argv[1])
    generate_in_batches(
        workspace, load_dataset(workspace, None),
        OpenAICompatibleBackend("http://127.0.0.1:9/v1", "m"), sys.argv[2],
        waiting=Waiting(0.02, 0.05, 5.0), limits=Limits(requests=4),
    )
    """
)


@pytest.fixture
def workspace(tmp_path: Path, catalogue: Catalogue) -> Workspace:
    place = Workspace(tmp_path / "w")
    save_dataset(place, catalogue(7), source="test")
    return place


def kill_at(call: str, workspace: Workspace, provider: Any) -> None:
    """Start a process and kill it when the provider has got a call."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(workspace.path), provider.url],
        stderr=subprocess.PIPE,
        text=True,
    )
    while call not in provider.log:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.005)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate(timeout=30)


def assert_done(workspace: Workspace, catalogue: Catalogue, provider: Any, backend: Any) -> None:
    """Go on in this process, and look for anything that was sent or paid for twice."""
    done = generate_in_batches(
        workspace, catalogue(7), backend, provider.url, waiting=Waiting(0.02, 0.05, 5.0),
        limits=Limits(requests=4),
    )  # fmt: skip
    assert done.summary.modalities["text"].valid == 7
    assert list(workspace.path.glob("journal.sqlite-batches/*.jsonl")) == []
    for counts in (provider.uploaded(), provider.asked()):
        assert isinstance(counts, Counter)
        assert (len(counts), set(counts.values())) == (7, {1})


@pytest.mark.parametrize("call", ["POST /files", "POST /batches"])
def test_what_the_provider_has_but_nobody_noted_is_not_sent_again(
    workspace: Workspace, catalogue: Catalogue, provider: Any, backend: Any, call: str
) -> None:
    provider.silent[call] = 1
    kill_at(f"{call} is silent", workspace, provider)
    assert_done(workspace, catalogue, provider, backend)


def test_a_kill_while_it_waits_or_collects_costs_nothing(
    workspace: Workspace, catalogue: Catalogue, provider: Any, backend: Any
) -> None:
    provider.ready = False
    kill_at("GET /batches/batch-1", workspace, provider)
    assert len(provider.files) == 2
    provider.ready = True
    provider.silent["GET /files/file-2/content"] = 1  # the first results
    kill_at("GET /files/file-2/content is silent", workspace, provider)
    assert_done(workspace, catalogue, provider, backend)

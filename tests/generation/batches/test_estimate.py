from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from neggen.data.dataset import Dataset
from neggen.generation.backends.budget import Prices
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.batches.estimate import IMAGE_TOKENS, estimate, further_steps
from neggen.generation.records import InvalidAnswer
from neggen.generation.requests import Plan, Step
from neggen.generation.run import generate
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer

Catalogue = Callable[..., Dataset]


@pytest.mark.parametrize(
    ("plan", "step", "completion", "calls"),
    [
        ("fused", "fused", 0, ["complete"] * 2),
        ("fused", "complete", 1, ["complete"]),
        ("staged", "describe", 0, ["mask", *["complete"] * 3]),
        ("staged", "mask", 0, ["complete"] * 3),
        ("staged", "complete", 0, ["complete"] * 2),
        ("staged", "complete", 2, []),
    ],
)
def test_the_calls_that_follow(plan: Plan, step: Step, completion: int, calls: list[Step]) -> None:
    assert further_steps(plan, step, completion, 3) == calls


def test_it_counts_calls_and_guesses_tokens_without_asking(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(3, pictures=True)
    backend = OpenAICompatibleBackend(server.url, "m")
    texts = estimate(workspace, data, backend, modalities=["text"], prices=Prices(1.0, 2.0))
    assert (texts.sides, texts.calls, texts.measured) == (3, {"fused": 3}, 0)
    assert texts.cost == pytest.approx(
        (texts.usage.prompt_tokens + 2 * texts.usage.completion_tokens) / 1e6
    )
    both = estimate(workspace, data, backend)
    assert (both.sides, both.cost) == (6, None)
    assert both.usage.prompt_tokens > texts.usage.prompt_tokens + 3 * IMAGE_TOKENS
    staged = estimate(workspace, data, backend, plan="staged", completions=2)
    assert staged.calls == {"describe": 6, "mask": 6, "complete": 12}
    assert server.calls == []
    assert not workspace.records_path.exists()


def test_it_learns_from_the_journal_and_leaves_out_what_is_known(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path / "w")
    backend: Any = OpenAICompatibleBackend(server.url, "m")
    generate(workspace, catalogue(2), backend)
    found = estimate(workspace, catalogue(5), backend)
    assert (found.sides, found.measured, found.calls) == (3, 3, {"fused": 3})
    # The server reports 7 and 3 tokens.
    assert (found.usage.prompt_tokens, found.usage.completion_tokens) == (21, 9)
    assert estimate(workspace, catalogue(2), backend).calls == {}


def test_it_leaves_the_journal_as_it_was(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    def refuse(record: Any) -> None:
        raise InvalidAnswer("synonym", "It says the same.")

    workspace, data = Workspace(tmp_path / "w"), catalogue(2)
    backend: Any = OpenAICompatibleBackend(server.url, "m")
    generate(workspace, data, backend)
    with sqlite3.connect(workspace.journal_path) as file:
        before = list(file.iterdump())
    backend = OpenAICompatibleBackend(server.url, "m")
    assert estimate(workspace, data, backend, screen=refuse).calls == {"fused": 2}
    assert estimate(workspace, data, backend, screen=refuse, attempts=1).calls == {}
    with sqlite3.connect(workspace.journal_path) as file:
        assert list(file.iterdump()) == before

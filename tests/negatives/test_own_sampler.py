"""The sampler that the documentation shows, run as it stands there."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from neggen import MF, LightGCN
from neggen.data.dataset import Dataset
from neggen.negatives import SAMPLERS
from neggen.negatives.base import Batch, Sampler
from neggen.negatives.view import View
from neggen.testing import SamplerContract, all_in_training, checkerboard

PAGE = Path(__file__).parents[2] / "docs" / "samplers.md"


def code(containing: str) -> str:
    """Return the one Python block of the page that has these words."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    (found,) = [block for block in blocks if containing in block]
    return found


@pytest.fixture(scope="module", autouse=True)
def warming() -> Any:
    """Run the page's code as a module of its own, and forget it afterwards."""
    module = ModuleType("warming_of_the_page")
    sys.modules[module.__name__] = module
    exec(compile(code("class WarmingConfig"), str(PAGE), "exec"), module.__dict__)
    yield module
    del SAMPLERS._added["warming"], SAMPLERS._classes["warming"], sys.modules[module.__name__]


class TestWarming(SamplerContract):
    def sampler(self, data: Dataset, device: str = "cpu") -> Sampler:
        cls = SAMPLERS.find("warming")
        return cls(cls.config_class(most=4), data, device)


def test_it_is_as_short_as_promised() -> None:
    lines = [line for line in code("class WarmingConfig").splitlines() if line.strip()]
    assert len(lines) <= 21


def test_its_test_is_its_construction(warming: ModuleType) -> None:
    names: dict[str, Any] = {**vars(warming)}
    exec(compile(code("class TestWarming"), str(PAGE), "exec"), names)
    made = names["TestWarming"]().sampler(checkerboard())
    assert isinstance(made, warming.Warming)


def test_it_takes_the_hardest_of_ever_more_candidates() -> None:
    data = all_in_training([[1, 0, 0, 0], [0, 1, 1, 1]])
    cls = SAMPLERS.find("warming")
    sampler = cls(cls.config_class(most=50), data)
    nodes = torch.tensor([[1.0], [1.0], [9.0], [1.0], [3.0], [2.0]])  # two users, four items
    users, positives = torch.zeros(300, dtype=torch.long), torch.zeros(300, dtype=torch.long)
    shares = []
    for epoch in (1, 50):
        sampler.begin_epoch(epoch)
        proposed = sampler.propose(users, positives, torch.Generator().manual_seed(0))
        batch = Batch(users, positives, proposed)
        draw = sampler.choose(batch, View((nodes,), 2), torch.Generator())
        shares.append((draw.items == 2).float().mean().item())
    assert proposed.shape == (300, 50)
    assert shares[0] == pytest.approx(1 / 3, abs=0.1)
    assert shares[1] == 1


@pytest.mark.parametrize("model", [MF, LightGCN])
def test_models_train_with_it_by_name(model: Any) -> None:
    settings = {"dim": 8, "learning_rate": 0.05, "evaluate_every": 1, "patience": 40, "epochs": 40}
    fitted = model(sampler={"name": "warming", "most": 3}, **settings).fit(checkerboard())
    found = [log.valid["recall@10"] for log in fitted.history[model.name]]
    assert max(found) > 1.5 * found[0]

"""Registries: what is built in, what a decorator adds, and what an installed package adds."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from neggen.models.mf import MF
from neggen.negatives import SAMPLERS, sampler_config
from neggen.negatives.uniform import Uniform
from neggen.registry import Registry
from neggen.testing import refuses

COLLECTIONS = {"counter": "collections:Counter", "deque": "collections:deque"}


def registry(group: str = "neggen_test.none") -> Registry[object]:
    return Registry("collection", group, COLLECTIONS)


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package with a collection, another under a name that is taken, and a sampler."""
    (tmp_path / "recency_pack.py").write_text(
        "from neggen.negatives.uniform import Uniform\n"
        "class Recency(Uniform):\n"
        "    name = 'recency'\n"
    )
    info = tmp_path / "recency_pack-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: recency-pack\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[neggen_test.collections]\nordered = collections:OrderedDict\ndeque = recency_pack:None\n"
        "broken = recency_pack:Gone\n"
        "[neggen.samplers]\nrecency = recency_pack:Recency\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    return tmp_path


def test_finds_what_is_built_in() -> None:
    collections = registry()
    assert dict(collections) == COLLECTIONS
    assert list(collections) == ["counter", "deque"]
    assert len(collections) == 2
    assert "deque" in collections
    assert collections.find("deque") is importlib.import_module("collections").deque


def test_imports_a_class_when_it_is_asked_for() -> None:
    late = Registry("thing", "neggen_test.none", {"late": "no_such_module:Thing"})
    assert late["late"] == "no_such_module:Thing"
    with pytest.raises(ModuleNotFoundError):
        late.find("late")


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    with refuses("no collection 'dequeue'", "'deque'"):
        registry().find("dequeue")
    with refuses("no collection 'x'", "counter, deque"):
        registry().find("x")
    with pytest.raises(KeyError):
        registry()["x"]


def test_a_decorator_adds_a_class() -> None:
    collections = registry()

    @collections.register
    class Bag:
        name = "bag"

    assert collections.find("bag") is Bag
    assert collections["bag"].endswith("Bag")
    assert list(collections) == ["bag", "counter", "deque"], "what was added comes first"
    assert collections.register(Bag) is Bag, "the same class may be added again"


def test_a_class_without_a_name_is_refused() -> None:
    class Nameless:
        @property
        def name(self) -> str:
            return "only of an instance"

    with refuses("Nameless is no collection with a name", "name = '…'"):
        registry().register(Nameless)


def test_a_name_cannot_be_taken_twice() -> None:
    class Other:
        name = "deque"

    collections = registry()
    with refuses("is a collection 'deque' already", "collections:deque"):
        collections.register(Other)
    assert collections["deque"] == "collections:deque"


def test_an_installed_package_adds_a_class(package: Path) -> None:
    from collections import OrderedDict, deque

    collections = registry("neggen_test.collections")
    assert collections.find("ordered") is OrderedDict
    assert sorted(collections) == ["broken", "counter", "deque", "ordered"]
    assert collections.find("deque") is deque, "what is built in stays"
    assert "ordered" not in registry("neggen_test.others")
    with refuses("'broken' cannot be imported from recency_pack:Gone", "remove the package"):
        collections.find("broken")


def test_an_installed_sampler_is_known_by_its_name(package: Path) -> None:
    """In a process of its own, since the samplers look for installed ones once."""
    program = (
        "from neggen import MF\n"
        "from neggen.negatives import SAMPLERS\n"
        "from neggen.testing import checkerboard\n"
        "print(list(SAMPLERS)[0], SAMPLERS['recency'])\n"
        "fitted = MF(sampler={'name': 'recency', 'negatives': 2}, dim=4, epochs=1)\n"
        "print(len(fitted.fit(checkerboard()).history['mf']))\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(package)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["recency", "recency_pack:Recency", "2"]


def test_the_samplers_are_all_there() -> None:
    for name in SAMPLERS:
        assert SAMPLERS.find(name).name == name
    cls, config = sampler_config({"name": "uniform", "negatives": 3})
    assert (cls, config.count) == (Uniform, 3)
    with refuses("'sampler.negative'", "'negatives'"):
        sampler_config({"name": "uniform", "negative": 3})
    with refuses("has no name", "uniform"):
        sampler_config({"negatives": 3})


@pytest.mark.parametrize("name", [5, ["a"], {"name": "uniform"}, None, True])
def test_a_name_that_is_no_text_is_refused(name: object) -> None:
    with refuses(f"{name!r} names no collection", "a name is text"):
        registry().find(name)  # type: ignore[arg-type]
    with refuses(f"{name!r} names no sampler of negatives"):
        MF(sampler={"name": name})
    with refuses(f"{name!r} names no "):
        MF(loss={"name": name})

"""Contract tests that every model, sampler, reader and backend must pass, for your own test suite.

A new model's whole test is its construction; pytest finds the inherited tests::

    from neggen.testing import RecommenderContract


    class TestMine(RecommenderContract):
        def model(self):
            return MyModel(dim=16, epochs=20)

The tests are plain asserts: importing this package does not import pytest, nor torch until a
contract is used.

For generation there are two programs, ``python -m neggen.testing.chat_server`` and
``python -m neggen.testing.fault_proxy``; both say more with ``--help``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from neggen.testing.checkerboard import checkerboard
from neggen.testing.refusal import refuses

if TYPE_CHECKING:
    from neggen.testing.backend import BackendContract
    from neggen.testing.reader import ReaderContract
    from neggen.testing.recommender import RecommenderContract
    from neggen.testing.sampler import SamplerContract, all_in_training, triples

_HOMES = {
    "BackendContract": "neggen.testing.backend",
    "ReaderContract": "neggen.testing.reader",
    "RecommenderContract": "neggen.testing.recommender",
    "SamplerContract": "neggen.testing.sampler",
    "all_in_training": "neggen.testing.sampler",
    "triples": "neggen.testing.sampler",
}

__all__ = [
    "BackendContract",
    "ReaderContract",
    "RecommenderContract",
    "SamplerContract",
    "all_in_training",
    "checkerboard",
    "refuses",
    "triples",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'neggen.testing' has no attribute '{name}'")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

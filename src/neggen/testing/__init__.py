"""Contract tests that every model and every sampler must pass, for use in your own test suite.

A new model's whole test is its construction; pytest finds the inherited tests::

    from neggen.testing import RecommenderContract


    class TestMine(RecommenderContract):
        def model(self):
            return MyModel(dim=16, epochs=20)

The tests are plain asserts: importing this package does not import pytest.
"""

from __future__ import annotations

from neggen.testing.checkerboard import checkerboard
from neggen.testing.recommender import RecommenderContract
from neggen.testing.refusal import refuses
from neggen.testing.sampler import Sampler, SamplerContract

__all__ = ["RecommenderContract", "Sampler", "SamplerContract", "checkerboard", "refuses"]

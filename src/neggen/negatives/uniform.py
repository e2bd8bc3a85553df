"""Uniform sampling: items the user has not touched, each with equal chance (BPR, 2009)."""

from __future__ import annotations

from pydantic import Field

from neggen.negatives.base import Sampler, SamplerConfig


class UniformConfig(SamplerConfig):
    """Settings of uniform sampling."""

    negatives: int = Field(1, ge=1)
    """How many negatives a positive gets; softmax losses want many."""

    @property
    def count(self) -> int:
        """How many negatives a positive gets."""
        return self.negatives


class Uniform(Sampler):
    """Draws unseen items uniformly (Rendle et al. 2009, arXiv 1205.2618)."""

    name = "uniform"
    config_class = UniformConfig
    config: UniformConfig

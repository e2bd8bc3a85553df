"""Uniform sampling: items the user has not touched, each with equal chance (BPR, 2009)."""

from __future__ import annotations

from neggen.negatives.base import DrawnConfig, Sampler


class UniformConfig(DrawnConfig):
    """Settings of uniform sampling."""


class Uniform(Sampler):
    """Draws unseen items uniformly (Rendle et al. 2009, arXiv 1205.2618)."""

    name = "uniform"
    config_class = UniformConfig
    config: UniformConfig

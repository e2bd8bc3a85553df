"""Samplers of negatives, one file each, and what is wrong with generated ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from neggen.registry import Registry

if TYPE_CHECKING:
    from neggen.negatives.base import Sampler, SamplerConfig

SAMPLERS: Registry[Sampler] = Registry(
    "sampler of negatives",
    "neggen.samplers",
    {
        "uniform": "neggen.negatives.uniform:Uniform",
        "popularity": "neggen.negatives.popularity:PopularitySampler",
        "dns": "neggen.negatives.dns:DNS",
        "srns": "neggen.negatives.srns:SRNS",
        "mixgcf": "neggen.negatives.mixgcf:MixGCF",
        "ahns": "neggen.negatives.ahns:AHNS",
        "dens": "neggen.negatives.dens:DENS",
        "ans": "neggen.negatives.ans:ANS",
        "in-batch": "neggen.negatives.in_batch:InBatch",
        "generated": "neggen.negatives.generated:Generated",
        "mixture": "neggen.negatives.mixture:Mixture",
    },
)
"""The samplers by name, for ``sampler = {name = "dns", candidates = 16}``."""


def sampler_config(settings: Mapping[str, Any]) -> tuple[type[Sampler], SamplerConfig]:
    """Return the class and the configuration of a sampler.

    Args:
        settings: its ``name`` and its own settings.

    Raises:
        NegGenError: If there is no such sampler, or it has no such setting.
    """
    cls, rest = SAMPLERS.pick("sampler", settings)
    return cls, cls.config_class.build(rest, "sampler")

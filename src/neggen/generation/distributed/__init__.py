"""Generation on a Ray cluster: see :mod:`neggen.generation.distributed.driver`."""

from neggen.generation.distributed.driver import generate_on_ray

__all__ = ["generate_on_ray"]

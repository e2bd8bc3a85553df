"""Who answers: one file a backend, all with the protocol of ``base.py``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from neggen.registry import Registry

if TYPE_CHECKING:
    from neggen.generation.backends.base import Backend

BACKENDS: Registry[Backend] = Registry("backend", "neggen.backends", {})
"""Those of other packages by name, for ``neggen generate --backend NAME --set key=value``; settings
become the keywords of the class. The built-in ones have options of their own."""

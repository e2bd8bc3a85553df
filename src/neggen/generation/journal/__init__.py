"""The journal of answers: see :mod:`neggen.generation.journal.journal`."""

from neggen.generation.journal.entries import Failure, Kept, Unit
from neggen.generation.journal.journal import Journal

__all__ = ["Failure", "Journal", "Kept", "Unit"]

"""The journal of answers: see :mod:`neggen.generation.journal.journal`."""

from neggen.generation.journal.journal import Failure, Journal, Kept, Unit

__all__ = ["Failure", "Journal", "Kept", "Unit"]

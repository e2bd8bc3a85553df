"""The data set that a study is about, as its file names it, so that one command can begin with it.

::

    [data]
    source = "movielens-1m"
    at_most = 12
    answers = "answers.jsonl"
"""

from __future__ import annotations

from pathlib import PurePosixPath

from pydantic import Field

from neggen.config import Config

RELATIVE = r"^\w[\w.-]*(/\w[\w.-]*)*$"
"""A path that stays inside its folder."""


class Source(Config):
    """A source that ``neggen import`` can read, how it is imported, and who describes its items."""

    source: str = Field(pattern=RELATIVE)
    """A file or folder inside the folder of all data sets."""
    at_most: int | None = Field(None, ge=1)
    """Keep this many random interactions of users with more, before the core."""
    k_core: int = Field(0, ge=0)
    """Keep users and items with at least this many interactions."""
    min_rating: float | None = Field(None, allow_inf_nan=False)
    """The lowest rating that counts as an interaction; every one does by default."""
    answers: str | None = Field(None, pattern=RELATIVE)
    """Recorded answers (JSONL) inside the source; rows that need descriptions need them."""

    @property
    def workspace_name(self) -> str:
        """What to call the workspace, such as ``movielens-1m-at-most-12``."""
        name = PurePosixPath(self.source).name
        if self.at_most is not None:
            name += f"-at-most-{self.at_most}"
        if self.min_rating is not None:
            name += f"-min-rating-{self.min_rating:g}"
        return f"{name}-{self.k_core}-core" if self.k_core else name

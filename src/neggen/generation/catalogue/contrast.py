"""Which of an item's values decide preference, and what would decide it the other way."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np
from numpy.typing import NDArray

from neggen.generation.catalogue.attributes import Attributes

CONTRASTING_SHARE = 0.25
"""The share of candidates with the least lift from which a replacement is drawn."""


class Contrasts:
    """Ranks values by what behavior says about them."""

    def __init__(
        self,
        attributes: Attributes,
        lift: NDArray[np.float32],
        candidates: list[NDArray[np.int64]],
    ) -> None:
        """Keep what is known.

        Args:
            attributes: the values.
            lift: co-consumption lift, ``[values, values]``.
            candidates: for each value, the values that could take its place.
        """
        self.attributes = attributes
        # [values][candidates], the one wanted least first
        self.candidates = [
            options[np.argsort(lift[value, options], kind="stable")]
            for value, options in enumerate(candidates)
        ]
        self.strength = np.log(np.diag(lift))  # [values]; 0 says that nothing follows from a value

    def strongest(self, item: int) -> list[int]:
        """Return an item's values, the one that decides most first."""
        return sorted(
            self.attributes.of_item(item), key=lambda value: (-self.strength[value], value)
        )

    def replacement(
        self,
        value: int,
        avoid: Collection[int],
        rng: np.random.Generator,
        fits: Callable[[int], bool] = lambda candidate: True,
    ) -> int | None:
        """Draw a value that users of ``value`` want least.

        Args:
            value: what is replaced.
            avoid: values that may not be drawn, such as the item's own.
            rng: draws among the most contrasting candidates.
            fits: whether a candidate can stand in the sentence.

        Returns:
            The position of the replacement, or None if nothing can take the place.
        """
        options = [
            int(option)
            for option in self.candidates[value]
            if option != value and option not in avoid and fits(int(option))
        ]
        if not options:
            return None
        drawn_from = max(1, round(CONTRASTING_SHARE * len(options)))
        return options[int(rng.integers(drawn_from))]

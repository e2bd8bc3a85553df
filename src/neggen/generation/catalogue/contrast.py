"""Which of an item's values decide preference, and what would decide it the other way."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from neggen.generation.catalogue.attributes import Attributes

CONTRASTING_SHARE = 0.25
"""The share of candidates with the least lift from which a replacement is drawn."""
DONATED_SHARE = 0.5
"""The same for candidates that an item has together with the replacements drawn before."""
MOST_USES = 2
"""How often a value is drawn at most for each item that has it itself: what replaces more says
nothing about any."""


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
        self.uses = [0] * len(attributes.values)
        columns = attributes.membership.tocsc()
        self.items_with = [
            frozenset(columns.indices[start:end].tolist())
            for start, end in zip(columns.indptr[:-1], columns.indptr[1:], strict=True)
        ]

    def strongest(self, item: int) -> list[int]:
        """Return an item's values, the one that decides most first."""
        return sorted(
            self.attributes.of_item(item), key=lambda value: (-self.strength[value], value)
        )


class Exchange:
    """Draws the replacements of one item, so that they go together."""

    def __init__(self, contrasts: Contrasts, item: int, rng: np.random.Generator) -> None:
        """Begin.

        Args:
            contrasts: the values, ranked by behavior.
            item: internal index; its own values are never drawn.
            rng: draws among the most contrasting candidates.
        """
        self._contrasts = contrasts
        self._rng = rng
        self._taken = set(contrasts.attributes.of_item(item))
        self._donors: frozenset[int] | None = None

    def replacement(
        self, value: int, fits: Callable[[int], bool] = lambda candidate: True
    ) -> int | None:
        """Draw a value that users of ``value`` want little, each as likely as it is frequent.

        Values that some item has together with all replacements drawn before go first: then the
        replacements describe a thing that exists.

        Args:
            value: what is replaced.
            fits: whether a candidate can stand in the sentence.

        Returns:
            The position of the replacement, or None if nothing can take the place.
        """
        items_with = self._contrasts.items_with
        options = [
            int(option)
            for option in self._contrasts.candidates[value]
            if option != value
            and int(option) not in self._taken
            and self._contrasts.uses[option] < MOST_USES * len(items_with[option])
        ]
        while options:
            pool = options[: max(1, round(CONTRASTING_SHARE * len(options)))]
            if self._donors is not None:
                donors = self._donors
                wider = options[: max(1, round(DONATED_SHARE * len(options)))]
                pool = [one for one in wider if not donors.isdisjoint(items_with[one])] or pool
            sizes = np.array([len(items_with[option]) for option in pool], dtype=np.float64)
            drawn = pool[int(self._rng.choice(len(pool), p=sizes / sizes.sum()))]
            if fits(drawn):
                self._taken.add(drawn)
                self._contrasts.uses[drawn] += 1
                both = (self._donors or items_with[drawn]) & items_with[drawn]
                self._donors = both or self._donors
                return drawn
            options.remove(drawn)
        return None

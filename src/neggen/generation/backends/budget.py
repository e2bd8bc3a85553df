"""What answers cost, at most and in fact, and a limit on it."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass

from neggen.errors import NegGenError
from neggen.generation.backends.base import Stop
from neggen.generation.requests import Request, Usage

IMAGE_TOKENS = 3000
"""Tokens of one picture as sent, at most: most models take 250 to 1500, a few ten times as many."""
TEMPLATE_TOKENS = 64
"""Tokens that a chat template puts around two messages, at most."""


def bound_tokens(request: Request, max_tokens: int) -> Usage:
    """Return what a request takes at most.

    A token is at least one byte of UTF-8 text. The schema counts as text, because some servers
    put it into the prompt.

    Args:
        request: the request.
        max_tokens: longest answer, in tokens.
    """
    texts = (request.system, request.user, json.dumps(dict(request.schema)))
    # A lone surrogate, which JSON can carry, is three bytes.
    text = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    image = 0 if request.image is None else IMAGE_TOKENS
    return Usage(text + image + TEMPLATE_TOKENS, max_tokens)


class TokenBound:
    """:func:`bound_tokens`, widened by the largest excess that the server reports."""

    def __init__(self, max_tokens: int) -> None:
        """Begin without any excess; ``max_tokens`` is the longest answer."""
        self._max_tokens = max_tokens
        self._excess = {"text": 1.0, "image": 1.0}

    def of(self, request: Request) -> Usage:
        """Return what a request takes at most."""
        bound = bound_tokens(request, self._max_tokens)
        excess = self._excess["text" if request.image is None else "image"]
        return Usage(math.ceil(bound.prompt_tokens * excess), bound.completion_tokens)

    def learn(self, request: Request, reported: Usage) -> None:
        """Widen the bound if the request took more."""
        bound = bound_tokens(request, self._max_tokens).prompt_tokens
        kind = "text" if request.image is None else "image"
        self._excess[kind] = max(self._excess[kind], reported.prompt_tokens / bound)


@dataclass(frozen=True)
class Prices:
    """Prices in US dollars per million tokens.

    Attributes:
        input: of prompts.
        output: of answers, thinking included.
    """

    input: float
    output: float

    def __post_init__(self) -> None:
        """Refuse what is no price."""
        for name, price in (("input", self.input), ("output", self.output)):
            if not (math.isfinite(price) and price >= 0):
                raise NegGenError(
                    f"The {name} price is {price}; give US dollars per million "
                    "tokens, such as 0.15."
                )

    def of(self, usage: Usage) -> float:
        """Return the price of so many tokens, in US dollars."""
        return (
            usage.prompt_tokens * self.input + usage.completion_tokens * self.output
        ) / 1_000_000


class Budget:
    """US dollars that may be spent; reserved before every try, settled after it.

    What is spent and what is reserved never pass the limit together, as long as no try costs more
    than was reserved for it.

    Attributes:
        limit: US dollars that may be spent, over all runs.
        spent: US dollars that were spent, or may have been: a try whose answer was lost counts
            with all that was reserved for it.
    """

    def __init__(self, limit: float, spent: float = 0.0) -> None:
        """Begin with what earlier runs spent.

        Raises:
            NegGenError: If the limit is not a positive amount.
        """
        if not (math.isfinite(limit) and limit > 0):
            raise NegGenError(
                f"The budget is {limit}; give a positive amount of US dollars, such as 5."
            )
        self.limit = limit
        self.spent = spent
        self._reserved = 0.0
        self._open = 0
        self._settled = asyncio.Event()

    async def reserve(self, amount: float) -> None:
        """Reserve US dollars; if they do not fit, wait for other tries to settle for less.

        Raises:
            Stop: If they do not fit and no other try is under way.
        """
        while self.spent + self._reserved + amount > self.limit:
            if self._open == 0:
                raise Stop(
                    f"the budget of {dollars(self.limit)} does not cover the next request, which "
                    f"may cost up to {dollars(amount)}; {dollars(self.spent)} is spent so far"
                )
            await self._settled.wait()
        self._reserved += amount
        self._open += 1

    def settle(self, reserved: float, cost: float) -> None:
        """Give ``reserved`` back and count ``cost`` as spent."""
        self._open -= 1
        # Without rounding errors of many additions and subtractions.
        self._reserved = self._reserved - reserved if self._open else 0.0
        self.spent += cost
        self._settled.set()
        self._settled = asyncio.Event()


def dollars(amount: float) -> str:
    """Return an amount for people.

    >>> dollars(5.0), dollars(0.000321)
    ('$5.00', '$0.000321')
    """
    return f"${amount:,.2f}" if amount == 0 or amount >= 0.1 else f"${amount:.6f}"

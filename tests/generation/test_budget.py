from __future__ import annotations

import asyncio
import random

import pytest

from neggen.errors import NegGenError
from neggen.generation.backends.base import Stop
from neggen.generation.backends.budget import (
    IMAGE_TOKENS,
    Budget,
    Prices,
    TokenBound,
    bound_tokens,
)
from neggen.generation.requests import Request, Usage


def ask(user: str, image: bytes | None = None) -> Request:
    return Request("i", "text", "fused", 1, "system", user, {"type": "object"}, image)


def test_every_byte_may_be_a_token_and_a_picture_many() -> None:
    short, long = bound_tokens(ask("猫"), 50), bound_tokens(ask("猫" * 101), 50)
    assert long.prompt_tokens - short.prompt_tokens == 300
    assert short.prompt_tokens >= len(b"system") + 3 + len('{"type": "object"}')
    pictured = bound_tokens(ask("猫", b"..."), 50)
    assert pictured.prompt_tokens - short.prompt_tokens == IMAGE_TOKENS
    assert short.completion_tokens == 50
    assert bound_tokens(ask("\ud800"), 50) == short


def test_the_bound_grows_with_what_the_server_reports_for_pictures_apart() -> None:
    bound, pictured, plain = TokenBound(50), ask("x", b"..."), ask("x")
    before = bound.of(plain)
    bound.learn(pictured, Usage(20_000, 1))
    bound.learn(pictured, Usage(10, 1))
    assert 20_000 <= bound.of(pictured).prompt_tokens <= 20_001
    assert bound.of(plain) == before


def test_prices_are_per_million_tokens() -> None:
    assert Prices(0.15, 0.6).of(Usage(1000, 500)) == pytest.approx(0.00045)


@pytest.mark.parametrize("price", [-1.0, float("nan"), float("inf")])
def test_what_is_no_price_or_budget_is_refused(price: float) -> None:
    with pytest.raises(NegGenError, match="price"):
        Prices(1.0, price)
    with pytest.raises(NegGenError, match="budget"):
        Budget(price)


def test_what_is_spent_and_reserved_never_passes_the_limit() -> None:
    async def scenario() -> tuple[Budget, float]:
        budget, generator = Budget(1.0, spent=0.1), random.Random(0)
        most = in_flight = 0.0

        async def work() -> None:
            nonlocal most, in_flight
            while True:
                await budget.reserve(0.03)
                in_flight += 0.03
                most = max(most, budget.spent + in_flight)
                await asyncio.sleep(0)
                in_flight -= 0.03
                budget.settle(0.03, generator.choice([0.0, 0.002, 0.03]))

        results = await asyncio.gather(*[work() for _ in range(50)], return_exceptions=True)
        assert all(isinstance(result, Stop) for result in results)
        return budget, most

    budget, most = asyncio.run(scenario())
    assert most <= 1.0 + 1e-9
    # It was used up, save what the next request may have cost.
    assert 0.97 < budget.spent <= 1.0


def test_what_does_not_fit_waits_for_others_to_settle_for_less() -> None:
    async def scenario() -> None:
        budget = Budget(1.0)
        await budget.reserve(0.9)
        waiting = asyncio.create_task(budget.reserve(0.5))
        await asyncio.sleep(0)
        assert not waiting.done()
        budget.settle(0.9, 0.1)
        await waiting

    asyncio.run(scenario())


def test_the_reason_to_stop_says_how_much_was_spent() -> None:
    said = r"budget of \$5\.00 does not cover the next .* up to \$0\.03.*; \$4\.98 is spent so far"
    with pytest.raises(Stop, match=said):
        asyncio.run(Budget(5.0, spent=4.98).reserve(0.03))

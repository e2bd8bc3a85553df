from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from neggen.errors import NegGenError
from neggen.generation.backends.base import Ended, Stop
from neggen.generation.backends.budget import Budget, Prices
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.requests import Completion, Usage

if TYPE_CHECKING:
    from conftest import ChatServer

    from .conftest import Client


def test_without_prices_no_cost_is_known_and_with_them_it_is(
    client: Client, server: ChatServer
) -> None:
    server.reply = lambda number, body: (429, {}) if number == 0 else server.say("Hello.")
    (answer,) = client.ask(client.backend(prices=Prices(2.0, 10.0)), client.question())
    assert answer == Completion("Hello.", Usage(7, 3), cost=pytest.approx(44e-6))
    assert client.ask(client.backend(), client.question())[0].cost is None


@pytest.mark.parametrize("tokens", [10**20, 10**400])
def test_more_tokens_than_there_can_be_count_as_not_reported(
    client: Client, server: ChatServer, tokens: int
) -> None:
    usage = {"prompt_tokens": tokens, "completion_tokens": 3}
    server.reply = lambda number, body: (200, {**client.completion(), "usage": usage})
    (answer,) = client.ask(client.backend(), client.question())
    assert isinstance(answer, Completion)
    assert answer.usage == Usage(0, 0)


def test_an_answer_costs_its_lost_tries_too(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: client.cut if number == 0 else server.say("Hello.")
    budget = Budget(10_000.0)
    (answer,) = client.ask(
        client.backend(prices=client.a_dollar_a_token, budget=budget, max_tokens=100),
        client.question(),
    )
    most = answer.cost - 10
    assert 100 < most < 400
    assert answer.usage == Usage(7, 3)
    assert budget.spent == answer.cost


def test_a_failure_costs_what_its_tries_may_have_cost(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: (200, client.completion(message={"content": ""}))
    assert client.failure(client.backend(prices=client.a_dollar_a_token)).cost == 10
    server.reply = lambda number, body: (400, {})
    assert client.failure(client.backend(prices=client.a_dollar_a_token)).cost == 0
    server.reply = lambda number, body: client.cut
    one = client.failure(client.backend(prices=client.a_dollar_a_token, max_retries=0)).cost
    assert one > 1024
    assert (
        client.failure(client.backend(prices=client.a_dollar_a_token, max_retries=1)).cost
        == 2 * one
    )


def test_an_answer_without_usage_costs_what_was_reserved(
    client: Client, server: ChatServer
) -> None:
    server.reply = lambda number, body: (200, client.completion(usage=None))
    budget = Budget(10_000.0)
    (answer,) = client.ask(
        client.backend(prices=client.a_dollar_a_token, budget=budget, max_tokens=100),
        client.question(),
    )
    assert 100 < answer.cost < 400
    assert budget.spent == answer.cost


def test_the_budget_is_never_passed_and_used_up(client: Client, server: ChatServer) -> None:
    billed = 0.0

    def reply(number: int, body: dict[str, Any]) -> Any:
        nonlocal billed
        if number % 7 == 3:
            return 429, {}
        billed += 10
        return server.say("Hello.")

    server.reply = reply
    server.delay = 0.002
    budget = Budget(1_500.0, spent=100.0)
    asked = client.backend(prices=client.a_dollar_a_token, budget=budget, max_tokens=100)
    results = client.ask(asked, *map(client.question, range(400)))
    answers = [result for result in results if isinstance(result, Completion)]
    stops = [result for result in results if isinstance(result, Stop)]
    assert len(answers) + len(stops) == 400
    assert "budget of $1,500.00 does not cover" in str(stops[0])
    assert budget.spent == 100 + billed == 100 + 10 * len(answers)
    assert 1_500 - 400 < budget.spent <= 1_500


def test_a_retry_that_the_budget_does_not_allow_reports_what_was_spent(
    client: Client, server: ChatServer
) -> None:
    server.reply = lambda number, body: client.cut
    budget = Budget(400.0)
    asked = client.backend(prices=client.a_dollar_a_token, budget=budget, max_tokens=100)
    (stop,) = client.ask(asked, client.question())
    assert isinstance(stop, Stop)
    assert stop.cost == budget.spent > 100
    assert len(server.calls) == 1


def test_more_tokens_than_the_bound_are_reserved_from_then_on(
    client: Client, server: ChatServer
) -> None:
    dear = client.completion(usage={"prompt_tokens": 5000, "completion_tokens": 3})
    server.reply = lambda number, body: (200, dear) if number == 0 else client.cut
    asked = client.backend(
        prices=client.a_dollar_a_token, max_tokens=100, concurrency=1, max_retries=0
    )
    first, second = client.ask(asked, client.question(), client.question())
    assert first.cost == 5003
    assert 5100 <= second.cost <= 5101


def test_a_try_that_nobody_waits_for_any_more_may_have_cost_all(
    client: Client, server: ChatServer
) -> None:
    server.delay = 0.5
    budget = Budget(10_000.0)

    async def job() -> None:
        asked = client.backend(prices=client.a_dollar_a_token, budget=budget, max_tokens=100)
        task = asyncio.create_task(asked.complete(client.question()))
        while not server.calls:
            await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait([task])
        await asked.close()

    asyncio.run(job())
    assert 100 < budget.spent < 400


def test_a_budget_without_prices_is_refused() -> None:
    with pytest.raises(NegGenError, match="prices"):
        OpenAICompatibleBackend("http://x/v1", "m", budget=Budget(1.0))


def test_what_ends_the_run_tells_what_was_spent_before(client: Client, server: ChatServer) -> None:
    server.reply = lambda number, body: client.cut if number == 0 else (401, {})
    (error,) = client.ask(client.backend(prices=client.a_dollar_a_token), client.question())
    assert isinstance(error, Ended)
    assert "refused the key" in str(error)
    assert error.cost is not None
    assert error.cost > 1024
    server.reply = lambda number, body: (401, {})
    (error,) = client.ask(client.backend(prices=client.a_dollar_a_token), client.question())
    assert error.cost is None

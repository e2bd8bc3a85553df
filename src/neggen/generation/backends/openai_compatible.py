"""Any server that speaks the OpenAI chat-completions protocol, such as vLLM or llama.cpp."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neggen.errors import NegGenError
from neggen.generation.backends.base import Ended, RequestFailed, Stop
from neggen.generation.backends.budget import Budget, Prices, TokenBound
from neggen.generation.backends.chat import chat_messages
from neggen.generation.backends.dialect import Complaint, Dialect
from neggen.generation.backends.replies import REFUSALS, FirstReplies, Outcome, hopeless, read_reply
from neggen.generation.backends.wire import KEY_VARIABLE, Reply, Wire
from neggen.generation.pacing.backoff import wait_before
from neggen.generation.pacing.breaker import Breaker
from neggen.generation.pacing.gate import Gate
from neggen.generation.requests import Completion, Request, Usage

OPENAI_URL = "https://api.openai.com/v1"
LONGEST_SIDE = 768
"""Pixels of a picture's longer side as sent: a bound on both traffic and image tokens."""


class OpenAICompatibleBackend:
    """Asks a chat-completions server, with the answer's JSON schema in ``response_format``.

    The key comes from the environment variable ``OPENAI_API_KEY`` only; a server of one's own that
    needs none gets a dummy. What may pass is tried again: time-outs, cut connections, half
    answers, 408, 409, 425 and 5xx. While the server asks to be left alone (429, or 503 with a
    wait), nothing is sent, and that counts as a try of none. Options that the server refuses are
    left out from then on.

    Attributes:
        dialect: the options that the server has not refused so far.
    """

    name = "openai-compatible"
    finished = False

    def __init__(
        self,
        base_url: str,
        model: str,
        *,
        temperature: float = 0.7,
        max_tokens: int = 1024,
        timeout: float = 120.0,
        max_retries: int = 6,
        concurrency: int = 256,
        requests_per_minute: int | None = None,
        tokens_per_minute: int | None = None,
        prices: Prices | None = None,
        budget: Budget | None = None,
        patience: float = 600.0,
    ) -> None:
        """Prepare; nothing is sent yet.

        Args:
            base_url: address of the API, such as ``http://localhost:8000/v1``.
            model: the model's id there.
            temperature: of the sampling, unless the server refuses to be told.
            max_tokens: longest answer, thinking included.
            timeout: seconds until one try is given up.
            max_retries: further tries after one that failed for a passing reason.
            concurrency: most requests in flight; fewer while the server complains.
            requests_per_minute: most requests sent in a minute; None for no limit.
            tokens_per_minute: most tokens, of prompts and answers; None for no limit.
            prices: of the model; without them no cost is known.
            budget: what may be spent; needs ``prices``.
            patience: seconds after which a server that does not answer any request ends the run,
                be it down or asked too much.

        Raises:
            NegGenError: If ``base_url``, the key or a number cannot be used.
        """
        _check_numbers(
            max_tokens=max_tokens, timeout=timeout, concurrency=concurrency, patience=patience,
            requests_per_minute=requests_per_minute, tokens_per_minute=tokens_per_minute,
        )  # fmt: skip
        for name, number in (("temperature", temperature), ("max_retries", max_retries)):
            if not (math.isfinite(number) and number >= 0):
                raise NegGenError(f"{name} must not be negative, but is {number}.")
        if budget is not None and prices is None:
            raise NegGenError("A budget needs the prices of the model's input and output tokens.")
        self.model = model
        self.dialect = Dialect()
        # Without the address: the same model may move to another server.
        self.parameters: Mapping[str, Any] = {
            "temperature": temperature,
            "max_tokens": max_tokens,
            "longest_side": LONGEST_SIDE,
        }
        self._temperature = temperature
        self._max_tokens = max_tokens
        self._max_retries = max_retries
        self._bound = TokenBound(max_tokens)
        self._prices = prices
        self._budget = budget
        self._wire = Wire(base_url, timeout)
        self._gate = Gate(
            Breaker(self._wire.address, patience=patience),
            concurrency=concurrency,
            requests_per_minute=requests_per_minute,
            tokens_per_minute=tokens_per_minute,
        )
        self._reached = False
        self._forbidden = 0  # so many replies in a row
        self._first = FirstReplies(self._wire.address)

    async def complete(self, request: Request) -> Completion:
        """Answer one request; see ``Backend``."""
        messages = await chat_messages(request, LONGEST_SIDE)
        bill: list[float] = []
        try:
            return await self._answer(request, messages, bill)
        except Stop as stop:
            raise Stop(str(stop), sum(bill) or None) from None
        except NegGenError as error:
            self._gate.close(str(error))
            raise Ended(str(error), sum(bill) or None) from None

    async def _answer(
        self, request: Request, messages: list[dict[str, Any]], bill: list[float]
    ) -> Completion:
        """Answer one request; what every try costs is added to ``bill``."""
        failures = 0
        while True:
            tried = await self._try(request, messages, bill)
            known_cost = None if self._prices is None else sum(bill)
            outcome = tried.outcome
            if outcome.text is not None:
                text = self._wire.redact_answer(outcome.text)
                return Completion(text, outcome.usage or Usage(), known_cost)
            if outcome.busy:  # then the gate holds all requests
                continue
            if outcome.complaint is not None and self._step_down(tried.dialect, outcome.complaint):
                continue
            hopeless_alike = self._first.hopeless(outcome)
            if hopeless_alike is not None:
                raise NegGenError(hopeless_alike)
            # A probe that finds nobody, or a web page, says nothing about this request.
            failures += not (tried.probe and outcome.kind in ("unreachable", "web page"))
            if not outcome.again or failures > self._max_retries:
                tries = f" (the last of {failures} tries)" if failures > 1 else ""
                raise RequestFailed(outcome.kind, f"{outcome.reason}{tries}", known_cost)
            await self._gate.pause(wait_before(max(failures, 1), outcome.wait))

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def _try(
        self, request: Request, messages: list[dict[str, Any]], bill: list[float]
    ) -> _Try:
        bound = self._bound.of(request)
        async with self._gate.turn(bound.prompt_tokens + bound.completion_tokens) as turn:
            # Zero where no price is known, and then nobody looks at it.
            most = 0.0 if self._prices is None else self._prices.of(self._bound.of(request))
            if self._budget is not None:
                await self._budget.reserve(most)
            dialect = self.dialect
            options = dialect.options(request, self._temperature, self._max_tokens)
            body = {"model": self.model, "messages": messages, **options}
            cost = most  # if nobody waits for the answer, it may be billed all the same
            try:
                reply = await self._wire.post("chat/completions", json.dumps(body).encode())
                outcome = read_reply(reply, self._wire.redact)
                if not outcome.billed:
                    cost = 0.0
                elif outcome.usage is not None and self._prices is not None:
                    cost = self._prices.of(outcome.usage)
            finally:
                bill.append(cost)
                if self._budget is not None:
                    self._budget.settle(most, cost)
            turn.congested, turn.wait, turn.reason = outcome.congested, outcome.wait, outcome.reason
            if outcome.text is not None:
                turn.ended = "answered"
            elif outcome.busy:
                turn.ended = "busy"
            else:
                turn.ended = "down" if outcome.down else "refused"
            if outcome.usage is not None:
                turn.tokens = outcome.usage.prompt_tokens + outcome.usage.completion_tokens
                self._bound.learn(request, outcome.usage)
            elif not outcome.billed:
                turn.tokens = 0
            if outcome.text is not None or outcome.usage is not None:
                self._first.answered()
            self._forbidden = self._forbidden + 1 if outcome.kind == "http 403" else 0
            known_key = self._first.any_answer and self._forbidden < REFUSALS
            error = hopeless(
                reply, outcome, self._wire.address, self.model, self._reached, known_key
            )
            if error is not None:
                raise NegGenError(error)
            self._reached = self._reached or isinstance(reply, Reply)
        return _Try(outcome, dialect, turn.probe)

    def _step_down(self, refused: Dialect, complaint: Complaint) -> bool:
        """Return whether there is a dialect to try instead of the one refused."""
        if self.dialect == refused:  # or else another request has learned already
            self.dialect = refused.after(complaint) or refused
        return self.dialect != refused


@dataclass(frozen=True)
class _Try:
    outcome: Outcome
    dialect: Dialect
    probe: bool


async def list_models(base_url: str) -> list[str]:
    """Return the ids of the models that a server offers.

    Raises:
        NegGenError: If the server cannot be reached or refuses.
    """
    wire = Wire(base_url, timeout=30.0)
    try:
        reply = await wire.get("models")
    finally:
        await wire.close()
    reason = read_reply(reply, wire.redact).reason
    if isinstance(reply, Reply) and reply.status < 300:
        try:
            return [str(model["id"]) for model in json.loads(reply.body)["data"]]
        except (ValueError, RecursionError, LookupError, TypeError):
            reason = "its answer is no list of models"
    raise NegGenError(
        f"The server {wire.address} does not list its models ({reason}); check the address, that "
        f"it runs, and {KEY_VARIABLE}."
    )


def _check_numbers(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not (math.isfinite(value) and value > 0):
            raise NegGenError(f"{name} must be positive, but is {value}.")

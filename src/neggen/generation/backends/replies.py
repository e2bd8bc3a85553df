"""What one try came to: an answer, or a failure and what to do about it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from neggen.data.retry_after import asked_wait
from neggen.generation.backends.dialect import Complaint, read_complaint
from neggen.generation.backends.wire import KEY_VARIABLE, Lost, Reply
from neggen.generation.requests import Usage

AGAIN = {408, 409, 425, 429}
"""Statuses below 500 after which another try may help."""
CONGESTED = {408, 429, 503, 504}
"""Statuses that say that the server is asked too much."""
WEB_PAGES = 5
"""So many web pages and no answer: there is no API at this address."""
REFUSALS = 20
"""So many refusals, all the same, and no answer: it is not the items that the server refuses."""
MOST_TOKENS = 10**9
"""No call takes more, whatever a server says."""
TOO_LARGE = re.compile(rb"request too large|must be reduced", re.IGNORECASE)
"""What a 429 says that no waiting mends: one request is over the limit of a minute."""
MAY_BE_BILLED = {408, 502, 504}
"""Error statuses after which a model may have answered all the same, to nobody."""


@dataclass(frozen=True)
class Outcome:
    """What one try came to.

    Attributes:
        text: the answer; None after a failure.
        usage: tokens as the server reported them; None if it did not.
        kind: of the failure, two or three words to count by.
        reason: of the failure, a sentence.
        again: whether another try may help.
        wait: seconds that the server asks to wait before it; None if it does not.
        down: whether the server may be down.
        busy: whether the server is well and wants to be left alone for a while.
        congested: whether the server is asked too much.
        telling: how many tries that end so, when no other reply has come, tell that all will; 0 if
            no number does.
        billed: whether the try may have been billed.
        complaint: what the server says about a request that it does not understand, if it does not.
    """

    text: str | None = None
    usage: Usage | None = None
    kind: str = ""
    reason: str = ""
    again: bool = False
    wait: float | None = None
    down: bool = False
    busy: bool = False
    congested: bool = False
    telling: int = 0
    billed: bool = True
    complaint: Complaint | None = None


def read_reply(reply: Reply | Lost, redact: Callable[[str], str]) -> Outcome:
    """Return what a reply, or its absence, means for the request.

    Args:
        reply: the reply.
        redact: takes the key out of a text.
    """
    if isinstance(reply, Lost):
        return Outcome(
            kind=reply.kind,
            reason=reply.reason,
            again=reply.kind != "too much",
            down=reply.kind != "too much",
            congested=reply.kind == "timeout",
            billed=reply.kind != "unreachable",
        )
    if reply.status >= 300:
        complaint = read_complaint(reply.body, redact)
        wait = asked_wait(reply.headers)
        too_large = reply.status == 429 and TOO_LARGE.search(reply.body) is not None
        busy = (reply.status == 429 and not too_large) or (reply.status == 503 and wait is not None)
        return Outcome(
            kind=f"http {reply.status}",
            reason=f"The server answered HTTP {reply.status}: {complaint.message}",
            complaint=complaint if reply.status in (400, 422) else None,
            again=(reply.status in AGAIN and not too_large) or reply.status >= 500,
            wait=wait,
            down=reply.status >= 500 and not busy,
            busy=busy,
            telling=REFUSALS if reply.status < 500 else 0,
            congested=reply.status in CONGESTED and not too_large,
            billed=reply.status in MAY_BE_BILLED,
        )
    try:
        completion = json.loads(reply.body)
    except (ValueError, RecursionError):
        if reply.body.lstrip()[:1] == b"<":
            reason = "The server sent a web page; check the base URL, which often ends in /v1."
            return Outcome(kind="web page", reason=reason, again=True, down=True, telling=WEB_PAGES)
        reason = "The server's answer is not JSON, or only half of it."
        return Outcome(kind="no json", reason=reason, again=True, down=True)
    outcome = _read_completion(completion)
    if outcome.kind == "no choices":
        said = read_complaint(reply.body, redact).message
        return replace(outcome, reason=f"The server's answer has no 'choices': {said}")
    return outcome


def hopeless(
    reply: Reply | Lost,
    outcome: Outcome,
    server: str,
    model: str,
    reached: bool,
    known_key: bool,
) -> str | None:
    """Return why no request can succeed after this reply, or None if others may.

    Args:
        reply: the reply.
        outcome: what :func:`read_reply` makes of it.
        server: how to name the server.
        model: the model asked for.
        reached: whether the server ever replied.
        known_key: whether a model answered with this key, and not everything is refused since.
    """
    if isinstance(reply, Lost):
        if reached or reply.kind != "unreachable":
            return None
        return (
            f"The server {server} cannot be reached ({reply.reason}); check the address and that "
            "it runs. Answers so far are kept: run the same command again."
        )
    status = f"HTTP {reply.status}"
    # With a good key, 403 is about what is asked: moderation, or a firewall.
    if reply.status == 401 or (reply.status == 403 and not known_key):
        return (
            f"The server {server} refused the key ({status}); set the environment variable "
            f"{KEY_VARIABLE} to a valid one."
        )
    if reply.status == 404:
        return (
            f"The server {server} has no model '{model}' ({status}); check its name, and that the "
            "base URL ends as the server wants it, often in /v1."
        )
    if reply.status == 402 or (reply.status == 429 and b"insufficient_quota" in reply.body):
        return (
            f"The server {server} says that the account has no credit left ({status}); top it up "
            "and run the same command again: answers so far are kept."
        )
    if reply.status in (405, 410):
        return (
            f"The server {server} answers no questions at this address ({outcome.reason}); give "
            "the address of its API as the base URL, which should probably end in /v1."
        )
    if 300 <= reply.status < 400:
        return (
            f"The server {server} sends requests elsewhere ({status}); give the address that it "
            "sends them to as the base URL."
        )
    return None


class FirstReplies:
    """What a server replies before its first answer; if always the same, nothing else is sent."""

    def __init__(self, server: str) -> None:
        """Begin with none; ``server`` is how to name the server."""
        self._server = server
        self.any_answer = False
        self._kinds: Counter[str] = Counter()

    def answered(self) -> None:
        """A model answered, so the address and the settings are good."""
        self.any_answer = True

    def hopeless(self, outcome: Outcome) -> str | None:
        """Count a failure and return why no request can succeed, or None if others may."""
        if self.any_answer or outcome.telling == 0:
            return None
        self._kinds[outcome.kind] += 1
        if len(self._kinds) > 1 or self._kinds[outcome.kind] < outcome.telling:
            return None
        if outcome.kind == "web page":
            return (
                f"The server {self._server} sends web pages and no answers; give the address of "
                "its API as the base URL, which should probably end in /v1."
            )
        return (
            f"The server {self._server} refused the first {outcome.telling} requests alike "
            f"({outcome.reason}); mend the cause and run the same command again with "
            "--retry-failed."
        )


def _read_completion(completion: Any) -> Outcome:
    choices = completion.get("choices") if isinstance(completion, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    usage = _read_usage(completion.get("usage")) if isinstance(completion, dict) else None
    if not isinstance(choice, dict):
        return Outcome(usage=usage, kind="no choices", again=True, telling=REFUSALS)
    message = choice.get("message")
    message = message if isinstance(message, dict) else {}
    content, refusal = message.get("content"), message.get("refusal")
    finish = choice.get("finish_reason")
    if finish == "length":
        return Outcome(
            usage=usage,
            kind="cut at max_tokens",
            reason="The answer was cut because it reached max_tokens, thinking included; allow "
            "more tokens.",
        )
    if finish == "content_filter":
        return Outcome(
            usage=usage,
            kind="content filter",
            reason="The server's content filter took the answer.",
        )
    if isinstance(refusal, str) and refusal:
        return Outcome(refusal, usage)
    if content is not None and not isinstance(content, str):
        return Outcome(
            usage=usage,
            kind="not a completion",
            reason=f"The answer's content is not text but {type(content).__name__}.",
        )
    if not content:
        # Nothing came that is worth keeping, so the next run may ask again.
        return Outcome(
            usage=usage,
            kind="no text",
            reason=f"The server sent no text (finish reason: {str(finish)[:50]!r}).",
        )
    return Outcome(content, usage)


def _read_usage(usage: Any) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if not isinstance(prompt, int) or not isinstance(completion, int):
        return None
    if min(prompt, completion) < 0 or max(prompt, completion) > MOST_TOKENS:
        return None
    return Usage(prompt, completion)

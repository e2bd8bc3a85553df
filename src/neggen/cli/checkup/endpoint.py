"""Whether an OpenAI-compatible server can describe items."""

from __future__ import annotations

import io
import json
import time
from typing import TYPE_CHECKING

from neggen.cli.checkup import Check, Note
from neggen.errors import NegGenError, nearest
from neggen.event_loop import run_to_end

if TYPE_CHECKING:
    from neggen.generation.backends.replies import Outcome
    from neggen.generation.requests import Request

TIMEOUT = 60.0
MODELS_SHOWN = 5
SCHEMA = {
    "type": "object",
    "properties": {"description": {"type": "string"}},
    "required": ["description"],
    "additionalProperties": False,
}
"""The form of the answer to the first question of the staged plan."""
SHOWN = 60
"""Letters of an answer that a finding quotes."""
LIMITS = {
    "x-ratelimit-limit-requests": "--requests-per-minute",
    "x-ratelimit-limit-tokens": "--tokens-per-minute",
}
"""Headers that OpenAI and others send, and the options that keep to them."""


def endpoint_checks(base_url: str, model: str | None) -> dict[str, Check]:
    """Return the checks by name; a model is tried by two questions, which cost some tokens."""
    endpoint = Endpoint(base_url, model)
    if model is None:
        return {"endpoint": endpoint.reach}
    return {
        "endpoint": endpoint.reach,
        "schema": endpoint.schema,
        "pictures": endpoint.pictures,
        "limits": endpoint.limits,
    }


class Endpoint:
    """One server and the model that is to be asked there."""

    def __init__(self, base_url: str, model: str | None) -> None:
        """Send nothing yet."""
        self.base_url = base_url
        self.model = model
        self._headers: dict[str, str] | None = None

    def reach(self) -> str:
        """Whether it answers, takes the key, and offers the model."""
        from neggen.generation.backends.openai_compatible import list_models

        started = time.monotonic()
        models = run_to_end(list_models(self.base_url))
        if self.model is not None and self.model not in models:
            raise NegGenError(
                f"The server {self.base_url} offers no model '{self.model}' but "
                f"{_listed(models)}.{nearest(self.model, models)}"
            )
        told = f"{_listed(models)} ({1000 * (time.monotonic() - started):.0f} ms)"
        return told if self.model else f"{told}; name one with --model to try it"

    def schema(self) -> str:
        """Whether answers have the form asked for, though the question does not speak of it."""
        outcome, form, seconds = self._ask("What is a mug? Answer in one plain sentence.", None)
        answered = f"answered in {seconds:.1f} s"
        if form != "json_schema":
            return Note(
                f"{answered}, but refuses response_format json_schema: neggen asks by "
                f"{form} instead, and again where an answer is no JSON"
            )
        if not _fits(outcome.text or ""):
            return Note(
                f"{answered}, but ignores the JSON schema: neggen asks again where an answer does "
                "not fit; a server that enforces it, such as vLLM, wastes no answers"
            )
        return f"{answered}, in the form of the JSON schema"

    def pictures(self) -> str:
        """Whether it takes a picture."""
        from PIL import Image

        drawn = io.BytesIO()
        Image.new("RGB", (64, 64), "red").save(drawn, "PNG")
        question = "Which colour is this picture? Answer in one plain sentence."
        try:
            outcome, _, seconds = self._ask(question, drawn.getvalue())
        except NegGenError as error:
            return Note(f"refused: {error} Describe texts alone with: --modality text")
        said = " ".join((outcome.text or "").split())[:SHOWN]
        return f"taken; of a red one it says {said!r} ({seconds:.1f} s)"

    def limits(self) -> str:
        """What it says of how much it may be asked."""
        if self._headers is None:
            return ""  # it has not answered, which another check says
        told = [
            f"{option} {self._headers[name]}"
            for name, option in LIMITS.items()
            if name in self._headers
        ]
        if told:
            return f"it allows: {' '.join(told)}"
        return "it tells none; the pace follows its refusals"

    def _ask(self, question: str, image: bytes | None) -> tuple[Outcome, str, float]:
        """Return the answer, how its form was demanded in the end, and the seconds it took.

        Raises:
            NegGenError: If there is none.
        """
        return run_to_end(self._ask_async(question, image))

    async def _ask_async(self, question: str, image: bytes | None) -> tuple[Outcome, str, float]:
        from neggen.generation.backends.chat import chat_body
        from neggen.generation.backends.dialect import Dialect
        from neggen.generation.backends.openai_compatible import LONGEST_SIDE
        from neggen.generation.backends.replies import hopeless, read_reply
        from neggen.generation.backends.wire import Reply, Wire

        parameters = {"temperature": 0.0, "max_tokens": 1024, "longest_side": LONGEST_SIDE}
        model, dialect = str(self.model), Dialect()
        wire = Wire(self.base_url, TIMEOUT)
        try:
            while True:
                body = await chat_body(_request(question, image), model, parameters, dialect)
                started = time.monotonic()
                reply = await wire.post("chat/completions", json.dumps(body).encode())
                seconds = time.monotonic() - started
                outcome = read_reply(reply, wire.redact)
                simpler = outcome.complaint and dialect.after(outcome.complaint)
                if not simpler:
                    break
                dialect = simpler
        finally:
            await wire.close()
        if outcome.text is None:
            why = hopeless(reply, outcome, wire.address, model, reached=False, known_key=False)
            raise NegGenError(why or outcome.reason)
        if isinstance(reply, Reply):
            self._headers = {name.lower(): value for name, value in reply.headers.items()}
        return outcome, dialect.form, seconds


def _listed(models: list[str]) -> str:
    more = ", …" if len(models) > MODELS_SHOWN else ""
    return ", ".join(models[:MODELS_SHOWN]) + more or "none"


def _request(question: str, image: bytes | None) -> Request:
    from neggen.generation.requests import Request

    return Request(
        item_id="checkup",
        modality="text" if image is None else "image",
        step="describe",
        attempt=1,
        system="You describe things.",
        user=question,
        schema=SCHEMA,
        image=image,
    )


def _fits(answer: str) -> bool:
    """Return whether an answer, without the thinking before it, is as ``SCHEMA`` says."""
    try:
        found = json.loads(answer.rpartition("</think>")[2])
    except (ValueError, RecursionError):
        return False
    return isinstance(found, dict) and found.keys() == {"description"}

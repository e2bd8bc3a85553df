"""Which optional fields of a chat-completions request a server understands, learned from errors."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

from neggen.generation.requests import Request

_FORMAT = re.compile(
    r"response[_ .]?format|json[_ ]schema|json[_ ]object|structured[_ ]output|guided|grammar", re.I
)
_REFUSED = re.compile(
    r"unsupported|not? (?:be |currently )?(?:support|permit|allow|accept)|n't (?:support|allow)"
    r"|unknown|unrecogni[sz]ed|unexpected|deprecated|unavailable|only the default|extra (?:in|fi)",
    re.I,
)
_FIELDS = ("response_format", "max_tokens", "temperature", "model", "messages")


@dataclass(frozen=True)
class Complaint:
    """What a server says about a request that it refuses.

    Attributes:
        field: the field of the request that it names, or None.
        message: its explanation.
    """

    field: str | None
    message: str


@dataclass(frozen=True)
class Dialect:
    """How to ask one server.

    Attributes:
        form: how the form of the answer is demanded: ``json_schema``, ``json_object``, or not at
            all, so that only the prompt does.
        length: the field that bounds the answer.
        temperature: whether a temperature is sent.
    """

    form: Literal["json_schema", "json_object", "prompt"] = "json_schema"
    length: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    temperature: bool = True

    def options(self, request: Request, temperature: float, max_tokens: int) -> dict[str, Any]:
        """Return the optional fields of the body of ``request``."""
        fields: dict[str, Any] = {self.length: max_tokens}
        if self.temperature:
            fields["temperature"] = temperature
        if self.form == "json_schema":
            schema = {"name": request.step, "schema": dict(request.schema), "strict": True}
            fields["response_format"] = {"type": "json_schema", "json_schema": schema}
        elif self.form == "json_object":
            fields["response_format"] = {"type": "json_object"}
        return fields

    def after(self, complaint: Complaint) -> Dialect | None:
        """Return the dialect to go on with, or None if the complaint is about something else.

        Each step leaves something out and none comes back, so there are at most four.
        """
        field, message = complaint.field, complaint.message
        refused = _REFUSED.search(message) is not None
        if self.length == "max_tokens" and (
            (field == "max_tokens" and refused)
            or (field is None and refused and "max_completion_tokens" in message)
        ):
            # Servers whose context is too short for the item name both fields too.
            too_long = re.search(r"too (?:large|long)|context|maximum|exceed", message, re.I)
            return None if too_long else replace(self, length="max_completion_tokens")
        if self.temperature and refused and (
            field == "temperature" or (field is None and "temperature" in message)
        ):  # fmt: skip
            return replace(self, temperature=False)
        if field == "response_format" or (field is None and _FORMAT.search(message)):
            if self.form == "json_schema":
                return replace(self, form="json_object")
            if self.form == "json_object":
                return replace(self, form="prompt")
        return None


def read_complaint(body: bytes, redact: Callable[[str], str] = str) -> Complaint:
    """Return what the body of an error response says, whoever wrote the server.

    OpenAI's form is ``{"error": {"message", "param", "code"}}``; FastAPI's is ``{"detail": [{"loc",
    "msg"}]}``, whose ``input`` may echo the request and is left out; others send plain text.

    Args:
        body: of the response.
        redact: takes secrets out of a text.
    """
    text = body.decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except (ValueError, RecursionError):
        return Complaint(None, _printable(redact(text)))
    error = parsed.get("error", parsed) if isinstance(parsed, dict) else parsed
    if not isinstance(error, dict):
        return Complaint(None, _printable(redact(str(error))))
    param, parts = error.get("param"), [error.get("code"), error.get("message")]
    detail = error.get("detail")
    if isinstance(detail, list) and detail and isinstance(detail[0], dict):
        where = detail[0].get("loc")
        param = ".".join(map(str, where)) if isinstance(where, list) else None
        parts += [param, detail[0].get("msg")]
    else:
        parts.append(detail)
    message = " ".join(part for part in parts if isinstance(part, str) and part)
    return Complaint(_field(param), _printable(redact(message or text)))


def _field(param: object) -> str | None:
    if not isinstance(param, str):
        return None
    name = re.split(r"[.\[]", param.removeprefix("body."))[0]
    return name if name in _FIELDS else None


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else " " for char in text)[:500].strip()

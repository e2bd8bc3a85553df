"""Error bodies as servers word them (shortened), and what to leave out after each."""

from __future__ import annotations

import json

import pytest

from neggen.generation.backends.dialect import Dialect, read_complaint

FIRST = Dialect()
OBJECT = Dialect(form="json_object")
PROMPT = Dialect(form="prompt")
COMPLETION_TOKENS = Dialect(length="max_completion_tokens")
NO_TEMPERATURE = Dialect(temperature=False)


def openai(message: str, param: str | None = None, code: object = None) -> dict:
    error = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return {"error": error}


def fastapi(loc: list, msg: str, given: object = None) -> dict:
    return {"detail": [{"type": "extra_forbidden", "loc": loc, "msg": msg, "input": given}]}


@pytest.mark.parametrize(
    ("sent", "body", "then"),
    [
        (
            FIRST,
            openai(
                "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                "'max_completion_tokens' instead.",
                "max_tokens",
                "unsupported_parameter",
            ),
            COMPLETION_TOKENS,
        ),
        (FIRST, openai("max_tokens not supported, use max_completion_tokens"), COMPLETION_TOKENS),
        (
            FIRST,
            openai(
                "Unsupported value: 'temperature' does not support 0.7 with this model. Only the "
                "default (1) value is supported.",
                "temperature",
                "unsupported_value",
            ),
            NO_TEMPERATURE,
        ),
        (FIRST, {"message": "`temperature` is deprecated for this model."}, NO_TEMPERATURE),
        (
            FIRST,
            openai(
                "Invalid parameter: 'response_format' of type 'json_schema' is not supported with "
                "this model.",
                "response_format",
            ),
            OBJECT,
        ),
        (FIRST, openai("This response_format type is unavailable now"), OBJECT),
        (FIRST, openai("This model does not support response format `json_schema`."), OBJECT),
        (FIRST, openai("Invalid schema", "response_format.json_schema.schema"), OBJECT),
        (FIRST, {"error": "response_format.type must be text or json_object"}, OBJECT),
        (FIRST, {"error": {"code": 400, "message": "Failed to parse grammar"}}, OBJECT),
        (OBJECT, {"error": "'response_format.type' must be 'json_schema' or 'text'"}, PROMPT),
        (FIRST, fastapi(["body", "response_format"], "Extra inputs are not permitted"), OBJECT),
        (OBJECT, fastapi(["body", "response_format"], "Extra inputs are not permitted"), PROMPT),
        (
            FIRST,
            fastapi(["body", "temperature"], "Extra inputs are not permitted"),
            NO_TEMPERATURE,
        ),
        # Below: about something else.
        (PROMPT, fastapi(["body", "response_format"], "Extra inputs are not permitted"), None),
        (NO_TEMPERATURE, {"message": "`temperature` is not supported"}, None),
        (FIRST, openai("Image is too large", "messages[1].content[1]"), None),
        (FIRST, openai("Unsupported image in response_format", "messages[1].content"), None),
        (FIRST, openai("temperature must be between 0 and 1", "temperature"), None),
        (
            FIRST,
            openai(
                "'max_tokens' or 'max_completion_tokens' is too large: 1024. This model's maximum "
                "context length is 900 tokens, longer is not supported.",
                "max_tokens",
            ),
            None,
        ),
        (
            FIRST,
            fastapi(["body", "messages"], "Field required", {"temperature": 0.7, "max_tokens": 9}),
            None,
        ),
        (FIRST, {}, None),
        (FIRST, [], None),
        (FIRST, "no", None),
    ],
)
def test_what_to_leave_out(sent: Dialect, body: object, then: Dialect | None) -> None:
    assert sent.after(read_complaint(json.dumps(body).encode())) == then


def test_a_complaint_is_short_printable_text_whatever_was_sent() -> None:
    assert read_complaint(b"\x1b[31m\xffno\n").message == "[31m\ufffdno"
    assert len(read_complaint(b'{"error": "' + b"x" * 10_000 + b'"}').message) == 500
    assert read_complaint(b"[" * 100_000).message.startswith("[[[")
    assert read_complaint(b'{"detail": [{"loc": 3, "msg": 4}]}').message.startswith("{")
    assert read_complaint(b'{"detail": "Not here"}').message == "Not here"


def test_whatever_a_server_says_the_steps_end() -> None:
    body = openai("unsupported: max_completion_tokens, temperature, response_format")
    dialect, steps = FIRST, 0
    while (then := dialect.after(read_complaint(json.dumps(body).encode()))) is not None:
        dialect, steps = then, steps + 1
    assert steps == 4
    assert dialect == Dialect("prompt", "max_completion_tokens", temperature=False)

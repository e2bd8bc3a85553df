"""The lines of a result file: OpenAI's output and error files, and what ``vllm run-batch`` writes.

All are JSON lines ``{"custom_id", "response": {"status_code", "body"}, "error"}``. OpenAI puts a
server's error into ``body`` and what kept a request from being asked into ``error``, with no
response; vLLM puts every error into ``error``, as an object or a text.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from neggen.errors import NegGenError
from neggen.generation.backends.dialect import read_complaint
from neggen.generation.backends.replies import Outcome, read_reply
from neggen.generation.backends.wire import SHORTEST_SECRET, Reply, key_in_environment, redact

LONGEST_LINE = 16 * 2**20
"""Bytes; answers have some thousand."""
NOT_THE_ITEM = {401, 402, 403, 404}
"""Statuses that tell of the account or the model, so that the item may be asked about again."""
NOT_ASKED = {"batch_expired", "batch_cancelled"}


@dataclass(frozen=True)
class Result:
    """What became of one request.

    Attributes:
        custom_id: the key that it went out under.
        outcome: the answer, or why there is none; ``again`` says that it is to be asked again.
    """

    custom_id: str
    outcome: Outcome


def read_results(path: Path) -> Iterator[Result]:
    """Yield the results in a file, one at a time.

    The key in ``OPENAI_API_KEY`` is taken out of what the server said.

    Raises:
        NegGenError: If the file cannot be read, or at the first line that is no result.
    """
    key = key_in_environment()
    try:
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LONGEST_LINE + 1):
                number += 1
                if not line.isspace():
                    yield _read(line, f"{path}, line {number}", key)
    except OSError as error:
        raise NegGenError(
            f"The result file {path} cannot be read ({error.strerror}); check its name and "
            "permissions."
        ) from None


def _read(line: bytes, where: str, key: str | None) -> Result:
    if len(line) > LONGEST_LINE:
        raise _unusable(where, f"is longer than {LONGEST_LINE:,} bytes")
    try:
        result = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise _unusable(where, f"is not JSON ({str(error)[:100]})") from None
    custom_id = result.get("custom_id") if isinstance(result, dict) else None
    if not isinstance(custom_id, str):
        raise _unusable(where, "has no 'custom_id'")
    if "response" not in result and "error" not in result:
        if "body" in result:
            raise _unusable(where, "is a request and not its result")
        raise _unusable(where, "has neither 'response' nor 'error'")
    custom_id = custom_id.encode("utf-8", "replace").decode()  # a lone surrogate is no key
    return Result(custom_id, _outcome(result.get("response"), result.get("error"), key))


def _unusable(where: str, fault: str) -> NegGenError:
    return NegGenError(
        f"{where} {fault}, so it is no line of a batch's results; download or copy the file again, "
        "or delete the line, and import the file again: nothing is taken twice."
    )


def _outcome(response: Any, error: Any, key: str | None) -> Outcome:
    redact_error = partial(redact, key=key)
    if not isinstance(response, dict):
        code = error.get("code") if isinstance(error, dict) else None
        kind = code if isinstance(code, str) and code.isascii() and code.isidentifier() else ""
        said = read_complaint(json.dumps({"error": error}).encode(), redact_error).message
        return Outcome(
            kind=kind.replace("_", " ")[:40] or "no response",
            reason=f"It was not asked: {said}",
            again=kind in NOT_ASKED,
            billed=False,
        )
    status, body = response.get("status_code"), response.get("body")
    if not isinstance(status, int) or isinstance(status, bool):
        status = 200
    if status < 300 and error is not None and not isinstance(body, dict):
        status = 500
    if status >= 300 and body is None:
        body = error
    outcome = read_reply(Reply(status, {}, json.dumps(body).encode()), redact_error)
    text = outcome.text and redact(outcome.text, key, SHORTEST_SECRET)
    again = outcome.again or status in NOT_THE_ITEM
    return replace(outcome, text=text, again=again)

from __future__ import annotations

import base64
import io
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from PIL import Image

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.run import generate, generate_records
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer

Catalogue = Callable[..., Dataset]


def backend(server: ChatServer, **options: Any) -> OpenAICompatibleBackend:
    return OpenAICompatibleBackend(server.url, "tiny", **options)


def test_a_text_request_carries_prompts_schema_and_parameters(
    server: ChatServer, catalogue: Catalogue
) -> None:
    records = generate_records(catalogue(1), backend(server, temperature=0.25))
    assert records["negative"].to_list() == ["A blue mug with stripes."]
    assert records["generator"].to_list() == ["openai-compatible: tiny"]
    (call,) = server.calls
    assert (call["model"], call["temperature"]) == ("tiny", 0.25)
    form = call["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["strict"] is True
    assert form["json_schema"]["schema"]["additionalProperties"] is False
    assert set(form["json_schema"]["schema"]["required"]) == {"marked", "replacements"}
    assert "title: Thing number 0" in server.prompts()[0]


def test_a_picture_travels_as_a_data_uri_that_decodes(
    server: ChatServer, catalogue: Catalogue
) -> None:
    generate_records(catalogue(1, pictures=True), backend(server), modalities=["image"])
    text, image = server.calls[0]["messages"][1]["content"]
    assert "Thing number" not in text["text"]
    kind, _, data = image["image_url"]["url"].partition(",")
    assert kind == "data:image/jpeg;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        assert picture.format == "JPEG"
        assert picture.size == (40, 30)


def test_a_bad_answer_is_asked_again_and_kept(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    server.reply = lambda number, body: server.say("As an AI, no." if number == 0 else server.good)
    summary = generate(Workspace(tmp_path / "w"), catalogue(1), backend(server))
    counts = summary.modalities["text"]
    assert (counts.asked, counts.valid, counts.failed) == (2, 1, {})
    assert (counts.usage.prompt_tokens, counts.usage.completion_tokens) == (14, 6)
    assert "refusal" in server.prompts()[1]


def test_staged_generation_over_the_wire(server: ChatServer, catalogue: Catalogue) -> None:
    answers = [{"description": "A red mug."}, {"marked": "A [red] mug."}, {"replacements": ["tan"]}]
    server.reply = lambda number, body: server.say(answers[number])
    records = generate_records(catalogue(1), backend(server), plan="staged")
    assert records["negative"].to_list() == ["A tan mug."]
    names = [call["response_format"]["json_schema"]["name"] for call in server.calls]
    assert names == ["describe", "mask", "complete"]


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_failure_is_tried_again(
    server: ChatServer, catalogue: Catalogue, status: int
) -> None:
    server.reply = lambda number, body: (status, {}) if number == 0 else server.say(server.good)
    assert len(generate_records(catalogue(1), backend(server))) == 1
    assert len(server.calls) == 2


def test_a_request_without_answer_is_counted_and_asked_next_time(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        return (400, {"error": "no"}) if "number 1" in str(body) else server.say(server.good)

    server.reply = reply
    workspace, data = Workspace(tmp_path / "w"), catalogue(3)
    counts = generate(workspace, data, backend(server)).modalities["text"]
    assert (counts.asked, counts.valid, counts.failed) == (2, 2, {"http 400": 1})
    server.reply = lambda number, body: server.say(server.good)
    counts = generate(workspace, data, backend(server)).modalities["text"]
    assert (counts.asked, counts.reused, counts.valid) == (1, 2, 3)


def test_an_empty_answer_and_a_timeout_are_failures_of_one_request(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue(1)
    server.reply = lambda number, body: server.say("")
    counts = generate(workspace, data, backend(server)).modalities["text"]
    assert counts.failed == {"no text": 1}
    server.delay = 0.5
    hasty = backend(server, timeout=0.1, max_retries=0)
    assert generate(workspace, data, hasty).modalities["text"].failed == {"timeout": 1}


@pytest.mark.parametrize(("status", "hint"), [(401, "OPENAI_API_KEY"), (404, "no model 'tiny'")])
def test_what_no_request_can_survive_ends_the_run(
    server: ChatServer, catalogue: Catalogue, status: int, hint: str
) -> None:
    server.reply = lambda number, body: (status, {})
    with pytest.raises(NegGenError, match=hint):
        generate_records(catalogue(40), backend(server), concurrency=2)
    assert len(server.calls) <= 2


def test_an_unreachable_server_ends_the_run(catalogue: Catalogue) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(NegGenError, match="cannot be reached"):
            generate_records(catalogue(1), OpenAICompatibleBackend(url, "m", max_retries=0))


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(
    server: ChatServer,
    catalogue: Catalogue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    workspace = Workspace(tmp_path / "w")
    generate(workspace, catalogue(1), backend(server))
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with caplog.at_level(logging.DEBUG):
        generate(workspace, catalogue(2), backend(server))
    assert server.authorizations == ["Bearer none", "Bearer sk-very-secret"]
    assert "sk-very-secret" not in caplog.text
    for path in workspace.path.iterdir():
        assert b"sk-very-secret" not in path.read_bytes()


def test_a_picture_that_cannot_be_decoded_is_a_failure_of_its_item(
    server: ChatServer, catalogue: Catalogue, tmp_path: Path
) -> None:
    data = catalogue(2, pictures=True)
    (tmp_path / "1.png").write_bytes(b"rubbish")
    summary = generate(Workspace(tmp_path / "w"), data, backend(server), modalities=["image"])
    assert summary.modalities["image"].failed == {"unreadable picture": 1}


def test_an_address_without_scheme_is_refused() -> None:
    with pytest.raises(NegGenError, match="http://"):
        OpenAICompatibleBackend("localhost:8000/v1", "m")

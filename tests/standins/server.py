"""An OpenAI-compatible server over a transformers model that enforces ``response_format``.

    python tests/standins/server.py --model FOLDER --log calls.jsonl

It shares no code with the package, so that it checks the package's client and local models from
outside: one request at a time, through plain ``generate`` and llguidance. Under the name
``tiny-bounded`` the same model is also bounded in what the fields may hold, so that even random
weights write answers that become records.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import socket
import threading
import time
from pathlib import Path
from typing import Any

import llguidance
import llguidance.hf
import torch
import transformers
import uvicorn
from fastapi import FastAPI, HTTPException
from PIL import Image
from pydantic import BaseModel

MODEL, BOUNDED_MODEL = "tiny", "tiny-bounded"
BOUNDS = {
    "marked": {
        "type": "string",
        "pattern": r"^[A-Z][a-z]{2,9} \[[a-z]{2,9}\] [a-z]{2,9} \[[a-z]{2,9}\]\.$",
    },
    "replacements": {
        "type": "array",
        "items": {"type": "string", "pattern": "^[A-Z]{2,4}[0-9]$"},
        "minItems": 2,
        "maxItems": 2,
    },
}


class Body(BaseModel):
    """The part of a chat-completions request that is understood; the rest is ignored."""

    model: str
    messages: list[dict[str, Any]]
    max_tokens: int = 256
    temperature: float = 0.0
    seed: int = 0
    response_format: dict[str, Any] | None = None


class Enforced:
    """A logits processor for one row."""

    def __init__(self, tokenizer: llguidance.LLTokenizer, schema: dict[str, Any]) -> None:
        grammar = llguidance.LLMatcher.grammar_from_json_schema(
            schema,
            overrides={
                "whitespace_flexible": False,
                "item_separator": ", ",
                "key_separator": ": ",
            },
        )
        self.matcher = llguidance.LLMatcher(tokenizer, grammar)
        if self.matcher.is_error():
            raise HTTPException(400, self.matcher.get_error())
        self.started = False

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        if self.started:
            assert self.matcher.consume_token(int(input_ids[0, -1]))
        self.started = True
        bias = torch.frombuffer(bytearray(self.matcher.compute_logit_bias()), dtype=torch.uint8)
        return scores.masked_fill(bias[: scores.shape[1]] == 0, float("-inf"))


class Server:
    """The model and its endpoints."""

    def __init__(self, folder: Path, log: Path) -> None:
        self.model = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
        self.processor = transformers.AutoProcessor.from_pretrained(folder)
        self.grammar_tokenizer = llguidance.hf.from_tokenizer(
            self.processor.tokenizer, n_vocab=self.model.config.text_config.vocab_size
        )
        self.log = log
        self.one_at_a_time = threading.Lock()
        self.app = FastAPI()
        self.app.post("/v1/chat/completions")(self.chat)
        self.app.get("/v1/models")(self.list_models)

    def chat(self, body: Body) -> dict[str, Any]:
        received = time.time()
        if body.model not in (MODEL, BOUNDED_MODEL):
            raise HTTPException(404, f"no model {body.model}")
        schema = (body.response_format or {}).get("json_schema", {}).get("schema")
        if schema and body.model == BOUNDED_MODEL:
            fields = {name: BOUNDS.get(name, old) for name, old in schema["properties"].items()}
            schema = {**schema, "properties": fields}
        with self.one_at_a_time, torch.inference_mode():
            prompt_tokens, answer = self.generate(body, schema)
        ended = answer[-1:] == [self.model.config.text_config.eos_token_id]
        text = self.processor.tokenizer.decode(answer, skip_special_tokens=True)
        line = {"received": received, "answered": time.time(), "messages": body.messages}
        with self.log.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**line, "text": text}) + "\n")
        return {
            "id": "c",
            "object": "chat.completion",
            "created": int(received),
            "model": body.model,
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop" if ended else "length",
                    "message": {"role": "assistant", "content": text},
                }
            ],
            "usage": {
                "prompt_tokens": prompt_tokens,
                "completion_tokens": len(answer),
                "total_tokens": prompt_tokens + len(answer),
            },
        }

    def generate(self, body: Body, schema: dict[str, Any] | None) -> tuple[int, list[int]]:
        inputs = self.processor.apply_chat_template(
            [with_pictures(message) for message in body.messages],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        torch.manual_seed(body.seed)
        tokens = self.model.generate(
            **inputs,
            max_new_tokens=body.max_tokens,
            do_sample=body.temperature > 0,
            temperature=body.temperature or None,
            logits_processor=[Enforced(self.grammar_tokenizer, schema)] if schema else [],
        )
        length = inputs["input_ids"].shape[1]
        return length, tokens[0, length:].tolist()

    def list_models(self) -> dict[str, Any]:
        entry = {"object": "model", "created": 0, "owned_by": "test"}
        data = [{"id": name, **entry} for name in (MODEL, BOUNDED_MODEL)]
        return {"object": "list", "data": data}


def with_pictures(message: dict[str, Any]) -> dict[str, Any]:
    """Decode the data URIs of a message."""
    content = message["content"]
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    parts = []
    for part in content:
        if part["type"] == "image_url":
            data = base64.b64decode(part["image_url"]["url"].partition("base64,")[2])
            parts.append({"type": "image", "image": Image.open(io.BytesIO(data))})
        else:
            parts.append(part)
    return {**message, "content": parts}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    server = Server(options.model, options.log)
    listener = socket.create_server(("127.0.0.1", options.port))
    print(f"http://127.0.0.1:{listener.getsockname()[1]}/v1", flush=True)
    uvicorn.Server(uvicorn.Config(server.app, log_level="warning")).run(sockets=[listener])


if __name__ == "__main__":
    main()

"""A provider's Batch API on the loopback: files, batches, and a log of everything.

Answers are scripted. Tests decide what becomes of a request or a batch, when batches end, and after
which calls the provider falls silent though it did what was asked.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from neggen.testing.chat_server import completion, prompt_of, scripted_answer

Result = dict[str, Any]


def answered(line: dict[str, Any], text: str | None = None) -> Result:
    """The line of an output file for a request; without a text it is a valid answer."""
    body = line["body"]
    said = text if text is not None else scripted_answer(body, prompt_of(body))
    response = {"status_code": 200, "request_id": "r", "body": completion(said)}
    return {"id": "b", "custom_id": line["custom_id"], "response": response, "error": None}


def refused(line: dict[str, Any], status: int, **error: Any) -> Result:
    """The line of an error file for a request that the model's server refused."""
    response = {"status_code": status, "request_id": "r", "body": {"error": error}}
    return {"id": "b", "custom_id": line["custom_id"], "response": response, "error": None}


def expired(line: dict[str, Any]) -> Result:
    """The line of an error file for a request that was never asked."""
    error = {"code": "batch_expired", "message": "It was not asked within the completion window."}
    return {"id": "b", "custom_id": line["custom_id"], "response": None, "error": error}


@dataclass
class BatchServer:
    """One provider.

    ``result`` makes the line of a result file from the number of a batch (from 0) and a request.
    ``status`` says how the batch with a number ends. The other counters are by ``METHOD path``: how
    many calls are refused, and how many take effect but are cut off or get no answer at all.
    """

    result: Callable[[int, dict[str, Any]], Result] = lambda number, line: answered(line)
    status: Callable[[int], str] = lambda number: "completed"
    ready: bool = True
    silent: Counter[str] = field(default_factory=Counter)
    cut: Counter[str] = field(default_factory=Counter)
    failing: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    authorizations: set[str] = field(default_factory=set)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)

    def uploaded(self) -> Counter[str]:
        """How often each request was uploaded."""
        return Counter(line["custom_id"] for file in self._inputs() for line in lines_of(file))

    def asked(self) -> Counter[str]:
        """How often each request was in a batch, and so is paid for."""
        inputs = [self.files[batch["input_file_id"]] for batch in self.batches.values()]
        return Counter(line["custom_id"] for file in inputs for line in lines_of(file))

    def _inputs(self) -> list[dict[str, Any]]:
        return [file for file in self.files.values() if file["purpose"] == "batch"]

    def app(self) -> web.Application:
        """The application to serve."""
        app = web.Application(client_max_size=2**30, middlewares=[self._watch])
        app.router.add_post("/v1/files", self._upload)
        app.router.add_get("/v1/files", self._list_files)
        app.router.add_get("/v1/files/{id}/content", self._content)
        app.router.add_post("/v1/batches", self._create)
        app.router.add_get("/v1/batches", self._list_batches)
        app.router.add_get("/v1/batches/{id}", self._retrieve)
        return app

    @web.middleware
    async def _watch(self, request: web.Request, handler: Any) -> web.StreamResponse:
        call = f"{request.method} {request.path.removeprefix('/v1')}"
        self.log.append(call)
        self.authorizations.add(request.headers.get("Authorization", ""))
        if self.failing[call] > 0:
            self.failing[call] -= 1
            return web.json_response({"error": {"message": "overloaded"}}, status=503)
        response: web.StreamResponse = await handler(request)
        if self.silent[call] > 0:
            self.silent[call] -= 1
            self.log.append(f"{call} is silent")
            await asyncio.sleep(30)
        if self.cut[call] > 0 and request.transport is not None:
            self.cut[call] -= 1
            request.transport.abort()
        return response

    async def _upload(self, request: web.Request) -> web.Response:
        form = await request.post()
        upload = form["file"]
        assert isinstance(upload, web.FileField)
        assert form["purpose"] == "batch"
        file = self._add_file(upload.filename, upload.file.read(), "batch")
        return web.json_response(_described(file))

    def _add_file(self, name: str, content: bytes, purpose: str) -> dict[str, Any]:
        file = {
            "id": f"file-{len(self.files)}", "object": "file", "bytes": len(content),
            "created_at": int(time.time()), "filename": name, "purpose": purpose,
            "status": "processed", "content": content,
        }  # fmt: skip
        self.files[file["id"]] = file
        return file

    async def _list_files(self, request: web.Request) -> web.Response:
        return _page([_described(file) for file in self.files.values()], request)

    async def _content(self, request: web.Request) -> web.Response:
        return web.Response(body=self.files[request.match_info["id"]]["content"])

    async def _create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        batch = {
            "id": f"batch-{len(self.batches)}", "object": "batch", "status": "validating",
            "created_at": int(time.time()), **asked,
        }  # fmt: skip
        assert asked["endpoint"] == "/v1/chat/completions"
        self.batches[batch["id"]] = batch
        return web.json_response(batch)

    async def _list_batches(self, request: web.Request) -> web.Response:
        return _page(list(self.batches.values()), request)

    async def _retrieve(self, request: web.Request) -> web.Response:
        batch = self.batches.get(request.match_info["id"])
        if batch is None:
            return web.json_response({"error": {"message": "No such batch."}}, status=404)
        if self.ready and batch["status"] in ("validating", "in_progress"):
            self._end(batch)
        elif batch["status"] == "validating":
            batch["status"] = "in_progress"
        return web.json_response(batch)

    def _end(self, batch: dict[str, Any]) -> None:
        number = list(self.batches).index(batch["id"])
        batch["status"] = self.status(number)
        if batch["status"] == "failed":
            data = [{"code": "bad", "message": "The enqueued token limit is reached.", "line": 1}]
            batch["errors"] = {"object": "list", "data": data}
            return
        lines = lines_of(self.files[batch["input_file_id"]])
        results = [self.result(number, line) for line in lines]
        good = [r for r in results if r["response"] and r["response"]["status_code"] == 200]
        bad = [r for r in results if r not in good]
        batch["request_counts"] = {"total": len(lines), "completed": len(good), "failed": len(bad)}
        for name, part in (("output_file_id", good), ("error_file_id", bad)):
            if part:
                text = "".join(json.dumps(result) + "\n" for result in part)
                batch[name] = self._add_file(name, text.encode(), "batch_output")["id"]


def lines_of(file: dict[str, Any]) -> list[dict[str, Any]]:
    """The JSON lines of a file."""
    return [json.loads(line) for line in file["content"].splitlines()]


def _described(file: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in file.items() if name != "content"}


def _page(rows: list[dict[str, Any]], request: web.Request) -> web.Response:
    """One page, newest first, of at most two rows, so that clients must turn pages."""
    rows = rows[::-1]
    ids = [row["id"] for row in rows]
    after = request.query.get("after")
    start = ids.index(after) + 1 if after else 0
    page = rows[start : start + 2]
    return web.json_response(
        {
            "object": "list",
            "data": page,
            "first_id": page[0]["id"] if page else None,
            "last_id": page[-1]["id"] if page else None,
            "has_more": start + 2 < len(rows),
        }
    )

"""Trained runs of a small shop, and a stand-in for the Hugging Face Hub."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web

from neggen.config import SplitConfig
from neggen.runs import Run, train_run
from neggen.testing.serving import serve_in_thread
from neggen.workspace import Workspace

SHORT = {"epochs": 2, "dim": 8}
SETTINGS: dict[str, dict[str, Any]] = {
    "mf": SHORT,
    "popularity": {},
    "ease": {},
    "item-knn": {},
    "content-knn": {"content": "descriptions"},
    "neggen-linear": {},
    "neggen": {**SHORT, "heads": 2, "base": SHORT},
    "neggen on ease": {**SHORT, "heads": 2, "backbone": "ease"},
}
TOKEN = "hf_not_to_be_told"


@pytest.fixture(scope="session")
def trained(described: Path, tmp_path_factory: pytest.TempPathFactory):
    """Train a model of that name on the shop, once; runs are to be read only."""
    place = shutil.copytree(described, tmp_path_factory.mktemp("trained") / "shop")
    runs: dict[str, Run] = {}

    def train(name: str) -> Run:
        if name not in runs:
            model = name.partition(" ")[0]
            runs[name] = train_run(Workspace.open(place), model, SETTINGS[name], SplitConfig())
        return runs[name]

    return train


@dataclass
class Hub:
    """What the client asks of the Hub when it makes a repository and uploads a folder."""

    public: bool = False
    full: bool = False
    files: dict[str, bytes] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)
    created: list[dict[str, Any]] = field(default_factory=list)
    url: str = ""

    def app(self) -> web.Application:
        app = web.Application(client_max_size=2**26, middlewares=[_authorized])
        repo = "/api/models/{owner}/{name}"
        app.router.add_post("/api/repos/create", self.create)
        app.router.add_post("/api/validate-yaml", self.validate)
        app.router.add_get(repo, self.info)
        app.router.add_post(f"{repo}/preupload/main", self.preupload)
        app.router.add_post(f"{repo}/commit/main", self.commit)
        app.router.add_post("/{owner}/{name}.git/info/lfs/objects/batch", self.batch)
        app.router.add_put("/objects/{oid}", self.store)
        return app

    async def create(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.created.append(asked)
        return web.json_response({"url": f"{self.url}/me/{asked['name']}"})

    async def validate(self, request: web.Request) -> web.Response:
        _, front_matter, _ = (await request.json())["content"].split("---\n", 2)
        assert yaml.safe_load(front_matter)["library_name"] == "neggen"
        return web.json_response({"errors": [], "warnings": []})

    async def info(self, request: web.Request) -> web.Response:
        name = f"{request.match_info['owner']}/{request.match_info['name']}"
        return web.json_response(
            {"id": name, "modelId": name, "private": not self.public, "tags": [], "siblings": []}
        )

    async def preupload(self, request: web.Request) -> web.Response:
        modes = [
            {
                "path": file["path"],
                "uploadMode": "regular" if file["path"].endswith((".md", ".toml")) else "lfs",
                "shouldIgnore": False,
            }
            for file in (await request.json())["files"]
        ]
        return web.json_response({"files": modes})

    async def batch(self, request: web.Request) -> web.Response:
        objects = [
            {**each, "actions": {"upload": {"href": f"{self.url}/objects/{each['oid']}"}}}
            for each in (await request.json())["objects"]
        ]
        return web.json_response({"transfer": "basic", "objects": objects})

    async def store(self, request: web.Request) -> web.Response:
        if self.full:
            return web.Response(status=507)
        content = await request.read()
        oid = request.match_info["oid"]
        if hashlib.sha256(content).hexdigest() != oid:
            return web.Response(status=422)
        self.objects[oid] = content
        return web.Response()

    async def commit(self, request: web.Request) -> web.Response:
        for line in (await request.text()).splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                self.files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                self.files[value["path"]] = self.objects[value["oid"]]
        oid = "0" * 40
        return web.json_response(
            {"commitUrl": f"{self.url}/me/shop/commit/{oid}", "commitOid": oid, "success": True}
        )


@web.middleware
async def _authorized(request: web.Request, handler: Any) -> web.StreamResponse:
    # Objects go to a store of their own, whose addresses are signed.
    told = request.headers.get("Authorization") == f"Bearer {TOKEN}"
    if not told and not request.path.startswith("/objects/"):
        error = f"Invalid credentials of {request.headers['Authorization'].removeprefix('Bearer ')}"
        return web.json_response({"error": error}, status=401)
    response: web.StreamResponse = await handler(request)
    return response


@pytest.fixture
def hub() -> Iterator[Hub]:
    served = Hub()
    with serve_in_thread(served.app()) as address:
        served.url = address
        yield served

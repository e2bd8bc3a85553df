"""Two real nodes on this machine: whoever dies, nothing is lost and nothing is asked twice."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from filelock import FileLock

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.budget import Prices
from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
from neggen.generation.distributed import driver, generate_on_ray, reach
from neggen.generation.distributed.cluster import connected
from neggen.generation.journal.file import shard_folder
from neggen.generation.journal.owner import owners_folder
from neggen.generation.prepared import GenerationSummary
from neggen.generation.record_files import read_records
from neggen.generation.run import generate
from neggen.testing.chat_server import prompt_of, scripted_answer
from neggen.workspace import Workspace

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
cluster_utils = pytest.importorskip("ray.cluster_utils", reason="needs the extra: neggen[ray]")

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

    from conftest import ChatServer

ITEMS = 60
CONCURRENCY = 4
NODE = {"num_cpus": 1, "object_store_memory": 100 * 2**20}

PROGRAM = textwrap.dedent(
    """
    import sys
    from functools import partial
    from pathlib import Path
    sys.path.insert(0, sys.argv[1])
    from test_distributed import CONCURRENCY, catalogue_of
    from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend
    from neggen.generation.distributed import generate_on_ray
    from neggen.workspace import Workspace
    folder, url, address, items = sys.argv[2:]
    make = partial(OpenAICompatibleBackend, url, "m")
    data = catalogue_of(int(items))
    generate_on_ray(Workspace(folder), data, make, address, concurrency=CONCURRENCY)
    """
)


def catalogue_of(items: int) -> Dataset:
    ids = [f"i{number}" for number in range(items)]
    table = pl.DataFrame({"item_id": ids, "title": [f"Thing {name}" for name in ids]})
    return Dataset.from_frames(pl.DataFrame({"user_id": ["u"] * items, "item_id": ids}), table)


@pytest.fixture(scope="module")
def cluster(cluster_lock: FileLock) -> Iterator[Cluster]:
    """One node; a test adds further ones."""
    quick = {
        "health_check_initial_delay_ms": 0,
        "health_check_period_ms": 500,
        "health_check_failure_threshold": 2,
    }
    head = {**NODE, "include_dashboard": False, "_system_config": quick}
    with cluster_lock:
        cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=head)
        yield cluster
        cluster.shutdown()


@pytest.fixture
def scripted(server: ChatServer) -> ChatServer:
    server.reply = lambda number, body: server.say(scripted_answer(body, prompt_of(body)))
    return server


def shards_of(folder: Path) -> list[Path]:
    return list(shard_folder(Workspace(folder).journal_path).glob("*.sqlite"))


def acknowledged(*journals: Path) -> set[str]:
    """The items with an acknowledged answer."""
    found: set[str] = set()
    for path in journals:
        try:
            with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as file:
                found |= {item for (item,) in file.execute("SELECT item_id FROM answers")}
        except sqlite3.OperationalError:  # it is being made, or was merged just now
            continue
    return found


def workers_at_work(folder: Path) -> int:
    """How many shards with an answer are being written."""
    written = [shard for shard in shards_of(folder) if list(owners_folder(shard).glob("*.lock"))]
    return sum(bool(acknowledged(shard)) for shard in written)


def asked_for(server: ChatServer) -> Counter[str]:
    return Counter(prompt.partition("Thing ")[2].split()[0] for prompt in server.prompts())


def when(condition: Callable[[], bool], act: Callable[[], Any]) -> threading.Thread:
    def wait() -> None:
        for _ in range(12_000):
            if condition():
                act()
                return
            time.sleep(0.05)

    thread = threading.Thread(target=wait)
    thread.start()
    return thread


def test_a_node_that_dies_costs_nothing_but_what_was_in_flight(
    scripted: ChatServer, cluster: Cluster, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    workspace, data = Workspace(tmp_path / "w"), catalogue_of(ITEMS)
    make = partial(OpenAICompatibleBackend, scripted.url, "m")
    generate(workspace, data, make())
    expected = workspace.records_path.read_bytes()
    workspace = Workspace(tmp_path / "v")
    scripted.calls.clear()
    scripted.answered = 0

    node = cluster.add_node(**NODE)
    kept: set[str] = set()
    scripted.delay = 0.3

    def kill() -> None:
        kept.update(acknowledged(*shards_of(workspace.path)))
        cluster.remove_node(node, allow_graceful=False)
        scripted.delay = 0.02

    both_work = lambda: workers_at_work(workspace.path) == 2  # noqa: E731
    some_kept = lambda: len(acknowledged(*shards_of(workspace.path))) >= ITEMS // 4  # noqa: E731
    killing = when(lambda: both_work() and some_kept(), kill)
    # Meanwhile an ordinary run wants the same answers: it waits for those of the workers.
    ordinary = when(both_work, lambda: generate(workspace, data, make()))
    told: list[tuple[int, int]] = []
    summary = generate_on_ray(
        workspace, data, make, cluster.address, workers=2, concurrency=CONCURRENCY,
        on_progress=lambda so_far: told.append((so_far.done, so_far.total)),
    )  # fmt: skip
    killing.join()
    ordinary.join()

    assert ITEMS // 4 <= len(kept) < ITEMS, "the node should die in the middle"
    asked = asked_for(scripted)
    assert len(asked) == ITEMS
    assert {item for item in kept if asked[item] > 1} == set()
    assert len(scripted.calls) - ITEMS <= CONCURRENCY
    side = summary.modalities["text"]
    assert (side.valid, side.asked, side.reused) == (ITEMS, ITEMS, 0)
    assert side.usage.prompt_tokens == 7 * ITEMS
    assert told == sorted(told), "progress never goes back"
    assert told[-1] == (ITEMS, ITEMS)
    assert workspace.records_path.read_bytes() == expected
    assert shards_of(workspace.path) == []
    printed = capfd.readouterr()
    assert "raylet" not in printed.out
    assert ".cc:" not in printed.err, "Ray stays quiet"

    again = generate_on_ray(workspace, data, make, "127.0.0.1:1")  # no cluster is needed any more
    assert again.modalities["text"].asked == 0


def test_progress_is_seen_within_a_part(
    scripted: ChatServer, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver, "LOOK_SECONDS", 0.05)
    monkeypatch.setattr(driver, "PARTS_PER_WORKER", 1)
    scripted.delay = 0.1
    told: list[int] = []
    make = partial(OpenAICompatibleBackend, scripted.url, "m")
    generate_on_ray(
        Workspace(tmp_path), catalogue_of(16), make, cluster.address, workers=1, concurrency=2,
        on_progress=lambda so_far: told.append(so_far.done),
    )  # fmt: skip
    assert told == sorted(told)
    assert len(set(told) - {0, 16}) >= 3
    assert told[-1] == 16


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("127.0.0.1:1", "Connection refused"),
        ("ray://127.0.0.1:1", "Connection refused"),
        ("127.0.0.1:99999", "Port out of range"),
        ("nowhere", "Invalid address format"),
    ],
)
def test_an_address_without_a_cluster_is_refused_in_one_sentence(
    address: str, reason: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(NegGenError, match=rf"'{address}' cannot be reached \(.*{reason}.*ray start"),
        connected(address),
    ):
        pass
    assert capfd.readouterr() == ("", "")


def test_a_server_that_is_no_cluster_is_refused_in_one_sentence(
    server: ChatServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(reach, "CHECK_SECONDS", 3.0)
    with (
        pytest.raises(NegGenError, match=r"cannot be reached \(.+\); start it with: ray start"),
        connected(server.url.removeprefix("http://").partition("/")[0]),
    ):
        pass
    assert "cc:" not in capfd.readouterr().err


def test_a_driver_that_is_interrupted_and_then_killed_goes_on_where_it_was(
    scripted: ChatServer, cluster: Cluster, tmp_path: Path
) -> None:
    scripted.delay = 0.1
    make = partial(OpenAICompatibleBackend, scripted.url, "m")
    data = catalogue_of(ITEMS)

    def held() -> set[str]:
        return acknowledged(*shards_of(tmp_path), Workspace(tmp_path).journal_path)

    interrupting = when(
        lambda: scripted.answered > ITEMS // 5, lambda: os.kill(os.getpid(), signal.SIGINT)
    )
    with pytest.raises(KeyboardInterrupt):
        generate_on_ray(Workspace(tmp_path), data, make, cluster.address, concurrency=CONCURRENCY)
    interrupting.join()
    assert ITEMS // 5 < len(held()) < ITEMS, "it should end in the middle"
    assert len(held()) == scripted.answered == len(scripted.calls), "it waits for answers"
    assert shards_of(tmp_path) == []

    arguments = [str(Path(__file__).parent), str(tmp_path), scripted.url, cluster.address]
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments, str(ITEMS)])
    for _ in range(60_000):
        if scripted.answered > ITEMS // 2 or process.poll() is not None:
            break
        time.sleep(0.01)
    kept = held()
    process.kill()
    process.wait()
    assert ITEMS // 2 - CONCURRENCY <= len(kept) < ITEMS, "it should be killed in the middle"

    summary = generate_on_ray(
        Workspace(tmp_path), data, make, cluster.address, concurrency=CONCURRENCY
    )
    assert summary.modalities["text"].valid == ITEMS
    asked = asked_for(scripted)
    assert len(asked) == ITEMS
    assert {item for item in kept if asked[item] > 1} == set()
    assert len(scripted.calls) - ITEMS <= CONCURRENCY
    assert len(read_records(Workspace(tmp_path).records_path)) == ITEMS


def test_a_budget_is_shared_among_the_parts_and_never_passed(
    scripted: ChatServer, cluster: Cluster, tmp_path: Path
) -> None:
    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        status, answer = scripted.say(scripted_answer(body, prompt_of(body)))
        usage = {"prompt_tokens": 2000, "completion_tokens": 100, "total_tokens": 2100}
        return status, {**answer, "usage": usage}

    scripted.reply = reply
    prices = Prices(input=1.0, output=10.0)  # US$ a million, so an answer costs 0.3 cents
    make = partial(OpenAICompatibleBackend, scripted.url, "m", prices=prices, max_tokens=100)
    workspace, data = Workspace(tmp_path), catalogue_of(ITEMS)

    def run(budget: float) -> GenerationSummary:
        return generate_on_ray(
            workspace, data, make, cluster.address, budget=budget, concurrency=CONCURRENCY
        )

    some = run(0.1)
    count = len(scripted.calls)
    assert 25 <= count <= 33, "nearly all is spent, also what the parts left over"
    assert some.cost == pytest.approx(0.003 * count)
    assert "the budget of $0.10 does not cover" in (some.stopped or "")
    assert some.modalities["text"].waiting == ITEMS - count
    rest = run(0.25)
    assert (rest.stopped, rest.modalities["text"].valid) == (None, ITEMS)
    assert len(scripted.calls) == ITEMS


def test_a_wrong_key_ends_the_run_in_one_sentence(
    server: ChatServer, cluster: Cluster, tmp_path: Path
) -> None:
    server.reply = lambda number, body: (401, {"error": {"message": "wrong key"}})
    make = partial(OpenAICompatibleBackend, server.url, "m")
    with pytest.raises(NegGenError, match=r"OPENAI_API_KEY.*A worker on the node .* says so"):
        generate_on_ray(Workspace(tmp_path), catalogue_of(40), make, cluster.address)
    assert len(server.calls) <= 40


def test_a_file_system_without_locks_across_nodes_is_refused(
    server: ChatServer, cluster: Cluster, tmp_path: Path
) -> None:
    place = Workspace(tmp_path / "w")
    locks = owners_folder(place.journal_path)
    # As a worker sees it that can lock what the driver has locked.
    losing = when(
        lambda: len(list(locks.glob("*.lock"))) == 2,
        lambda: [path.unlink() for path in locks.glob("*.lock")],
    )
    make = partial(OpenAICompatibleBackend, server.url, "m")
    with pytest.raises(NegGenError, match=r"does not see the locks of this run in .*-owners; the"):
        generate_on_ray(place, catalogue_of(40), make, cluster.address)
    losing.join()
    assert server.calls == []


def test_what_cannot_be_done_is_explained(
    server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = partial(OpenAICompatibleBackend, server.url, "m")
    with pytest.raises(NegGenError, match="workers must be at least 1"):
        generate_on_ray(Workspace(tmp_path), catalogue_of(2), make, workers=0)
    with pytest.raises(NegGenError, match="concurrency must be at least 1"):
        generate_on_ray(Workspace(tmp_path), catalogue_of(2), make, concurrency=0)
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(NegGenError, match=r'pip install "neggen\[ray\]"'):
        generate_on_ray(Workspace(tmp_path), catalogue_of(2), make)
    assert server.calls == []

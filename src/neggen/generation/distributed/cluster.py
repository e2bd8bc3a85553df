"""A Ray cluster: a connection that stays quiet, and a pool of workers on it.

Nothing here knows what the workers do, so that other rooms can use it.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, TextIO, cast

from neggen.errors import NegGenError, from_extra
from neggen.generation.distributed.quiet import without_lines
from neggen.generation.distributed.reach import check_reachable

LOCAL_STORE_BYTES = 256 * 2**20
"""Memory for what travels between the processes of a cluster of one's own."""

Batch = Mapping[str, Any]


@dataclass(frozen=True)
class Pool:
    """How many workers there are and what each of them takes.

    Attributes:
        workers: processes; None for one a node.
        cpus: CPU cores of each, or a share of one.
        gpus: GPUs of each, or a share of one.
    """

    workers: int | None = None
    cpus: float = 1.0
    gpus: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what is no pool."""
        if self.workers is not None and self.workers < 1:
            raise NegGenError(f"workers must be at least 1, but is {self.workers}.")
        if self.cpus < 0 or self.gpus < 0:
            raise NegGenError("A worker cannot take less than no CPU or GPU.")


class _WithoutRay:
    """Standard output without what Ray's own threads print about nodes and retries."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        if threading.current_thread().name.startswith("ray_"):
            return len(text)
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def connected(address: str | None) -> Iterator[None]:
    """Be connected to a cluster, or to the one that this process is connected to already.

    Args:
        address: of the cluster, such as ``auto``, ``10.0.0.1:6379`` or ``ray://…``; None or
            ``local`` starts one on this machine, which is stopped at the end.

    Raises:
        NegGenError: If Ray is not installed or the cluster cannot be reached.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # or else it phones home
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    # Or else a thread of a stream left in the middle starts a cluster after the end.
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")
    with from_extra("ray", "Working on a cluster needs Ray"):
        import ray
        import ray.data
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    address = address or "local"
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": LOCAL_STORE_BYTES}
    with redirect_stdout(cast(TextIO, _WithoutRay(sys.stdout))):
        if ray.is_initialized():
            yield
            return
        try:
            if address != "local":
                check_reachable(address)
            with without_lines(b"RAY_BACKEND_LOG_LEVEL"):  # it tells that this is set
                ray.init(
                    address,
                    log_to_driver=False,
                    logging_level=logging.ERROR,
                    **(own if address == "local" else {}),
                )
        except (OSError, RuntimeError, ValueError) as error:
            reason = str(error).strip().partition("\n")[0].rstrip(".")
            raise NegGenError(
                f"The Ray cluster '{address}' cannot be reached ({reason}); start it with: ray "
                "start --head, or give 'local' as the address to have one on this machine."
            ) from None
        try:
            yield
        finally:
            with redirect_stdout(io.StringIO()):  # what its threads printed comes out here too
                ray.shutdown()


def nodes() -> int:
    """Return how many nodes of the cluster are alive."""
    import ray

    return sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]


def outcomes(
    work: type[Callable[[Batch], Batch]], job: object, rows: Sequence[Batch], pool: Pool
) -> Iterator[Batch]:
    """Have a pool of workers work through ``rows``, and yield what comes back, in any order.

    A row whose worker or node dies is worked through again by another worker.

    Args:
        work: makes a worker, from ``job``; called with one row, each value in a list.
        job: what every worker gets; it is pickled.
        rows: what to work through.
        pool: the workers.

    Raises:
        NegGenError: If the cluster fails.
    """
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    DataContext.get_current().enable_progress_bars = False
    size = min(pool.workers or nodes(), len(rows))
    results = ray.data.from_items(list(rows), override_num_blocks=len(rows)).map_batches(
        work,
        fn_constructor_args=(job,),
        batch_size=1,
        compute=ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2),
        num_cpus=pool.cpus,
        num_gpus=pool.gpus,
    )
    try:
        yield from results.iter_batches(batch_size=None)
    except ray.exceptions.RayError as error:
        raise NegGenError(
            f"The Ray cluster failed ({str(error).strip().splitlines()[-1]}); run the same command "
            "again: what was finished is kept."
        ) from error

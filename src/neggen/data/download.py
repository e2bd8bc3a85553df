"""The pictures of a catalogue that holds web addresses, downloaded once into a folder."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from aiohttp import DefaultResolver
from aiohttp.abc import AbstractResolver
from yarl import URL

from neggen.data.fetch import GIVEN_UP, Fetcher, FetchFailed
from neggen.data.images import shown
from neggen.data.picture import CHECKED_SIDE, UnreadablePicture, open_picture
from neggen.errors import NegGenError
from neggen.event_loop import run_to_end
from neggen.workspace import atomic_path

NAMED_IN_NOTE = 5
HOSTS_AT_ONCE = 4
"""Times as many hosts as downloads are under way, since some of them want to be waited for."""
MOST_IN_A_ROW = 20
"""A host that fails so often, each time after all tries, is not asked again in this run."""
_UNFINISHED = re.compile(r"\.[0-9a-f]{64}\.\w+\.tmp")


@dataclass(frozen=True)
class Downloads:
    """Where pictures are downloaded to, and within which limits.

    Attributes:
        folder: gets one file a web address, named by the SHA-256 of the address. What is there
            is not downloaded again.
        concurrency: downloads at once.
        per_host: downloads at once from one host.
        max_bytes: of one picture.
        timeout: seconds for one try, redirections included.
        read_timeout: seconds without a byte until a try is given up.
        attempts: tries after time-outs, cut connections, 429 and 5xx, in all.
        allow_hosts: hosts (``HOST`` or ``HOST:PORT``) that may be asked although their addresses
            are not public or the port is not 80 or 443.
        on_progress: called with (done, total).
        resolver: makes what turns host names to addresses.
    """

    folder: Path
    concurrency: int = 16
    per_host: int = 4
    max_bytes: int = 20 * 2**20
    timeout: float = 60.0
    read_timeout: float = 15.0
    attempts: int = 3
    allow_hosts: tuple[str, ...] = ()
    on_progress: Callable[[int, int], None] | None = None
    resolver: Callable[[], AbstractResolver] = DefaultResolver


def download_images(
    items: pl.DataFrame, column: str, downloads: Downloads
) -> tuple[pl.DataFrame, tuple[str, ...]]:
    """Download the pictures whose web addresses stand in a column.

    Args:
        items: one row an item.
        column: the column of addresses; what is no http(s) address there is left as it is.
        downloads: where to, and limits.

    Returns:
        ``items`` with file names in ``downloads.folder`` instead of addresses, null where a
        picture could not be had, and one sentence that counts those by reason, if there are any.

    Raises:
        NegGenError: If there is no such column, or a host to allow is none.
        OSError: If the folder cannot be written to.
    """
    if column not in items.columns:
        raise NegGenError(
            f"Pictures should be downloaded from the addresses in column '{column}', but the items "
            f"have only {', '.join(items.columns)}; name it with image_column (--image-column)."
        )
    if items[column].dtype != pl.String:
        return items, ()
    texts = items[column].to_list()
    addresses = list(dict.fromkeys(text.strip() for text in texts if _is_address(text)))
    failures = run_to_end(_download(addresses, downloads))
    names = [
        text
        if not _is_address(text)
        else None
        if text.strip() in failures
        else _file_name(text.strip())
        for text in texts
    ]
    return items.with_columns(pl.Series(column, names, dtype=pl.String)), _note(failures, addresses)


def _is_address(text: str | None) -> bool:
    return text is not None and text.strip().lower().startswith(("http://", "https://"))


def _file_name(address: str) -> str:
    return hashlib.sha256(address.encode()).hexdigest()


def _note(failures: Mapping[str, str], addresses: Sequence[str]) -> tuple[str, ...]:
    if not failures:
        return ()
    counted = Counter(failures.values()).most_common()
    reasons = ", ".join(f"{reason} ({count:,})" for reason, count in counted[:NAMED_IN_NOTE])
    more = ", …" if len(counted) > NAMED_IN_NOTE else ""
    first = next(iter(failures))
    return (
        f"Masked {len(failures):,} of {len(addresses):,} pictures that could not be downloaded: "
        f"{reasons}{more}; first {_without_secrets(first)} ({failures[first]}).",
    )


def _without_secrets(address: str) -> str:
    """Return an address as it may be printed: without credentials and what follows ``?``."""
    try:
        return shown(str(URL(address).with_user(None).with_query(None).with_fragment(None)))
    except ValueError:
        return "an address that is none"


async def _download(addresses: Sequence[str], downloads: Downloads) -> dict[str, str]:
    """Download what is missing; return the reason of each failure, in the order of addresses."""
    folder = downloads.folder
    folder.mkdir(parents=True, exist_ok=True)
    there = set()
    for path in folder.iterdir():
        if _UNFINISHED.fullmatch(path.name):  # of a download that was killed
            path.unlink(missing_ok=True)
        there.add(path.name)
    missing = [address for address in addresses if _file_name(address) not in there]
    failures: dict[str, str] = {}
    done = len(addresses) - len(missing)

    def report() -> None:
        if downloads.on_progress is not None:
            downloads.on_progress(done, len(addresses))

    async def work(host: _Host) -> None:
        nonlocal done
        for address in host.queue:
            try:
                if host.failed_in_a_row >= MOST_IN_A_ROW:
                    raise FetchFailed(GIVEN_UP)
                content = await fetcher.fetch(address)
                host.failed_in_a_row = 0
                await asyncio.to_thread(_keep, content, folder / _file_name(address))
            except (FetchFailed, UnreadablePicture) as error:
                failures[address] = str(error)
                if isinstance(error, FetchFailed) and error.passes:
                    host.failed_in_a_row += 1
            done += 1
            report()

    async def work_on_hosts() -> None:
        for host in hosts:
            # A few workers a host: one that is told to wait sends its host nothing else meanwhile.
            workers = min(downloads.per_host, host.count)
            await asyncio.gather(*(work(host) for _ in range(workers)))

    hosts = iter(_hosts(missing))
    fetcher = Fetcher(
        concurrency=downloads.concurrency,
        per_host=downloads.per_host,
        max_bytes=downloads.max_bytes,
        timeout=downloads.timeout,
        read_timeout=downloads.read_timeout,
        attempts=downloads.attempts,
        allow_hosts=downloads.allow_hosts,
        resolver=downloads.resolver,
    )
    report()
    async with fetcher:
        at_once = min(HOSTS_AT_ONCE * downloads.concurrency, len(missing))
        await asyncio.gather(*(work_on_hosts() for _ in range(at_once)))
    return {address: failures[address] for address in missing if address in failures}


@dataclass
class _Host:
    queue: Iterator[str]
    count: int
    failed_in_a_row: int = 0


def _hosts(addresses: Sequence[str]) -> list[_Host]:
    hosts: defaultdict[str, list[str]] = defaultdict(list)
    for address in addresses:
        hosts[address.split("/", 3)[2].lower()].append(address)
    return [_Host(iter(queue), len(queue)) for queue in hosts.values()]


def _keep(content: bytes, path: Path) -> None:
    """Write a picture, after seeing that it is one."""
    open_picture(content, CHECKED_SIDE)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)

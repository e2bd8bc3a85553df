"""What a reviewer's tests begin with: a desk, an entry of it, and the same entry later."""

from __future__ import annotations

from neggen.config import SplitConfig
from neggen.data.store import load_dataset
from neggen.generation.backends.catalogue import CatalogueBackend
from neggen.studio.choosing import choose
from neggen.studio.desk import Desk
from neggen.studio.entries import Entry
from neggen.workspace import Workspace


def opened(workspace: Workspace) -> Desk:
    data = load_dataset(workspace, SplitConfig.build({}))
    return Desk(workspace, lambda number: CatalogueBackend(data, seed=1 + number))


def first(desk: Desk) -> Entry:
    entry = desk.entries.find(choose(desk.entries, side="text")[0])
    assert entry is not None
    return entry


def again(desk: Desk, entry: Entry) -> Entry:
    found = desk.entries.find(entry.key)
    assert found is not None
    return found

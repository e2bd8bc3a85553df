"""Two lists of a user, with pictures, whatever is imported meanwhile."""

from __future__ import annotations

import gradio as gr
import polars as pl
import pytest

from neggen.data.store import load_dataset, save_dataset
from neggen.runs import finished_runs
from neggen.studio.compare_page import ComparePage
from neggen.studio.desk import Desk
from neggen.workspace import Workspace

PICTURE = ("image", "image_sha256")


def test_pictures_are_those_of_the_catalogue_that_a_run_learned_from(workspace: Workspace) -> None:
    desk = Desk(workspace, lambda number: pytest.fail("nobody is asked"))
    with gr.Blocks():
        page = ComparePage(desk)
    data = load_dataset(workspace)
    one, other, *_ = (run.folder.name for run in finished_runs(workspace))
    chosen = str(data.user_ids[0]), one, other, "test"
    _, lists, problem = page.show_user(*chosen)
    assert problem == ""
    assert "data:image/webp" in lists
    bare = data.item_table.with_columns(pl.lit(None, pl.String).alias(c) for c in PICTURE)
    save_dataset(workspace, data.replace(item_table=bare), source="bare", overwrite=True)
    _ = desk.entries
    assert page.show_user(*chosen)[1] == lists

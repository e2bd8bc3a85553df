"""Sample recommendations: nothing known is recommended, and a hit is a hit."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from neggen.runs import Run
from neggen.studio.pictures import Thumbnails
from neggen.studio.samples import FEWEST_USED, SHOWN, make_samples
from neggen.workspace import Workspace


@pytest.fixture(scope="module")
def setting(finished):
    folders = Workspace.open(finished).runs_dir
    runs = {name: Run.open(next(folders.glob(f"{name}-*"))) for name in ("ease", "popularity")}
    data = runs["ease"].load_data()
    # Ids as titles, so that a tile says which item it is.
    data = data.replace(item_table=data.item_table.with_columns(title=data.item_ids))
    return runs, data


def test_lists_hold_the_models_best_unknown_items(setting):
    runs, data = setting
    samples = make_samples(runs, data, 100, np.random.default_rng(0), Thumbnails(data))
    assert len(samples) > 5
    models = {title: run.load_model() for title, run in runs.items()}
    known = data.train + data.valid
    for sample in samples:
        user = data.user_ids.to_list().index(sample.user_id)
        items = {name: row for row, name in enumerate(data.item_ids)}
        assert sample.used_count == data.train[user].nnz >= FEWEST_USED
        assert sample.hidden_count == data.test[user].nnz > 0
        assert {tile.title for tile in sample.used} <= set(
            data.item_ids[data.train[user].indices.tolist()]
        )
        for shown, title in zip(sample.lists, runs, strict=True):
            assert shown.title == title
            ids = [items[tile.title] for tile in shown.tiles]
            assert len(ids) == len(set(ids)) == SHOWN
            assert known[user, ids].nnz == 0
            assert [tile.hit for tile in shown.tiles] == [data.test[user, i] > 0 for i in ids]
            scores = models[title].score_index(torch.tensor([user]))[0].numpy()
            open_scores = np.where(known[user].toarray()[0] > 0, -np.inf, scores)
            assert scores[ids].tolist() == sorted(open_scores, reverse=True)[:SHOWN]


def test_the_draw_is_seeded(setting):
    runs, data = setting

    def users(seed: int) -> list[str]:
        drawn = make_samples(runs, data, 4, np.random.default_rng(seed), Thumbnails(data))
        return [sample.user_id for sample in drawn]

    assert users(0) == users(0)
    assert len({tuple(users(seed)) for seed in range(4)}) > 1


def test_nobody_to_show(setting):
    runs, data = setting
    untested = data.replace(parts=np.zeros_like(data.parts))
    assert make_samples(runs, untested, 4, np.random.default_rng(0), Thumbnails(data)) == []
    assert make_samples(runs, data, 0, np.random.default_rng(0), Thumbnails(data)) == []

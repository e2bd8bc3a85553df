"""Tables with a column of ratings, a table of users, and test sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from neggen.data.readers import read_source
from neggen.testing import refuses

LOG = "user_id,item_id,rating\nu1,a,5\nu1,b,2.5\nu2,a,\nu3,c,4\n"


def source(folder: Path, **files: str) -> Path:
    for name, text in {"interactions": LOG, **files}.items():
        path = folder / f"{name.replace('__', '/')}.csv"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


def test_every_rating_counts_unless_there_is_a_least_one(tmp_path: Path) -> None:
    data = read_source(source(tmp_path))
    assert len(data.users) == 4
    assert any("Every rating counts" in note for note in data.notes)
    whole = source(tmp_path, interactions=LOG.replace(",\n", ",3\n"))
    kept = read_source(whole, min_rating=3)
    assert kept.user_ids.to_list() == ["u1", "u2", "u3"]
    assert kept.item_ids.to_list() == ["a", "c"]
    assert any("Dropped 1 of 4 interactions rated under 3" in note for note in kept.notes)


@pytest.mark.parametrize(
    ("log", "words"),
    [
        (LOG, ["Interaction 3", "has no rating"]),
        (LOG.replace("2.5", "good"), ["Data row 2", "rating = 'good'"]),
        (LOG.replace("rating", "stars"), ["no ratings in numbers"]),
    ],
)
def test_refuses_a_least_rating_of_what_is_not_rated(
    tmp_path: Path, log: str, words: list[str]
) -> None:
    with refuses("interactions.csv", *words):
        read_source(source(tmp_path, interactions=log), min_rating=3)


def test_words_for_ratings_are_no_ratings(tmp_path: Path) -> None:
    data = read_source(source(tmp_path, interactions=LOG.replace("2.5", "good")))
    assert len(data.users) == 4
    assert any("rating" in note for note in data.notes)


def test_a_table_of_users_gives_their_order(tmp_path: Path) -> None:
    data = read_source(source(tmp_path, users="user_id,age\nu3,1\nnobody,2\nu1,3\n"))
    assert data.user_ids.to_list() == ["u3", "u1", "u2"]
    assert data.user_ids[data.users].to_list() == ["u1", "u1", "u2", "u3"]
    other = read_source(source(tmp_path, users="name\nu3\n"))
    assert other.user_ids.to_list() == ["u1", "u2", "u3"]
    assert any("Not used" in note and "users.csv" in note for note in other.notes)


def test_test_sets_are_read(tmp_path: Path) -> None:
    data = read_source(source(tmp_path, test_sets__later="user_id,item_id\nu2,b\nu3,a\n"))
    assert data.test_sets["later"].tolist() == [[1, 1], [2, 0]]
    assert not any("test_sets" in note for note in data.notes)
    with refuses("Data row 1", "later.csv", "'u9'"):
        read_source(source(tmp_path, test_sets__later="user_id,item_id\nu9,b\n"))

"""What the routes answer, by real requests to a real server."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from neggen.models.mf import MF
from neggen.runs import Run
from neggen.serving import answers
from neggen.serving.loaded import load_run
from neggen.serving.settings import ServeSettings
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import Serve, Server


@pytest.fixture(scope="module")
def model(workspace: Workspace) -> MF:
    return MF.load(workspace.runs_dir / "mf" / "model")


@pytest.fixture(scope="module")
def linear(serve: Serve, described_run: Path) -> Iterator[Server]:
    with serve(described_run) as running:
        yield running


def ids(answer) -> list[str]:
    assert answer.status_code == 200, answer.text
    items = answer.json()["items"]
    assert [each["rank"] for each in items] == list(range(1, len(items) + 1))
    return [each["item_id"] for each in items]


def refusal(answer) -> tuple[int, str, str]:
    [error] = answer.json().values()
    assert set(error) == {"code", "message"}
    return answer.status_code, error["code"], error["message"]


def test_lists_are_those_of_the_model(server: Server, model: MF) -> None:
    for user in model.user_ids[:5]:
        expected = model.recommend([user], 7)
        answer = server.post("/v1/recommend", {"user_id": user, "k": 7})
        assert ids(answer) == expected["item_id"].to_list()
        scores = [each["score"] for each in answer.json()["items"]]
        assert scores == pytest.approx(expected["score"].to_list(), abs=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"exclude_seen": False},
        {"exclude": 5},
        {"candidates": 12},
        {"diversity": 0.7},
        {"candidates": 12, "exclude": 5, "diversity": 0.2, "exclude_seen": False},
    ],
)
def test_options_are_those_of_the_model(server: Server, model: MF, options) -> None:
    user, items = model.user_ids[2], model.item_ids.to_list()
    given = {n: items[:v] if n in ("exclude", "candidates") else v for n, v in options.items()}
    expected = model.recommend([user], 6, **given)["item_id"].to_list()
    assert ids(server.post("/v1/recommend", {"user_id": user, "k": 6, **given})) == expected


def test_histories(server: Server, model: MF) -> None:
    history = model.item_ids[:4].to_list()
    expected = model.recommend({"somebody": history}, 5)["item_id"].to_list()
    assert ids(server.post("/v1/recommend", {"history": history, "k": 5})) == expected
    newcomer = model.recommend({"somebody": []}, 5)["item_id"].to_list()
    assert ids(server.post("/v1/recommend", {"history": [], "k": 5})) == newcomer


def test_unknown_ids(server: Server, model: MF) -> None:
    user, item = model.user_ids[0], model.item_ids[0]
    status, code, message = refusal(server.post("/v1/recommend", {"user_id": "nobody"}))
    assert (status, code) == (404, "unknown_user")
    assert "'nobody'" in message
    for field in ("history", "candidates", "exclude"):
        person = {} if field == "history" else {"user_id": user}
        body = {**person, field: [item, "x1", "x2", "x3", "x4"]}
        status, code, message = refusal(server.post("/v1/recommend", body))
        assert (status, code) == (404, "unknown_item")
        assert "'x1', 'x2', 'x3' and 1 more" in message
        ids(server.post("/v1/recommend", {**body, "ignore_unknown": True}))
    assert refusal(server.get("/v1/items/x1"))[:2] == (404, "unknown_item")


@pytest.mark.parametrize(
    ("body", "word"),
    [
        ({}, "either user_id or history"),
        ({"user_id": "u", "history": []}, "either user_id or history"),
        ({"user_id": "u", "k": 0}, "greater than or equal to 1"),
        ({"user_id": "u", "k": 1001}, "less than or equal to 1000"),
        ({"user_id": "u", "diversity": 1.5}, "body.diversity"),
        ({"user_id": "u", "candidate": []}, "body.candidate: Extra inputs"),
        ({"history": [], "explain": True}, "explain needs a user_id"),
        ({"user_id": "u" * 257}, "at most 256"),
        ([], "body"),
    ],
)
def test_bodies_that_are_wrong(server: Server, body, word: str) -> None:
    status, code, message = refusal(server.post("/v1/recommend", body))
    assert (status, code) == (422, "invalid_request")
    assert word in message


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff", b"[" * 20_000, b'{"user_id": "\\ud800"}', b'{"k": NaN}']
)
def test_bodies_that_are_no_json(server: Server, content: bytes) -> None:
    with server.client() as client:
        headers = {"Content-Type": "application/json"}
        status, _, message = refusal(client.post("/v1/recommend", content=content, headers=headers))
    assert status in (400, 422)
    assert message


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity"])
def test_what_is_no_number_is_refused(server: Server, number: str) -> None:
    headers = {"Content-Type": "application/json"}
    content = f'{{"history": [], "diversity": {number}}}'.encode()
    with server.client() as client:
        answer = client.post("/v1/recommend", content=content, headers=headers)
    status, code, message = refusal(answer)
    assert (status, code) == (422, "invalid_request")
    assert "body.diversity" in message


@pytest.mark.parametrize("value", ['"\\ud800"', '["red", "\\udfff"]', "NaN", "Infinity"])
def test_attributes_that_are_no_text_are_refused(
    linear: Server, described_run: Path, value: str
) -> None:
    user = Run.open(described_run).load_model().user_ids[0]
    item = f'{{"item_id": "n1", "attributes": {{"title": "A vase", "colour": {value}}}}}'
    content = f'{{"user_id": "{user}", "items": [{item}]}}'.encode()
    with linear.client() as client:
        headers = {"Content-Type": "application/json"}
        answer = client.post("/v1/new-items", content=content, headers=headers)
    status, code, message = refusal(answer)
    assert (status, code) == (422, "invalid_request")
    assert "attributes.colour" in message


def test_an_infinite_attribute_is_null(workspace: Workspace, tmp_path: Path) -> None:
    place = Workspace(shutil.copytree(workspace.path, tmp_path / "w"))
    table = pl.read_parquet(place.items_path)
    weights = [math.inf, -math.inf, 2.5, *[None] * (len(table) - 3)]
    sizes = [[1.0, math.inf]] * len(table)
    table.with_columns(weight=pl.Series(weights), sizes=pl.Series(sizes)).write_parquet(
        place.items_path
    )
    run = place.runs_dir / "mf"
    loaded = load_run(run, ServeSettings(run=run, root=place.runs_dir))
    found = [answers.item(loaded, each).attributes for each in table["item_id"][:3]]
    assert [each["weight"] for each in found] == [None, None, 2.5]
    assert found[0]["sizes"] == [1.0, None]


def test_a_batch_answers_each_request_by_itself(server: Server, model: MF) -> None:
    user = model.user_ids[1]
    requests = [{"user_id": user, "k": 3}, {"user_id": "nobody"}, {"history": [], "k": 2}]
    answer = server.post("/v1/recommend/batch", {"requests": requests}).json()
    first, second, third = answer["results"]
    expected = model.recommend([user], 3)["item_id"].to_list()
    assert [each["item_id"] for each in first["items"]] == expected
    assert second["error"]["code"] == "unknown_user"
    assert len(third["items"]) == 2
    assert refusal(server.post("/v1/recommend/batch", {"requests": []}))[0] == 422
    many = [{"history": []}] * 101
    assert refusal(server.post("/v1/recommend/batch", {"requests": many}))[0] == 422


def test_similar_items(server: Server, model: MF) -> None:
    item, other = model.item_ids[:2]
    expected = model.similar_items([item], 5, exclude=[other])["similar_item_id"].to_list()
    body = {"item_id": item, "k": 5, "exclude": [other]}
    assert ids(server.post("/v1/similar-items", body)) == expected
    assert refusal(server.post("/v1/similar-items", {"item_id": "x"}))[0] == 404


def test_items_and_the_model(server: Server, model: MF, workspace: Workspace) -> None:
    item = server.get(f"/v1/items/{model.item_ids[3]}").json()
    assert item["users"] == int(model._seen[:, 3].sum())
    assert item["attributes"]["title"]
    assert "image_sha256" not in item["attributes"]
    about = server.get("/v1/model").json()
    assert about["version"].startswith("mf@")
    assert (about["model"], about["users"], about["items"]) == ("mf", 60, 60)
    assert about["index"] == {"kind": "exact", "recall": 1.0}
    assert about["settings"]["dim"] == 8
    assert about["metrics"]["test"]["recall@20"] > 0
    assert about["metrics"] == Run.open(workspace.runs_dir / "mf").metrics
    assert server.get("/healthz").json() == {"status": "ok"}
    assert server.get("/readyz").json() == {"status": "ready"}


def test_routes_that_are_none(server: Server) -> None:
    assert refusal(server.get("/nothing"))[:2] == (404, "not_found")
    assert refusal(server.get("/v1/recommend"))[:2] == (405, "method_not_allowed")


def test_reasons(linear: Server, described_run: Path) -> None:
    loaded = Run.open(described_run).load_model()
    user = loaded.user_ids[0]
    answer = linear.post("/v1/recommend", {"user_id": user, "k": 5, "explain": True})
    items = answer.json()["items"]
    assert ids(answer) == loaded.recommend([user], 5)["item_id"].to_list()
    assert any(each["reasons"] for each in items)
    for each in items:
        sizes = [reason["contribution"] for reason in each["reasons"]]
        assert sizes == sorted(sizes, reverse=True)
        assert all(size > 0 for size in sizes)
        assert len(sizes) <= 3
    assert refusal(linear.post("/v1/recommend", {"user_id": user, "explain": True}))[0] == 422
    wide = {"user_id": user, "k": 101, "diversity": 0.5}
    assert refusal(linear.post("/v1/recommend", wide))[0] == 422


def test_new_items(linear: Server, server: Server, described_run: Path) -> None:
    loaded = Run.open(described_run).load_model()
    user, known = loaded.user_ids[0], loaded.item_ids[0]
    items = [
        {"item_id": "n1", "attributes": {"title": "Flower vase", "tags": ["red", "glass"]}},
        {"item_id": "n2", "attributes": {"title": "A blue chevron mug", "price": 3.5}},
    ]
    body = {"user_id": user, "items": items}
    assert linear.get("/v1/model").json()["ranks_new_items"] is True
    assert sorted(ids(linear.post("/v1/new-items", body))) == ["n1", "n2"]
    assert len(ids(linear.post("/v1/new-items", {**body, "k": 1}))) == 1

    named = [{**items[0], "attributes": {"title": "Flower vase", "item_id": "n9"}}]
    assert ids(linear.post("/v1/new-items", {**body, "items": named})) == ["n1"]

    repeated = {**body, "items": [items[0], items[0]]}
    assert refusal(linear.post("/v1/new-items", repeated))[0] == 422
    old = {**body, "items": [{**items[0], "item_id": known}]}
    assert refusal(linear.post("/v1/new-items", old))[:2] == (409, "known_item")
    status, code, message = refusal(server.post("/v1/new-items", body))
    assert (status, code) == (409, "not_supported")
    assert "neggen-linear" in message


def test_new_items_by_a_history(linear: Server, described_run: Path) -> None:
    loaded = Run.open(described_run).load_model()
    history = loaded.item_ids[:3].to_list()
    titles = {"n1": "Flower vase", "n2": "A blue chevron mug"}
    items = [{"item_id": name, "attributes": {"title": title}} for name, title in titles.items()]
    table = pl.DataFrame({"item_id": list(titles), "title": list(titles.values())})
    expected = loaded.recommend_new_items(table, {"somebody": history}, 2)
    body = {"history": history, "items": items}
    answer = linear.post("/v1/new-items", body)
    assert ids(answer) == expected["item_id"].to_list()
    scores = [each["score"] for each in answer.json()["items"]]
    assert scores == pytest.approx(expected["score"].to_list(), abs=1e-5)

    assert refusal(linear.post("/v1/new-items", {"items": items}))[0] == 422
    both = {**body, "user_id": loaded.user_ids[0]}
    assert "either user_id or history" in refusal(linear.post("/v1/new-items", both))[2]
    assert refusal(linear.post("/v1/new-items", {**body, "history": []}))[0] == 422
    unknown = {**body, "history": [*history, "x1"]}
    assert refusal(linear.post("/v1/new-items", unknown))[:2] == (404, "unknown_item")
    lenient = linear.post("/v1/new-items", {**unknown, "ignore_unknown": True})
    assert ids(lenient) == ids(answer)
    nothing = {**body, "history": ["x1"], "ignore_unknown": True}
    assert refusal(linear.post("/v1/new-items", nothing))[:2] == (422, "invalid_request")


def test_new_items_without_a_text_are_named(linear: Server, described_run: Path) -> None:
    user = Run.open(described_run).load_model().user_ids[0]
    mute = [{"title": None}, {"title": " "}, {"image": "n3.png"}, {"product_id": "17"}]
    items = [{"item_id": f"n{n}", "attributes": each} for n, each in enumerate(mute, start=1)]
    body = {"user_id": user, "items": items, "k": 1}
    status, code, message = refusal(linear.post("/v1/new-items", body))
    assert (status, code) == (422, "invalid_request")
    assert "'n1', 'n2', 'n3' and 1 more" in message
    vase, mug = (
        {"item_id": name, "attributes": {"title": title}}
        for name, title in (("v", "Flower vase"), ("m", "A blue mug"))
    )
    some = linear.post("/v1/new-items", {**body, "items": [vase, *items, mug]})
    assert len(ids(some)) == 1
    assert some.json()["left_out"] == ["n1", "n2", "n3", "n4"]
    none = linear.post("/v1/new-items", {**body, "items": [vase, mug]})
    assert none.json()["left_out"] == []
    assert ids(none) == ids(some)


def test_without_an_encoder_there_are_no_reasons(serve: Serve, described_run: Path) -> None:
    with serve(described_run, "--no-encoder") as running:
        user = Run.open(described_run).load_model().user_ids[0]
        asked = {"user_id": user, "k": 2, "explain": True}
        status, code, message = refusal(running.post("/v1/recommend", asked))
        assert (status, code) == (409, "not_supported")
        assert "--no-encoder" in message
        assert len(ids(running.post("/v1/recommend", {**asked, "explain": False}))) == 2

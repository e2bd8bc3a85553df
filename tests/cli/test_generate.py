"""The options of ``neggen generate``, against a real server on the loopback."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from filelock import FileLock

from neggen.data.store import load_dataset
from neggen.generation.journal.reviews import Review, State, add_review
from neggen.generation.record_files import current_records, read_records
from neggen.generation.reviews import BY_HAND, side_digest
from neggen.workspace import Workspace

if TYPE_CHECKING:
    from conftest import ChatServer, Cli

ITEMS = 60
PRICES = ["--input-price", 1_000_000, "--output-price", 2_000_000]  # the server reports 7 and 3


@pytest.fixture
def place(described: Path, tmp_path: Path) -> Path:
    """A workspace whose items nobody has described yet."""
    leave_out = shutil.ignore_patterns("journal.sqlite*", "negatives.parquet", "vectors", "runs")
    return Path(shutil.copytree(described, tmp_path / "w", ignore=leave_out))


@pytest.fixture
def typed(place: Path, server: ChatServer) -> list[object]:
    return ["generate", place, "--base-url", server.url, "--model", "m"]


def test_a_dry_run_asks_nothing_and_tells_the_cost(
    cli: Cli, server: ChatServer, typed: list[object], place: Path
) -> None:
    figures = cli(*typed, "--dry-run", *PRICES, "--json").json()
    assert (figures["items"], figures["calls"]) == (ITEMS, ITEMS)
    expected = figures["prompt_tokens"] + 2 * figures["completion_tokens"]
    assert figures["cost"] == pytest.approx(expected)
    staged = cli(*typed, "--dry-run", "--plan", "staged", "--negatives-per-item", 2, "--json")
    assert staged.json()["calls_by_step"] == {"describe": 60, "mask": 60, "complete": 120}
    assert server.calls == []
    assert not Workspace(place).records_path.exists()
    told = cli(*typed, "--dry-run")
    assert "estimate" in told.out
    assert "needs --input-price" in told.remark()


def test_a_budget_is_never_passed_and_counts_earlier_runs(
    cli: Cli, server: ChatServer, typed: list[object], place: Path
) -> None:
    def run(budget: float) -> dict[str, Any]:
        options = [*PRICES, "--max-tokens", 10, "--concurrency", 4, "--budget", budget]
        figures = cli(*typed, *options, "--json").json()
        return {**figures, **figures["modalities"]["text"], "stopped": figures["stopped"] or ""}

    nothing = run(1)
    assert nothing["asked"] == 0
    assert "the budget of $1.00 does not cover the next request" in nothing["stopped"]
    assert "; $0.00 is spent so far" in nothing["stopped"]
    at_most = float(nothing["stopped"].split("up to $")[1].partition(";")[0].replace(",", ""))

    # Every request costs 13 in fact, and must find `at_most` or a little less still there.
    some = run(at_most + 20 * 13)
    assert 10 < some["asked"] < ITEMS
    assert some["cost"] == 13 * some["asked"] == 13 * len(server.calls) < at_most + 20 * 13
    assert some["waiting"] == ITEMS - some["asked"]
    assert run(at_most + 20 * 13)["asked"] < 10, "what was spent before counts"
    left = ITEMS - len(server.calls)
    rest = run(at_most + 70 * 13)
    assert (rest["asked"], rest["stopped"]) == (left, "")

    told = cli(*typed, *PRICES, "--budget", 1, "--retry-failed", "--negatives-per-item", 2)
    assert told.code == 0
    assert "Stopped: the budget of $1.00 does not cover" in told.remark()
    assert "The same command goes on." in told.remark()


def test_prompts_of_ones_own_are_checked_and_used(
    cli: Cli, server: ChatServer, typed: list[object], tmp_path: Path
) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "fused.text.md").write_text("Nothing here.")
    refused = cli(*typed, "--prompts", folder)
    assert refused.code == 2
    assert "fused.text.md should hold $text" in refused.remark()
    assert server.calls == []
    (folder / "fused.text.md").write_text("In the voice of a pirate: $text")
    cli(*typed, "--prompts", folder, "--json").json()
    assert server.prompts()[0].startswith("In the voice of a pirate: ")
    assert len(server.calls) == ITEMS


def test_several_negatives_an_item(cli: Cli, server: ChatServer, typed: list[object]) -> None:
    def reply(number: int, body: dict[str, Any]) -> tuple[int, Any]:
        further = "have been given before" in str(body)
        return server.say({"replacements": ["tan", "checks"]} if further else server.good)

    server.reply = reply
    figures = cli(*typed, "--negatives-per-item", 2, "--json").json()["modalities"]["text"]
    assert (figures["valid"], figures["records"]) == (ITEMS, 2 * ITEMS)


def test_failed_items_are_named_and_retried_on_demand(
    cli: Cli, server: ChatServer, typed: list[object]
) -> None:
    server.reply = lambda number, body: server.say("rubbish" if number < 3 else server.good)
    options = ["--attempts", 1, "--concurrency", 1]
    told = cli(*typed, *options)
    assert "text: 3 items failed: not the JSON asked for" in told.remark()
    assert "only with --retry-failed" in told.remark()
    assert cli(*typed, *options, "--json").json()["modalities"]["text"]["asked"] == 0
    retried = cli(*typed, *options, "--retry-failed", "--json").json()["modalities"]["text"]
    assert (retried["asked"], retried["valid"], retried["failed"]) == (3, ITEMS, {})


def test_a_batch_file_goes_out_and_its_results_come_in(
    cli: Cli, server: ChatServer, typed: list[object], tmp_path: Path
) -> None:
    file = tmp_path / "batch.jsonl"
    assert cli(*typed, "--export-batch", file, "--json").json()["requests"] == ITEMS
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert {line["url"] for line in lines} == {"/v1/chat/completions"}
    results = tmp_path / "results.jsonl"
    bodies = [server.say(server.good)[1] for _ in lines]
    results.write_text(
        "".join(
            json.dumps(
                {
                    "id": "r",
                    "custom_id": line["custom_id"],
                    "response": {"status_code": 200, "request_id": "q", "body": body},
                    "error": None,
                }
            )
            + "\n"
            for line, body in zip(lines, bodies, strict=True)
        )
    )
    imported = cli(*typed, "--import-batch", results)
    assert f"{ITEMS} results: {ITEMS} new answers" in imported.remark()
    again = cli(*typed, "--import-batch", results, "--json").json()["modalities"]["text"]
    assert (again["valid"], again["asked"]) == (ITEMS, 0)
    assert server.calls == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("--batch --dry-run", "Give only one of --dry-run and --batch"),
        ("--batch --budget 5", "--budget cannot be kept with --batch"),
        ("--batch-size 2", "--batch-size needs --local"),
        ("--budget 5", "--budget needs --input-price and --output-price"),
        ("--input-price 1", "Give both --input-price and --output-price"),
        ("--local folder", "Give only one of --answers FILE, --model NAME"),
        ("--backend opposites", "Give only one of --answers FILE, --model NAME"),
        ("--set a=1", "--set needs --backend"),
        ("--budget 0 --input-price 1 --output-price 1", "give a positive amount"),
        ("--export-batch {w}/workspace.toml", "workspace.toml"),
    ],
)
def test_options_that_do_not_go_together_are_refused(
    cli: Cli, server: ChatServer, typed: list[object], place: Path, options: str, told: str
) -> None:
    ended = cli(*typed, *options.format(w=place).split())
    assert ended.code == 2
    assert told in ended.remark()
    assert server.calls == []


@pytest.mark.parametrize(
    "option",
    [
        "--dry-run",
        "--export-batch f",
        "--batch",
        "--ray local",
        "--temperature 1",
        "--max-tokens 9",
        "--timeout 5",
        "--requests-per-minute 5",
    ],
)
def test_what_needs_a_model_says_so(cli: Cli, place: Path, option: str) -> None:
    ended = cli("generate", place, *option.split())
    assert ended.code == 2
    assert f"{option.split()[0]} needs " in ended.remark()


def test_records_of_a_model_are_not_replaced_by_accident(
    cli: Cli, server: ChatServer, typed: list[object], place: Path
) -> None:
    cli(*typed, "--json").json()
    before = Workspace(place).records_path.read_bytes()
    refused = cli("generate", place)
    assert refused.code == 2
    assert f"has {ITEMS} text records by openai-compatible: m" in refused.remark()
    assert Workspace(place).records_path.read_bytes() == before
    other = cli(*typed[:-1], "other")
    assert f"{ITEMS} text records by openai-compatible: m made way" in other.remark()
    cli(*typed, "--json").json()
    assert Workspace(place).records_path.read_bytes() == before


def test_a_budget_does_not_count_the_free_answers_of_another_model(
    cli: Cli, server: ChatServer, typed: list[object]
) -> None:
    cli(*typed, "--json").json()
    paid = cli(*typed[:-1], "paid", *PRICES, "--budget", 10_000, "--json").json()
    assert (paid["cost"], paid["stopped"]) == (13 * ITEMS, None)
    again = cli(*typed, *PRICES, "--budget", 14 * ITEMS, "--attempts", 4, "--retry-failed")
    assert again.code == 0


def test_a_local_model_answers_every_item(cli: Cli, place: Path, tiny_model: Path) -> None:
    pytest.importorskip("llguidance", reason="needs the extra local")
    told = cli("generate", place, "--local", tiny_model, "--max-tokens", 8, "--attempts", 1)
    # What a random model says is well-formed at best.
    assert told.code == 2
    assert f"local: {tiny_model.name} gave no valid record" in told.remark()
    (side,) = cli("journal", place, "--json").json()["sides"]
    assert (side["dead"], side["valid"], side["unfinished"]) == (ITEMS, 0, 0)


def test_a_cluster_writes_the_same_records(
    cli: Cli, server: ChatServer, typed: list[object], place: Path, cluster_lock: FileLock
) -> None:
    pytest.importorskip("ray", reason="needs the extra ray")
    with cluster_lock:
        figures = cli(*typed, "--ray", "local", "--json").json()["modalities"]["text"]
    assert (figures["asked"], figures["valid"]) == (ITEMS, ITEMS)
    before = Workspace(place).records_path.read_bytes()
    assert cli(*typed, "--json").json()["modalities"]["text"]["asked"] == 0
    assert Workspace(place).records_path.read_bytes() == before
    with cluster_lock:
        encoded = cli("encode", place, "--ray", "local", "--json").json()
    assert encoded["texts"] == encoded["encoded"] == 2 + ITEMS  # and their own texts
    assert cli("encode", place, "--json").json()["encoded"] == 0


def test_several_negatives_need_somebody_who_can_be_asked_again(cli: Cli, place: Path) -> None:
    answers = place / "answers.jsonl"
    answers.touch()
    for who in ([], ["--answers", answers]):
        refused = cli("generate", place, *who, "--negatives-per-item", 2)
        assert refused.code == 2
        assert "--negatives-per-item needs a language model" in refused.remark()
    assert not Workspace(place).journal_path.exists()


def test_records_that_stay_do_not_keep_the_built_in_generator_from_its_work(
    cli: Cli, server: ChatServer, source: Path, tmp_path: Path
) -> None:
    place = Workspace(tmp_path / "w")
    assert cli("import", source, place.path).code == 0
    model = ["generate", place.path, "--base-url", server.url, "--model", "m"]
    assert cli(*model, "--modality", "image").code == 0
    built_in = ["generate", place.path, "--modality", "text"]
    assert cli(*built_in).code == 0  # the pictures' records are not its business
    assert " image records by openai-compatible: m" in cli("generate", place.path).remark()

    assert cli(*model, "--modality", "text").code == 0
    records, data = read_records(place.records_path), load_dataset(place)
    written = records.filter(pl.col("modality") == "text").to_dicts()
    for number, record in enumerate(written):
        hand = {**record, "generator": BY_HAND}
        after = State("edited", hand) if number < 2 else State("approved", record)
        key = (record["item_id"], "text", 0)
        index = data.item_ids.to_list().index(record["item_id"])
        if record is written[-1]:
            assert "has 1 text record by" in cli(*built_in).remark()
        review = Review(
            key, "edit" if number < 2 else "approve", "Ann", side_digest(data, index, "text"),
            State(None, record), after,
        )  # fmt: skip
        assert add_review(place.journal_path, review, seen=0)
    current_records(place.records_path, place.journal_path, data)
    before = place.records_path.read_bytes()
    assert cli(*built_in).code == 0
    assert read_records(place.records_path).equals(pl.read_parquet(before))

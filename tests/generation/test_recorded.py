from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from neggen.data.dataset import Dataset
from neggen.errors import NegGenError
from neggen.generation.backends.recorded import RecordedBackend
from neggen.generation.run import generate, generate_records
from neggen.workspace import Workspace

LINE = {"item_id": "i0", "modality": "text", "marked": "A [red] mug.", "replacements": ["blue"]}


def write(path: Path, *lines: object) -> Path:
    texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_answers_are_replayed_and_what_is_missing_or_invalid_is_counted(
    tmp_path: Path, catalogue: Callable[..., Dataset]
) -> None:
    data = catalogue(3)
    path = write(
        tmp_path / "answers.jsonl",
        LINE,
        {**LINE, "item_id": "i1", "marked": "A red mug."},
        {**LINE, "item_id": "stranger"},
    )
    recorded = RecordedBackend(path, data.item_ids)
    assert recorded.unknown == 1
    summary = generate(Workspace(tmp_path / "w"), data, recorded)
    counts = summary.modalities["text"]
    assert counts.valid == 1
    assert counts.failed == {"no slots": 1, "no recorded answer": 1}
    assert counts.asked == 2  # an invalid answer is not asked for again: it would be the same


def test_a_changed_file_is_a_new_question(
    tmp_path: Path, catalogue: Callable[..., Dataset]
) -> None:
    data, workspace = catalogue(1), Workspace(tmp_path / "w")
    path = write(tmp_path / "answers.jsonl", LINE)
    generate(workspace, data, RecordedBackend(path, data.item_ids))
    again = generate(workspace, data, RecordedBackend(path, data.item_ids))
    assert again.modalities["text"].reused == 1
    write(path, {**LINE, "replacements": ["green"]})
    changed = generate(workspace, data, RecordedBackend(path, data.item_ids))
    assert changed.modalities["text"].asked == 1


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ("{not json", "line 2 is not an answer"),
        ({**LINE, "modality": "sound"}, "line 2 is not an answer .modality"),
        ({"item_id": "i0"}, "line 2 is not an answer"),
        (LINE, "lines 1 and 2 both answer for the text of item 'i0'"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, bad: object, message: str) -> None:
    path = write(tmp_path / "answers.jsonl", LINE, bad)
    with pytest.raises(NegGenError, match=message):
        RecordedBackend(path, ["i0"])


def test_a_file_that_is_missing_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(NegGenError, match="cannot be read"):
        RecordedBackend(tmp_path / "none.jsonl", [])
    (tmp_path / "x.jsonl").write_bytes(b"\xff\xfe")
    with pytest.raises(NegGenError, match=r"x\.jsonl are not UTF-8"):
        RecordedBackend(tmp_path / "x.jsonl", [])


def test_only_the_fused_plan_can_be_replayed(
    tmp_path: Path, catalogue: Callable[..., Dataset]
) -> None:
    path = write(tmp_path / "answers.jsonl", LINE)
    with pytest.raises(NegGenError, match="use the plan 'fused'"):
        generate_records(catalogue(1), RecordedBackend(path, ["i0"]), plan="staged")

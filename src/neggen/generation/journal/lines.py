"""What a line of a saved journal holds, whoever wrote it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from neggen.generation.records import Modality
from neggen.generation.requests import Step

Count = Annotated[int, Field(ge=0, le=2**53)]
Completion = Annotated[int, Field(ge=0, lt=2**31)]
Attempts = Annotated[int, Field(ge=1, le=10_000)]
Name = Annotated[str, Field(min_length=1)]
Cost = Annotated[FiniteFloat, Field(ge=0)]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")]


class Line(BaseModel):
    """One JSON object, with just the fields that it should have."""

    model_config = ConfigDict(strict=True, extra="forbid")


class AnswerLine(Line):
    """An answer: the columns of the journal's table."""

    key: Name
    unit: Name
    item_id: str
    modality: Modality
    step: Step
    completion: Completion
    attempt: Attempts
    generator: str
    answer: str
    prompt_tokens: Count
    completion_tokens: Count
    cost: Cost | None
    rejected_kind: str | None
    rejected_reason: str | None
    at: Time

    @model_validator(mode="after")
    def _a_rejection_has_a_reason(self) -> Self:
        if (self.rejected_kind is None) != (self.rejected_reason is None):
            raise ValueError("rejected_kind and rejected_reason go together")
        return self


class UnitLine(Line):
    """A unit that failed, or that cost something beside its answers."""

    unit: Name
    item_id: str
    modality: Modality
    generator: str
    state: Literal["valid", "dead", "open"]
    kind: str | None
    reason: str | None
    attempts: Attempts | None
    cost: Cost | None
    at: Time

    @model_validator(mode="after")
    def _a_failure_says_why(self) -> Self:
        given = {value is not None for value in (self.kind, self.reason, self.attempts)}
        if given != {self.state == "dead"}:
            raise ValueError("kind, reason and attempts are those of a dead unit, and of no other")
        return self


def check(row: Mapping[str, Any], shape: type[Line]) -> None:
    """Check that a row of a journal, as a line, could be read again.

    Raises:
        TypeError: If it holds bytes.
        ValidationError: If it is no such line.
    """
    shape.model_validate_json(json.dumps(row))


def problem(error: ValidationError) -> str:
    """Return what is wrong with a line, in some words."""
    first = error.errors(include_url=False)[0]
    field = ".".join(str(part) for part in first["loc"])
    return f"{field + ': ' if field else ''}{first['msg']}"

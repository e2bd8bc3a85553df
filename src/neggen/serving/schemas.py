"""What clients send and get."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from neggen.serving.words import Value

MOST_LISTED = 1000
MOST_HISTORY = 5_000
MOST_IDS = 20_000
MOST_REQUESTS = 100
MOST_NEW = 50
MOST_ATTRIBUTES = 50
MOST_EXPLAINED = 10
MOST_SPREAD = 100

Id = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Count = Annotated[int, Field(ge=1, le=MOST_LISTED, description="How many items, at most.")]
Ids = Annotated[list[Id], Field(max_length=MOST_IDS)]
Attribute = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class Body(BaseModel):
    """What a client sends; an unknown field is an error, and so is NaN."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Naming(Body):
    """What names items of the model."""

    ignore_unknown: bool = False
    """Leave out ids of items that the model does not know, instead of refusing."""


class Person(Naming):
    """Whom to recommend to."""

    user_id: Id | None = None
    """A user the model was trained on; this or ``history``."""
    history: Annotated[list[Id], Field(max_length=MOST_HISTORY)] | None = None
    """What somebody the model does not know has used; empty for a newcomer."""

    @model_validator(mode="after")
    def _one_person(self) -> Self:
        if (self.user_id is None) == (self.history is None):
            raise ValueError("give either user_id or history")
        return self


class Ranking(Naming):
    """What may be listed."""

    k: Count = 20
    candidates: Ids | None = None
    """Only these items are ranked."""
    exclude: Ids = []
    """These items are left out."""


class RecommendRequest(Person, Ranking):
    """Whom to recommend to, and what."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"user_id": "user-0007", "k": 3, "explain": True}]}
    )
    exclude_seen: bool = True
    """Leave out what the user is known to have used."""
    diversity: float = Field(0.0, ge=0, le=1)
    """From 0, the best scores, to 1, items as unlike as possible; for a ``k`` up to 100."""
    explain: bool = False
    """Say which key attributes speak for each item; for a ``user_id`` and a ``k`` up to 10."""

    @model_validator(mode="after")
    def _in_bounds(self) -> Self:
        if self.explain and (self.user_id is None or self.k > MOST_EXPLAINED):
            raise ValueError(f"explain needs a user_id and a k up to {MOST_EXPLAINED}")
        if self.diversity and self.k > MOST_SPREAD:
            raise ValueError(f"diversity needs a k up to {MOST_SPREAD}")
        return self


class BatchRequest(Body):
    """Several requests at once."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"requests": [{"user_id": "user-0007"}, {"history": ["item-0003"]}]}]
        }
    )
    requests: Annotated[list[RecommendRequest], Field(min_length=1, max_length=MOST_REQUESTS)]


class SimilarRequest(Ranking):
    """The item that others are to be like."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"item_id": "item-0003", "k": 3}]})
    item_id: Id


class NewItem(Body):
    """An item that the model was not trained on."""

    item_id: Id
    attributes: Annotated[dict[Attribute, Value], Field(min_length=1, max_length=MOST_ATTRIBUTES)]
    """Title, description and whatever else the catalogue tells of items."""


class NewItemsRequest(Person):
    """Items to be ranked for somebody by what they are."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "user_id": "user-0007",
                    "items": [{"item_id": "new-1", "attributes": {"title": "A round red mug"}}],
                }
            ]
        }
    )
    history: Annotated[list[Id], Field(min_length=1, max_length=MOST_HISTORY)] | None = None
    """What somebody the model does not know has used."""
    items: Annotated[list[NewItem], Field(min_length=1, max_length=MOST_NEW)]
    k: Count = 20


class ReloadRequest(Body):
    """The run to serve from now on."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"run": "ease-random-0"}]})
    run: Annotated[str, StringConstraints(min_length=1, max_length=256)] | None = None
    """A folder within the root; by default what the server was started with, read anew."""


class Reason(BaseModel):
    """A key attribute that speaks for an item."""

    value: str
    modality: str
    contribution: float


class Ranked(BaseModel):
    """An item in a list."""

    item_id: str
    rank: int
    score: float
    reasons: list[Reason] | None = None


class RankedResponse(BaseModel):
    """A list of items, best first."""

    items: list[Ranked]
    model_version: str


class NewItemsResponse(RankedResponse):
    """New items, best first."""

    left_out: list[str] = Field(description="Those that have no text to be ranked by.")


class ErrorBody(BaseModel):
    """Why a request was not served."""

    code: str
    message: str


class ErrorResponse(BaseModel):
    """The body of every answer that is no success."""

    error: ErrorBody


class BatchResult(BaseModel):
    """The list of one request, or why there is none."""

    items: list[Ranked] | None = None
    error: ErrorBody | None = None


class BatchResponse(BaseModel):
    """One result a request, in their order."""

    results: list[BatchResult]
    model_version: str


class ItemResponse(BaseModel):
    """What is known of an item."""

    item_id: str
    users: int = Field(description="How many users are known to have used it.")
    attributes: dict[str, Any]


class IndexInfo(BaseModel):
    """How the best items are found."""

    kind: str
    recall: float = Field(description="Share of the true 20 best items that it finds.")


class ModelResponse(BaseModel):
    """What is served."""

    model: str
    run: str
    version: str
    trained: datetime
    users: int
    items: int
    settings: dict[str, Any]
    metrics: dict[str, dict[str, float]]
    index: IndexInfo
    explains: bool
    ranks_new_items: bool


class HealthResponse(BaseModel):
    """Whether the server lives, or takes requests."""

    status: str

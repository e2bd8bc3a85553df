"""What the driver and the workers tell each other, as rows of JSON in a Ray data set."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from neggen.data.dataset import Dataset
from neggen.generation.inputs import read_picture
from neggen.generation.journal import Unit
from neggen.generation.records import Modality
from neggen.generation.requests import ItemInput, Usage
from neggen.generation.runner import ModalitySummary


@dataclass(frozen=True)
class Side:
    """One side of one item, on its way to a worker.

    A picture travels as its path: a worker needs the workspace's folder for its shard anyway, and
    gigabytes of pictures would have to pass the memory of the driver and of Ray.
    """

    item_id: str
    modality: Modality
    text: str | None
    image: str | None

    @classmethod
    def of(cls, unit: Unit, data: Dataset, index: int) -> Side:
        """Return the side that a unit asks about; ``index`` is the item's."""
        if unit.modality == "text":
            return cls(unit.item_id, "text", data.item_text(index), None)
        path = data.image_path(index)
        return cls(unit.item_id, "image", None, None if path is None else str(path.absolute()))

    def read(self) -> ItemInput:
        """Return what the pipeline works on."""
        image = None if self.image is None else read_picture(Path(self.image), self.item_id)
        return ItemInput(self.item_id, self.modality, self.text, image)


@dataclass(frozen=True)
class Part:
    """Some sides, worked through by one worker into one shard.

    Attributes:
        number: of the shard.
        sides: the sides.
        share: US dollars that may be spent on them; None without a budget.
    """

    number: int
    sides: list[Side]
    share: float | None

    def row(self) -> dict[str, str]:
        """Return it as a row of a Ray data set."""
        return {"part": json.dumps(asdict(self))}

    @classmethod
    def of(cls, batch: Mapping[str, Any]) -> Part:
        """Return the part in a batch of one row."""
        given = json.loads(batch["part"][0])
        return cls(**given | {"sides": [Side(**side) for side in given["sides"]]})


@dataclass(frozen=True)
class Counts:
    """Answers about one modality, and what they took.

    Attributes:
        sides: sides of items worked through.
        asked: answers.
        rejected: invalid ones of them.
        prompt_tokens: billed.
        completion_tokens: billed.
        cost: US dollars, failed tries included; None where no price is known.
    """

    sides: int = 0
    asked: int = 0
    rejected: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None

    def minus(self, other: Counts) -> Counts:
        """Return what is here in excess of ``other``."""
        return Counts(
            self.sides - other.sides,
            self.asked - other.asked,
            self.rejected - other.rejected,
            self.prompt_tokens - other.prompt_tokens,
            self.completion_tokens - other.completion_tokens,
            None if self.cost is None else self.cost - (other.cost or 0.0),
        )

    def add_to(self, side: ModalitySummary) -> None:
        """Add to a summary, but the sides, of which it knows."""
        side.asked += self.asked
        side.rejected += self.rejected
        side.usage += Usage(self.prompt_tokens, self.completion_tokens)
        side.add_cost(self.cost)


@dataclass(frozen=True)
class Outcome:
    """What became of a part.

    Attributes:
        part: its number.
        counts: by modality; without any, the worker saw no run that is alive.
        error: why nothing more can be done, in a sentence, or None.
        node: where the worker is.
    """

    part: int
    counts: dict[Modality, Counts] = field(default_factory=dict)
    error: str | None = None
    node: str = field(default_factory=platform.node)

    def batch(self) -> dict[str, list[str]]:
        """Return it as a batch of one row."""
        return {"outcome": [json.dumps(asdict(self))]}

    @classmethod
    def of(cls, batch: Mapping[str, Any]) -> Outcome:
        """Return the outcome in a batch of one row."""
        given = json.loads(batch["outcome"][0])
        counts = {name: Counts(**row) for name, row in given["counts"].items()}
        return cls(given["part"], counts, given["error"], given["node"])

"""From the options of ``neggen generate`` to the backend that answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neggen.cli.output import say
from neggen.errors import NegGenError

if TYPE_CHECKING:
    from neggen.data.dataset import Dataset
    from neggen.generation.backends.base import Backend
    from neggen.generation.backends.budget import Prices

WAYS = (
    "--answers FILE, --model NAME (with --base-url for a server of your own), --local MODEL, "
    "--backend NAME"
)


@dataclass(frozen=True)
class Writer:
    """Who writes, as it was typed; the fields are the options of the command."""

    answers: Path | None = None
    base_url: str | None = None
    model: str | None = None
    local: str | None = None
    backend: str | None = None
    settings: tuple[str, ...] = ()
    device: str = "cpu"
    batch_size: int | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    concurrency: int = 64
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    timeout: float | None = None
    input_price: float | None = None
    output_price: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse options that contradict each other."""
        ways = (self.answers, self.model, self.local, self.backend)
        if sum(way is not None for way in ways) > 1:
            raise NegGenError(f"Give only one of {WAYS}.")
        if self.base_url and not self.model:
            raise NegGenError("--base-url needs --model: the name of the model on that server.")
        if self.settings and not self.backend:
            raise NegGenError("--set needs --backend, whose setting it is.")
        if (self.input_price is None) != (self.output_price is None):
            raise NegGenError("Give both --input-price and --output-price, or neither.")
        if self.input_price is not None and not self.model:
            raise NegGenError("Prices are those of a server's model: they need --model.")
        of_servers = ("requests_per_minute", "tokens_per_minute", "timeout")
        of_models = ("temperature", "max_tokens")
        for needed, given, names in (
            ("--model", self.model, of_servers),
            ("--local", self.local, ("batch_size",)),
            ("--model or --local", self.model or self.local, of_models),
        ):
            for name in names:
                if getattr(self, name) is not None and not given:
                    raise NegGenError(f"--{name.replace('_', '-')} needs {needed}.")

    @property
    def needs_split(self) -> bool:
        """Whether it learns from behavior, so that it may only see the training part."""
        return not (self.answers or self.model or self.local or self.backend)

    @property
    def url(self) -> str:
        """Address of the server."""
        from neggen.generation.backends.openai_compatible import OPENAI_URL

        return self.base_url or OPENAI_URL

    @property
    def prices(self) -> Prices | None:
        """Prices of the model, if they were given."""
        from neggen.generation.backends.budget import Prices

        if self.input_price is None or self.output_price is None:
            return None
        return Prices(self.input_price, self.output_price)

    def check_negatives(self, per_item: int) -> None:
        """Refuse several negatives an item of who has one answer for each.

        Raises:
            NegGenError: If they cannot be written.
        """
        if per_item > 1 and not (self.model or self.local or self.backend):
            who = f"each item in {self.answers}" if self.answers else "an item from the catalogue"
            raise NegGenError(
                f"--negatives-per-item needs a language model (--model or --local): there is one "
                f"answer for {who}."
            )

    def language_model(self, asked_for: str) -> Callable[..., Backend]:
        """Return what makes the backend of a language model, for a process that may be another.

        Raises:
            NegGenError: If there is none; ``asked_for`` is the option that needs one.
        """
        if self.model:
            return self._server()
        if self.local:
            return self._in_process(self.local)
        if self.backend:
            return self._of_a_package(self.backend)
        raise NegGenError(f"{asked_for} needs a language model: give --model or --local.")

    def server(self, asked_for: str) -> Callable[..., Backend]:
        """Return what makes the backend of a server; ``asked_for`` is the option that needs one.

        Raises:
            NegGenError: If there is none.
        """
        if not self.model:
            raise NegGenError(f"{asked_for} needs a model on a server: give --model.")
        return self._server()

    def made(
        self, data: Dataset, budget: float | None, spent: Callable[[Prices], float]
    ) -> Backend:
        """Return the backend.

        Args:
            data: the catalogue.
            budget: US dollars that may be spent over all runs, or None.
            spent: tells what was spent before; its argument prices answers of unknown cost.

        Raises:
            NegGenError: If an option cannot be used.
        """
        from neggen.generation.backends.budget import Budget

        if budget is not None:
            if self.prices is None:
                raise NegGenError(
                    "--budget needs --input-price and --output-price, US dollars per million "
                    "tokens, as the provider lists them."
                )
            return self.server("--budget")(budget=Budget(budget, spent(self.prices)))
        if self.model or self.local or self.backend:
            return self.language_model("")()
        if self.answers:
            return _recorded(self.answers, data)
        from neggen.generation.backends.catalogue import CatalogueBackend

        return CatalogueBackend(data, seed=self.seed)

    def _server(self) -> Callable[..., Backend]:
        from neggen.generation.backends.openai_compatible import OpenAICompatibleBackend

        return partial(
            OpenAICompatibleBackend,
            self.url,
            str(self.model),
            concurrency=self.concurrency,
            requests_per_minute=self.requests_per_minute,
            tokens_per_minute=self.tokens_per_minute,
            prices=self.prices,
            **self._given(temperature=self.temperature, max_tokens=self.max_tokens),
            **self._given(timeout=self.timeout),
        )

    def _in_process(self, model: str) -> Callable[..., Backend]:
        from neggen.generation.backends.local import LocalBackend

        return partial(
            LocalBackend,
            model,
            device=self.device,
            seed=self.seed,
            **self._given(temperature=self.temperature, max_new_tokens=self.max_tokens),
            **self._given(batch_size=self.batch_size),
        )

    def _of_a_package(self, name: str) -> Callable[..., Backend]:
        from neggen.generation.backends import BACKENDS
        from neggen.overrides import parse_overrides

        return partial(_made, name, BACKENDS.find(name), parse_overrides(self.settings))

    def _given(self, **options: Any) -> dict[str, Any]:
        """Return the options that were given; a backend has defaults of its own."""
        return {name: value for name, value in options.items() if value is not None}


def _recorded(path: Path, data: Dataset) -> Backend:
    from neggen.generation.backends.recorded import RecordedBackend

    recorded = RecordedBackend(path, list(data.item_ids))
    if recorded.unknown:
        say(f"{recorded.unknown} answers are for items that the workspace does not have.")
    return recorded


def _made(name: str, cls: type[Backend], settings: dict[str, Any]) -> Backend:
    try:
        return cls(**settings)
    except (TypeError, ValueError) as error:
        raise NegGenError(
            f"The backend '{name}' cannot be made of {settings} ({error}); it takes "
            f"{signature(cls)}."
        ) from None

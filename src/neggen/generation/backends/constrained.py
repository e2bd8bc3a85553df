"""Hold a local model to JSON schemas: what the grammar forbids gets no probability.

The grammar engine is llguidance. One token costs one copy of the batch's last tokens to the
processor (the grammar has to see them) and one of the packed masks back.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neggen.errors import NegGenError

if TYPE_CHECKING:
    import torch
    from llguidance import LLTokenizer

# As json.dumps writes it: free white space would let a model write nothing else.
_LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}


class Interrupted(Exception):
    """Generation was told to stop; nothing of its batch is an answer."""


class SchemaConstraint:
    """A logits processor for one call of ``generate``: row i obeys schema i.

    It also samples: with a temperature, ``generate`` should be greedy over the scores returned,
    which carry Gumbel noise from one random generator a row (argmax(logits / T + noise) is a draw
    from softmax(logits / T); Maddison et al., "A* Sampling", 2014). The draws of a row so do not
    depend on the rows beside it.
    """

    def __init__(
        self,
        tokenizer: LLTokenizer,
        schemas: Sequence[Mapping[str, Any]],
        *,
        end_tokens: Collection[int],
        temperature: float = 0.0,
        seeds: Sequence[int] = (),
        stop: threading.Event | None = None,
    ) -> None:
        """Compile the schemas.

        Args:
            tokenizer: the grammar engine's view of the model's tokenizer, as wide as its logits.
            schemas: one JSON schema a row.
            end_tokens: ids that end an answer.
            temperature: of the sampling; 0 takes the likeliest token.
            seeds: one a row, if there is a temperature.
            stop: when set, the next token raises :class:`Interrupted`.

        Raises:
            NegGenError: If a schema cannot be enforced.
        """
        from llguidance import LLExecutor, LLMatcher

        self._matchers = []
        for schema in schemas:
            grammar = LLMatcher.grammar_from_json_schema(dict(schema), overrides=_LAYOUT)  # type: ignore[arg-type]
            matcher = LLMatcher(tokenizer, grammar, log_level=0)
            if matcher.is_error():
                raise NegGenError(
                    "The JSON schema of an answer cannot be enforced locally "
                    f"({matcher.get_error().strip().splitlines()[0]}); simplify it."
                )
            self._matchers.append(matcher)
        self._running = list(range(len(schemas)))
        self._width = tokenizer.vocab_size
        self._end_tokens = frozenset(end_tokens)
        self._temperature = temperature
        self._seeds = seeds
        self._stop = stop
        self._executor = LLExecutor()
        self._packed: torch.Tensor | None = None  # int32 [rows, ceil(width / 32)], made on call
        self._generators: list[torch.Generator] = []

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return the scores with what the schemas forbid at minus infinity.

        Args:
            input_ids: prompt and answer so far. ``[rows, length]``
            scores: logits of the next token. ``[rows, width]``

        Raises:
            Interrupted: If told to stop.
        """
        import torch

        if self._stop is not None and self._stop.is_set():
            raise Interrupted
        if self._packed is None:
            self._prepare(scores)
            assert self._packed is not None
        else:
            self._follow(input_ids[:, -1].tolist())
        self._fill()
        packed = self._packed.to(scores.device, non_blocking=True)  # [rows, words]
        bits = (packed.unsqueeze(-1) >> self._shifts) & 1  # [rows, words, 32]
        allowed = bits.flatten(1)[:, : scores.shape[1]].bool()  # [rows, width]
        scores = scores.float().masked_fill(~allowed, float("-inf"))
        if self._temperature > 0:
            scores = scores / self._temperature
            noise = torch.ones_like(scores)
            for row in self._running:
                noise[row].exponential_(generator=self._generators[row])
            scores = scores - noise.log()
        return scores

    def _prepare(self, scores: torch.Tensor) -> None:
        import torch

        words = (self._width + 31) // 32
        rows = len(self._matchers)
        on_gpu = scores.device.type == "cuda"
        self._packed = torch.full((rows, words), -1, dtype=torch.int32, pin_memory=on_gpu)
        self._shifts = torch.arange(32, dtype=torch.int32, device=scores.device)
        if self._temperature > 0:
            for seed in self._seeds:
                self._generators.append(torch.Generator(scores.device).manual_seed(seed))

    def _follow(self, tokens: list[int]) -> None:
        """Tell the grammars the last tokens; a row that ended is followed no more."""
        running = []
        for row in self._running:
            if tokens[row] in self._end_tokens:
                assert self._packed is not None
                self._packed[row] = -1
            elif self._matchers[row].consume_token(tokens[row]):
                running.append(row)
            else:
                raise RuntimeError(f"The grammar lost its place: {self._matchers[row].get_error()}")
        self._running = running

    def _fill(self) -> None:
        from llguidance.numpy import fill_next_token_bitmask_par

        if self._running:
            assert self._packed is not None
            rows = [(self._matchers[row], row) for row in self._running]
            fill_next_token_bitmask_par(self._executor, rows, self._packed.numpy())

"""Load a language model from a folder, without running anything that comes with it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neggen.errors import NegGenError, first_line
from neggen.generation.backends.local_processor import SAFELY, load_processor

if TYPE_CHECKING:
    import torch
    from llguidance import LLTokenizer

DTYPES = ("auto", "float32", "bfloat16", "float16")


@dataclass(frozen=True)
class LoadedModel:
    """A model and what is needed to ask it.

    Attributes:
        model: the transformers model, on its device.
        processor: of texts and pictures; for a model of texts only, its tokenizer.
        tokenizer: the processor's tokenizer.
        grammar_tokenizer: the grammar engine's view of it, as wide as the model's logits.
        end_tokens: ids that end an answer.
        sees: whether it can be asked about pictures.
        longest: tokens of prompt and answer together that it can take, if it says so.
        control: matches the tokens that only the template may write, such as ``<image>``.
        template_options: further variables of the chat template.
        has_system_role: whether the template takes a system prompt.
    """

    model: Any
    processor: Any
    tokenizer: Any
    grammar_tokenizer: LLTokenizer
    end_tokens: list[int]
    sees: bool
    longest: int | None
    control: re.Pattern[str]
    template_options: dict[str, Any]
    has_system_role: bool


def load_model(folder: Path, *, device: str, dtype: str) -> LoadedModel:
    """Load a chat model with its processor.

    Args:
        folder: as :func:`neggen.generation.backends.local_files.find_model` returns it.
        device: where it runs, such as ``cpu`` or ``cuda``.
        dtype: of the weights, one of ``DTYPES``; ``auto`` is bfloat16 on a GPU, else float32.

    Raises:
        NegGenError: If it cannot be loaded, or is not one to chat with.
    """
    import torch

    try:
        place = torch.device(device)
        name = ("float32" if place.type == "cpu" else "bfloat16") if dtype == "auto" else dtype
        return _load(folder, place, getattr(torch, name))
    except NegGenError:
        raise
    except Exception as error:  # a folder can be broken in ways that end in any exception
        raise NegGenError(
            f"The model {folder} cannot be loaded on '{device}' ({first_line(error)}); choose "
            "another model or device, or mend the folder."
        ) from error


def _load(folder: Path, device: torch.device, dtype: torch.dtype) -> LoadedModel:
    import transformers
    from llguidance.hf import from_tokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()  # type: ignore[no-untyped-call]
    config = transformers.AutoConfig.from_pretrained(folder, **SAFELY)
    sees = type(config) in transformers.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    processor = load_processor(folder, config, sees=sees)
    tokenizer = getattr(processor, "tokenizer", processor)
    processor.chat_template = processor.chat_template or tokenizer.chat_template
    if not processor.chat_template:
        raise NegGenError(
            f"The model {folder} has no chat template, so it cannot be asked; choose one that is "
            "tuned for instructions."
        )
    kind: Any = (
        transformers.AutoModelForImageTextToText if sees else transformers.AutoModelForCausalLM
    )
    model: Any = kind.from_pretrained(folder, dtype=dtype, use_safetensors=True, **SAFELY)
    model = model.to(device).eval()
    end = model.generation_config.eos_token_id
    end = tokenizer.eos_token_id if end is None else end
    end_tokens = [end] if isinstance(end, int) else list(end or ())
    if not end_tokens:
        raise NegGenError(
            f"The model {folder} has no end-of-sequence token; add eos_token_id to its "
            "generation_config.json."
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token_id = end_tokens[0]
    # Instead of the model's own settings, such as a repetition penalty: JSON repeats itself.
    model.generation_config = transformers.GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=False, eos_token_id=end_tokens, pad_token_id=tokenizer.pad_token_id
    )
    # Models that think are asked not to: an answer is JSON from its first token on.
    thinks = "enable_thinking" in str(processor.chat_template)
    options = {"enable_thinking": False} if thinks else {}
    return LoadedModel(
        model=model,
        processor=processor,
        tokenizer=tokenizer,
        grammar_tokenizer=from_tokenizer(
            tokenizer, n_vocab=model.get_output_embeddings().weight.shape[0], eos_token=end_tokens
        ),
        end_tokens=end_tokens,
        sees=sees,
        longest=getattr(config.get_text_config(), "max_position_embeddings", None),
        control=_control_tokens(processor, tokenizer),
        template_options=options,
        has_system_role=_has_system_role(processor, options),
    )


def _control_tokens(processor: Any, tokenizer: Any) -> re.Pattern[str]:
    special = {
        token.content
        for token in tokenizer.added_tokens_decoder.values()
        if token.special and len(token.content.strip()) > 1
    }
    special.add(getattr(processor, "image_token", None) or "<image>")
    return re.compile("|".join(map(re.escape, sorted(special, key=len, reverse=True))))


def _has_system_role(processor: Any, options: dict[str, Any]) -> bool:
    """Ask the template; those that take no system prompt raise an error of their own."""
    from jinja2 import TemplateError

    turns = [
        {"role": role, "content": [{"type": "text", "text": "x"}]} for role in ("system", "user")
    ]
    try:
        processor.apply_chat_template(turns, tokenize=False, **options)
    except TemplateError:
        return False
    return True

"""What turns texts and pictures into a local model's inputs, without torchvision."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from neggen.errors import NegGenError

SAFELY: dict[str, bool] = {"trust_remote_code": False, "local_files_only": True}
"""For every loader of transformers: neither code of the model's nor another download."""


def load_processor(folder: Path, config: Any, *, sees: bool) -> Any:
    """Load a model's processor, or the tokenizer of a model of texts alone.

    Pictures are prepared with Pillow in any case, so that a model gets the same pixels whether
    torchvision is there or not.

    Args:
        folder: the model.
        config: its configuration.
        sees: whether it takes pictures.

    Raises:
        NegGenError: If the processor needs a package that is missing.
    """
    import transformers

    if not sees:
        return transformers.AutoTokenizer.from_pretrained(folder, **SAFELY)
    pictures: Any = transformers.AutoImageProcessor.from_pretrained(  # type: ignore[no-untyped-call]
        folder, backend="pil", **SAFELY
    )
    kind: Any = transformers.PROCESSOR_MAPPING.get(type(config), None)
    try:
        if kind and "video_processor" in kind.get_attributes() and not find_spec("torchvision"):
            return _without_video(kind, folder, pictures)
        processor: Any = transformers.AutoProcessor.from_pretrained(  # type: ignore[no-untyped-call]
            folder, **SAFELY
        )
    except ImportError as error:
        raise NegGenError(
            f"The processor of the model {folder} lacks a package: {str(error).strip()} Install "
            "it or choose another model."
        ) from error
    processor.image_processor = pictures
    return processor


def _without_video(kind: Any, folder: Path, pictures: Any) -> Any:
    """Build a processor such as Qwen-VL's without its part for videos, which needs torchvision."""
    import transformers

    class WithoutVideo(kind):  # type: ignore[misc]
        def check_argument_for_proper_class(self, argument_name: str, argument: Any) -> Any:
            if argument_name == "video_processor":
                return None
            return super().check_argument_for_proper_class(argument_name, argument)

    parts = {
        "image_processor": pictures,
        "tokenizer": transformers.AutoTokenizer.from_pretrained(folder, **SAFELY),
        "video_processor": None,
    }
    settings, _ = kind.get_processor_dict(folder, local_files_only=True)
    return WithoutVideo.from_args_and_dict(
        [parts[name] for name in kind.get_attributes()], settings
    )

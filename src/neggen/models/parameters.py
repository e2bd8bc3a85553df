"""Settings by scikit-learn's convention, for tools that tune or copy estimators by it."""

from __future__ import annotations

from typing import Any, Self

from neggen.config import ModelConfig
from neggen.models.device import check_device


class Parameters:
    """``get_params``, ``set_params`` and ``sklearn.base.clone`` for what has a ``config``."""

    config: ModelConfig
    item_ids: Any

    def __repr__(self) -> str:
        """Return the class and the settings that are not the usual ones."""
        usual = type(self.config)().model_dump()
        changed = {k: v for k, v in self.config.model_dump().items() if v != usual[k]}
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in changed.items())})"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return all settings by name; ``deep`` changes nothing, for settings are plain values."""
        return dict(self.config)

    def set_params(self, **settings: Any) -> Self:
        """Change settings; a fitted model has to be fitted again.

        Raises:
            NegGenError: For an unknown setting, a value out of range, or a device there is not.
        """
        config = self.config.updated(**settings)
        check_device(config.device)
        # Made anew, since a model may derive more from its settings than its configuration.
        self.__dict__ = type(self)(config).__dict__  # type: ignore[call-arg]
        return self

    def __sklearn_clone__(self) -> Self:
        return type(self)(self.config)  # type: ignore[call-arg]

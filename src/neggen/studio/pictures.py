"""Thumbnails that travel inside the page."""

from __future__ import annotations

import base64
import io

from neggen.data.dataset import Dataset
from neggen.data.picture import UnreadablePicture, open_picture
from neggen.generation.inputs import read_picture

LARGE, SMALL = 220, 150
"""Longest sides in pixels, for cards and for lists."""


class Thumbnails:
    """Re-encodes pictures of a catalogue, each once per size."""

    def __init__(self, data: Dataset, *, missing_ok: bool = False) -> None:
        """Remember the catalogue; with ``missing_ok``, a picture that is gone is none."""
        self._data, self._missing_ok = data, missing_ok
        self._made: dict[tuple[int, int], str | None] = {}

    def get(self, item: int, longest_side: int) -> str | None:
        """Return an item's picture as a WebP ``data:`` URI.

        Re-encoding drops metadata, and whatever else a picture file may carry.

        Args:
            item: internal index.
            longest_side: in pixels.

        Returns:
            None if the item has no picture, or one of a format that is not shown.

        Raises:
            NegGenError: If the file was there on import and is gone now, unless that is allowed.
        """
        key = (item, longest_side)
        if key not in self._made:
            self._made[key] = self._make(item, longest_side)
        return self._made[key]

    def _make(self, item: int, longest_side: int) -> str | None:
        path = self._data.image_path(item)
        if path is None or (self._missing_ok and not path.is_file()):
            return None
        try:
            picture = open_picture(read_picture(path, str(self._data.item_ids[item])), longest_side)
        except UnreadablePicture:
            return None
        encoded = io.BytesIO()
        picture.save(encoded, "WEBP", quality=72, method=4)
        return "data:image/webp;base64," + base64.b64encode(encoded.getvalue()).decode("ascii")

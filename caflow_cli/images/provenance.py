"""The provenance in a written picture: model, temperature, seed, rank; never a path."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from PIL import PngImagePlugin

from .source import open_picture, quietly, read_source

__all__ = ["PNG_KEY", "read_provenance", "to_description"]

PNG_KEY = (
    "caflow"  # keyword of the text chunk; elsewhere the one key of the JSON in the description
)
_DESCRIPTION = 0x010E  # EXIF and TIFF tag ImageDescription


def to_description(provenance: str) -> str:
    """The text for a picture's ImageDescription: one JSON object under the key `caflow`."""
    return f'{{"{PNG_KEY}": {provenance}}}'


def read_provenance(path: Path) -> dict[str, Any] | None:
    """Read a picture's provenance; None if it has none. Pixels are not decoded.

    Raises:
        CaflowError: The file cannot be read or is not a picture, as for `read_image`.
    """
    data, label = read_source(path, None)
    picture, _ = open_picture(data, label, frame=1)
    with picture, quietly():
        try:
            if isinstance(picture, PngImagePlugin.PngImageFile):
                record = json.loads(picture.info[PNG_KEY])
            else:
                record = json.loads(picture.getexif()[_DESCRIPTION])[PNG_KEY]
        except Exception:  # of another program, or damaged
            return None
    return record if isinstance(record, dict) else None

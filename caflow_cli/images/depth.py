"""From 16 to 8 bits: values times 255/65535, rounded, so the brightest stays the brightest."""

from __future__ import annotations

import contextlib
import sys

import numpy as np
from PIL import Image

from ..errors import CaflowError
from .source import load_pixels, open_picture

__all__ = ["exchanged_layout", "grey_to_8_bits", "low_bytes", "round_to_8_bits"]

# Pillow keeps colour of 16 bits at 8: of each value one byte, chosen by the name of the layout in
# the file. Under the layout with the bytes exchanged, it gives the other one.
_EXCHANGED = {
    f"{mode};16{a}": f"{mode};16{b}"
    for mode in ("RGB", "RGBX", "RGBA", "RGBa", "CMYK")
    for a, b in ("BL", "LB")
}
_NATIVE = "L" if sys.byteorder == "little" else "B"


def grey_to_8_bits(picture: Image.Image, label: str) -> tuple[Image.Image, Image.Image | None]:
    """Convert modes I;16, I and F to L; also return alpha, if one value is transparent.

    Raises:
        CaflowError: The values have no stated range: floats, or integers outside 0 to 65535, or
            integers that may as well be of 8 bits.
    """
    values = np.asarray(picture)
    least, largest = values.min(), values.max()
    small = picture.mode == "I" and picture.format != "PPM" and 0 < largest <= 255
    if picture.mode == "F" or least < 0 or largest > 65535 or small:
        kind = "floats" if picture.mode == "F" else "32-bit integers"
        raise CaflowError(
            f"{label!r} holds {kind}, whose range is not known",
            "save it with 8 or 16 bits a channel",
        )
    grey = Image.fromarray(((values.astype(np.uint32) + 128) // 257).astype(np.uint8))
    hidden = picture.info.get("transparency")
    if not isinstance(hidden, int):
        return grey, None
    return grey, Image.fromarray(np.where(values == hidden, 0, 255).astype(np.uint8))


def exchanged_layout(picture: Image.Image) -> str | None:
    """The raw layout that gives the low bytes of an undecoded 16-bit colour picture.

    None for any other picture.
    """
    layouts = {
        tile.args if isinstance(tile.args, str) else tile.args[0]
        for tile in getattr(picture, "tile", [])
        if tile.args
    }
    if len(layouts) != 1 or not isinstance(layout := layouts.pop(), str):
        return None
    if layout == "LA;16B":  # has no exchanged one: as four bytes, high, low, high, low
        return "RGBA"
    return _EXCHANGED.get(layout.replace(";16N", f";16{_NATIVE}"))


def low_bytes(data: bytes, label: str, frame: int | None, layout: str) -> Image.Image | None:
    """The low bytes, in the same bands in which Pillow gives the high bytes.

    None if that fails. The high bytes alone are within 1 level of the rounded value.
    """
    with contextlib.suppress(Exception):
        picture, _ = open_picture(data, label, frame)
        picture.tile = [  # type: ignore[attr-defined]
            tile._replace(args=layout if isinstance(tile.args, str) else (layout, *tile.args[1:]))
            for tile in picture.tile  # type: ignore[attr-defined]
        ]
        load_pixels(picture)
        if layout == "RGBA":
            _, grey, _, alpha = picture.split()
            return Image.merge("RGBA", (grey, grey, grey, alpha))
        return picture
    return None


def round_to_8_bits(high: Image.Image, low: Image.Image) -> Image.Image:
    """Round each value: round((256 high + low) / 257), which is high, or one more or less."""
    upper = np.asarray(high).astype(np.int16)
    difference = np.asarray(low).astype(np.int16) - upper
    rounded = upper + (difference > 128) - (difference < -128)
    return Image.fromarray(rounded.astype(np.uint8), high.mode)

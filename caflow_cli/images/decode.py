"""Decoding: the one policy for how pictures are read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image

from .alpha import fill_transparent
from .colour import to_srgb
from .depth import exchanged_layout, grey_to_8_bits, low_bytes, round_to_8_bits
from .source import damaged, load_pixels, open_picture, quietly, read_source

__all__ = ["SUFFIXES", "Decoded", "decode", "read_image", "stored_size"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"})

_LOW_BITS = {"L;2": 85, "L;4": 17}  # raw layouts of grey, and the steps of their levels
_ORIENTATION = 0x0112  # EXIF tag
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True, eq=False)
class Decoded:
    """A decoded picture.

    Attributes:
        rgb: sRGB, uint8 (H, W, 3): straight colours as stored, also of transparent pixels.
        alpha: uint8 (H, W), 0 transparent to 255 opaque; None where every pixel is opaque.
        format: Format of the file's content: PNG, JPEG, WEBP, …
    """

    rgb: npt.NDArray[np.uint8]
    alpha: npt.NDArray[np.uint8] | None
    format: str

    def seen(self, *, faint: bool = False) -> npt.NDArray[np.uint8]:
        """`rgb` with transparent pixels filled by `fill_transparent`."""
        if self.alpha is None:
            return self.rgb
        return fill_transparent(self.rgb, self.alpha, faint=faint)


def decode(
    source: str | Path | BinaryIO, name: str | None = None, frame: int | None = None
) -> Decoded:
    """Decode a picture to 8-bit sRGB, with alpha apart.

    EXIF orientation is applied and an embedded ICC profile converted to sRGB (one that is sRGB up
    to rounding leaves the pixels as they are; a broken one is ignored). 16 bits are rescaled by
    255/65535 and rounded. Palette, grey, 1-bit, CMYK and LAB are converted; premultiplied colours
    are made straight.

    Args:
        source: A path, or a binary stream that is read to its end.
        name: Name of the picture in errors; by default the path or the stream's name.
        frame: Frame of an animation, or page of a file, from 1. None: refuse files with several.

    Raises:
        CaflowError: (exit 1) the source is missing, a folder, unreadable, empty, truncated or not a
            picture; it has several frames or pages, or no such frame; it has more pixels than
            Pillow's bomb limit; or its values have no stated range (floats, 32-bit integers).
    """
    data, label = read_source(source, name)
    picture, _ = open_picture(data, label, frame)
    with picture:
        format = picture.format or ""
        layout = exchanged_layout(picture)
        _scale_hidden_grey(picture)
        try:
            load_pixels(picture)
        except Exception as error:  # plugins raise whatever a broken file leads them to
            raise damaged(label) from error
        profile = picture.info.get("icc_profile")
        # Asked for after the pixels: a PNG may hold EXIF behind them, TIFF turns itself.
        turn = _TRANSPOSE.get(_orientation(picture))
        low = low_bytes(data, label, frame, layout) if layout is not None else None
        base, alpha = _apart(picture, low, label)
    rgb = to_srgb(base, profile)
    if turn is not None:
        rgb = rgb.transpose(turn)
        alpha = alpha.transpose(turn) if alpha is not None else None
    opacity = np.array(alpha) if alpha is not None else None
    if opacity is not None and opacity.min() == 255:
        opacity = None
    return Decoded(np.array(rgb), opacity, format)


def read_image(source: str | Path | BinaryIO, name: str | None = None) -> npt.NDArray[np.uint8]:
    """Read the colours of a picture: uint8 (H, W, 3), 0-255.

    Alpha is dropped. The result has the stored (un-premultiplied) colours, also of transparent
    pixels. `decode` returns the alpha.

    Raises:
        CaflowError: As for `decode`.
    """
    return decode(source, name).rgb


def stored_size(data: bytes, name: str) -> tuple[int, int]:
    """Read height and width of a picture from its header, before any turn. No pixel is decoded.

    Raises:
        CaflowError: As for `decode`, where the header shows it.
    """
    picture, _ = open_picture(data, name)
    with picture:
        return picture.height, picture.width


def _scale_hidden_grey(picture: Image.Image) -> None:
    """Bring the transparent grey of an undecoded PNG of 2 or 4 bits to the scale of its pixels.

    Pillow scales the pixels alone.
    """
    hidden, tiles = picture.info.get("transparency"), getattr(picture, "tile", [])
    if isinstance(hidden, int) and tiles and (step := _LOW_BITS.get(str(tiles[0].args))):
        picture.info["transparency"] = hidden * step


def _orientation(picture: Image.Image) -> int:
    try:
        with quietly():
            return int(picture.getexif().get(_ORIENTATION, 1))
    except Exception:  # broken EXIF is no reason to refuse the pixels
        return 1


def _apart(
    picture: Image.Image, low: Image.Image | None, label: str
) -> tuple[Image.Image, Image.Image | None]:
    """Separate colours (mode L, RGB, CMYK or LAB, 8 bits) from alpha (mode L), if there is any.

    Args:
        low: The low bytes of a colour picture of 16 bits.
    """
    mode = picture.mode
    if mode == "F" or mode.startswith("I"):
        return grey_to_8_bits(picture, label)
    hidden = picture.info.get("transparency")
    if low is not None and low.mode == mode:
        if mode == "RGB" and isinstance(hidden, tuple):
            exact = np.asarray(picture).astype(np.uint16) * 256 + np.asarray(low)
            shown = (exact != np.array(hidden)).any(-1)
            alpha = Image.fromarray((shown * 255).astype(np.uint8))
            return round_to_8_bits(picture, low), alpha
        picture = round_to_8_bits(picture, low)
    if mode == "La":
        picture = picture.convert("LA")
    if picture.mode == "LA":
        return picture.getchannel("L"), picture.getchannel("A")
    if mode in ("RGBA", "RGBa", "PA") or hidden is not None:
        straight = picture.convert("RGBA")
        alpha = straight.getchannel("A")
        base = picture.convert("L") if mode in ("1", "L") else straight.convert("RGB")
        return base, alpha
    if mode == "1":
        return picture.convert("L"), None
    return (picture if mode in ("RGB", "L", "CMYK", "LAB") else picture.convert("RGB")), None

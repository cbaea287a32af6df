"""Parts of figures: captions, thumbnails, colour maps with their bars."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from ..tasks import Picture

__all__ = [
    "GAP",
    "beside",
    "captioned",
    "colour_chart",
    "diverging",
    "framed",
    "nice_above",
    "sequential",
    "stacked",
    "thumbnail",
]

GAP = 12  # pixels between the parts of a figure
_SIZE = 13  # of letters
_LINE = 17  # from one line of text to the next
_PAPER, _INK = (255, 255, 255), (34, 34, 34)
_BAR = 14  # width of a colour bar

_Values = npt.NDArray[np.float64]
ColourMap = Callable[[_Values], Picture]

# From dark to light in even steps of lightness, so that more looks like more in grey, too.
_SEQUENTIAL = "0e082c 4c0c6b 90226b d0424c f38029 fac43e fefcc8"
# Two hues of equal lightness that meet in a light grey.
_DIVERGING = "214894 6492c7 bacee2 f2f2f0 ecc0a8 d3765c 92222e"


def sequential(values: _Values) -> Picture:
    """Colours of values from 0 to 1, dark to light: (...) to uint8 (..., 3)."""
    return _colours(values, _SEQUENTIAL)


def diverging(values: _Values) -> Picture:
    """Colours of values from 0 (blue) through 1/2 (grey) to 1 (red): (...) to uint8 (..., 3)."""
    return _colours(values, _DIVERGING)


def _colours(values: _Values, table: str) -> Picture:
    colours = np.array([list(bytes.fromhex(colour)) for colour in table.split()])
    stops = np.linspace(0, 1, len(colours))
    channels = [np.interp(values, stops, channel) for channel in colours.T]
    return np.stack(channels, -1).round().astype(np.uint8)


def thumbnail(picture: Picture, side: int) -> Picture:
    """The picture with its longer side at most `side`.

    A small one is enlarged by a whole number, so that its pixels are seen; a large one is averaged.
    """
    height, width = picture.shape[:2]
    longest = max(height, width)
    if longest <= side:
        times = side // longest
        return picture.repeat(times, 0).repeat(times, 1)
    size = max(1, width * side // longest), max(1, height * side // longest)
    return np.array(Image.fromarray(picture).resize(size, Image.Resampling.BOX))


def framed(picture: Picture) -> Picture:
    """The picture with a white margin."""
    return np.pad(picture, ((GAP, GAP), (GAP, GAP), (0, 0)), constant_values=255)


def beside(parts: Sequence[Picture]) -> Picture:
    """Pictures in a row, on white, aligned at the top."""
    height = max(part.shape[0] for part in parts)
    padded = [_on_paper(part, height, part.shape[1] + GAP) for part in parts]
    return np.concatenate(padded, 1)[:, :-GAP]


def stacked(parts: Sequence[Picture]) -> Picture:
    """Pictures below each other, on white, aligned at the left."""
    width = max(part.shape[1] for part in parts)
    padded = [_on_paper(part, part.shape[0] + GAP, width) for part in parts]
    return np.concatenate(padded, 0)[:-GAP]


def _on_paper(picture: Picture, height: int, width: int) -> Picture:
    paper = np.full((height, width, 3), _PAPER, np.uint8)
    paper[: picture.shape[0], : picture.shape[1]] = picture
    return paper


def captioned(picture: Picture, text: str, width: int | None = None) -> Picture:
    """Add lines of text below a picture; a line longer than `width` is broken.

    The font that comes with Pillow writes ASCII: other letters become `?`.
    """
    font = _font()
    room = max(picture.shape[1], width or 0)
    lines = [part for line in text.split("\n") for part in _broken(line, room, font)]
    height = picture.shape[0]
    canvas = Image.fromarray(_on_paper(picture, height + 4 + _LINE * len(lines), room))
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(lines):
        draw.text((0, height + 4 + row * _LINE), line, font=font, fill=_INK)
    return np.array(canvas)


def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(_SIZE)
    assert isinstance(font, ImageFont.FreeTypeFont), "Pillow was built without FreeType"
    return font


def _broken(line: str, width: int, font: ImageFont.FreeTypeFont) -> list[str]:
    """Break a line into pieces that fit: at spaces, and within words that are too long."""
    pieces, rest = [], line.encode("ascii", "replace").decode()
    while rest and font.getlength(rest) > width:
        fits = max(
            n for n in range(1, len(rest) + 1) if n == 1 or font.getlength(rest[:n]) <= width
        )
        space = rest.rfind(" ", 1, fits + 1)
        cut = space if space > 0 else fits
        pieces.append(rest[:cut])
        rest = rest[cut:].lstrip()
    return [*pieces, rest]


def colour_chart(
    values: _Values, low: float, high: float, colours: ColourMap, side: int
) -> Picture:
    """A field as a picture, `side` pixels at its longer side, with a colour bar at its right.

    Values beyond `low` and `high` get the colour of the end.
    """
    unit = ((values - low) / (high - low)).clip(0, 1)
    field = thumbnail(colours(unit), side)
    height = max(field.shape[0], 4 * _LINE)
    scale = np.linspace(1, 0, height)[:, None].repeat(_BAR, 1)
    room = _on_paper(colours(scale), height + _LINE, _BAR + 60)
    canvas = Image.fromarray(np.roll(room, _LINE // 2, 0))
    draw = ImageDraw.Draw(canvas)
    for share in (0.0, 0.5, 1.0):
        y = _LINE // 2 + (1 - share) * (height - 1)
        draw.line([(_BAR, y), (_BAR + 4, y)], fill=_INK)
        label = f"{low + share * (high - low):g}"
        draw.text((_BAR + 8, y), label, font=_font(), fill=_INK, anchor="lm")
    field = np.pad(field, ((_LINE // 2, 0), (0, 0), (0, 0)), constant_values=255)
    return beside([field, np.array(canvas)])


def nice_above(value: float) -> float:
    """The least of 1, 2, 5, 10, 20, ... that is no less than the value."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)

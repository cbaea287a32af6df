"""Figures: sheets of candidates, and color maps beside their images."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..config import Temperature
from ..errors import ensure
from ..tasks import Pixels
from .candidate import Candidate
from .conformal import Values, moments

_GAP = 12  # pixels between the parts of a figure
_SIZE = 13  # font size
_LINE = 17  # line height
_INK = (34, 34, 34)
_BAR = 14  # width of a color bar
_CELL = 192  # pixels of a thumbnail's longer side
_LONGEST = 10  # candidates per line of a sheet
_SIDE = 384  # pixels of a chart's longer side

# From dark to light in even steps of lightness, so that it reads correctly in gray, too.
_COLORS = "0e082c 4c0c6b 90226b d0424c f38029 fac43e fefcc8"


def sheet(rows: Sequence[Pixels]) -> Pixels:
    """Put rows below each other, with a margin."""
    margins = ((_GAP, _GAP), (_GAP, _GAP), (0, 0))
    return np.pad(_joined(rows, 0), margins, constant_values=255)


def grid_row(
    name: str,
    tau: Temperature,
    seen: Pixels,
    ranked: Sequence[Candidate],
) -> Pixels:
    """Draw the input, in the colors that the model reads, and the scored candidates by rank.

    `name` and `tau` go into the caption.
    """
    height, width = seen.shape[:2]
    first = _cell(seen, [name, f"{width} x {height}", f"tau {tau}"])
    cells = []
    for candidate in ranked:
        title = f"#{candidate.rank}   seed {candidate.seed}"
        scores = candidate.score.summary.split(", ")
        cells.append(_cell(candidate.pixels, [title, *scores]))
    lines = []
    for start in range(0, len(cells), _LONGEST):
        lines.append(_joined(cells[start : start + _LONGEST], 1))
    return _joined([first, _joined(lines, 0)], 1)


def _cell(image: Pixels, lines: Sequence[str]) -> Pixels:
    return _captioned(thumbnail(image, _CELL), lines, _CELL)


def spread(candidates: Sequence[Candidate]) -> Values:
    """The spread of all M composed candidates at each pixel, in levels of 0-255: (H, W).

    It is the standard deviation over candidates (divisor M - 1), RMS over channels.

    Raises:
        CaflowError: There is only one candidate.
    """
    ensure(len(candidates) > 1, "one candidate has no spread", "-m 10")
    _, variance = moments(candidate.pixels for candidate in candidates)
    mean_variance: Values = variance.mean(2, dtype=np.float64)
    return np.sqrt(mean_variance)


def uncertainty_map(
    candidates: Sequence[Candidate],
    tau: Temperature,
) -> tuple[Pixels, list[str]]:
    """Draw `spread` as a map with a color bar, and return lines of text that explain it."""
    values = spread(candidates)
    lines = [
        f"standard deviation over {len(candidates)} candidates, in levels of 0-255, "
        "RMS over channels",
        f"mean {values.mean():.2f}, largest {values.max():.1f}; tau {tau}",
    ]
    if min(tau.values) < 1:
        lines.append("understates spread at tau < 1")
    return _level_chart(values), lines


def uncertainty_chart(
    name: str,
    candidates: Sequence[Candidate],
    tau: Temperature,
) -> Pixels:
    chart, lines = uncertainty_map(candidates, tau)
    return _with_image(candidates[0].pixels, chart, [f"{name}: {lines[0]}", *lines[1:]])


def interval_chart(
    name: str, image: Pixels, interval: tuple[Pixels, Pixels], level: float
) -> Pixels:
    """Draw half the width of calibrated intervals, mean over channels, beside an image."""
    low, high = interval
    values = (high.astype(np.float64) - low).mean(2) / 2
    lines = [
        f"{name}: half-width in levels; on average {100 * level:g} % of the values of such images "
        "lie within",
        f"mean {values.mean():.2f}, largest {values.max():.1f}",
    ]
    return _with_image(image, _level_chart(values), lines)


def _with_image(image: Pixels, chart: Pixels, lines: Sequence[str]) -> Pixels:
    """Put an image beside its chart, lowered by half a line of text to align with the map."""
    small = _below(thumbnail(image, _SIDE))
    return _captioned(_joined([small, chart], 1), lines)


def _colors(values: Values) -> Pixels:
    """Interpolate in the table of colors, evenly spaced on [0, 1]: (H, W) to uint8 (H, W, 3)."""
    colors = np.array([list(bytes.fromhex(color)) for color in _COLORS.split()])
    stops = np.linspace(0, 1, len(colors))
    channels = [np.interp(values, stops, channel) for channel in colors.T]
    return np.stack(channels, -1).round().astype(np.uint8)


def thumbnail(image: Pixels, side: int) -> Pixels:
    """Resize an image so that its longer side is at most `side`.

    A small image is enlarged by an integer factor, so that its pixels are visible. A large one is
    downsampled by averaging.
    """
    height, width = image.shape[:2]
    longest = max(height, width)
    if longest <= side:
        times = side // longest
        return image.repeat(times, 0).repeat(times, 1)
    small_width = max(1, width * side // longest)
    small_height = max(1, height * side // longest)
    small = Image.fromarray(image).resize((small_width, small_height), Image.Resampling.BOX)
    return np.array(small)


def _joined(parts: Sequence[Pixels], axis: int) -> Pixels:
    """Put images below (axis 0) or beside each other, with gaps, aligned at the top left."""
    height = max(part.shape[0] for part in parts)
    width = max(part.shape[1] for part in parts)
    gap = np.full((_GAP, width, 3) if axis == 0 else (height, _GAP, 3), 255, np.uint8)
    padded = []
    for part in parts:
        if axis == 0:
            padded += [_on_white(part, part.shape[0], width), gap]
        else:
            padded += [_on_white(part, height, part.shape[1]), gap]
    return np.concatenate(padded[:-1], axis)


def _on_white(image: Pixels, height: int, width: int, top: int = 0) -> Pixels:
    """Extend an image to a height and width, with `top` of the new rows above it."""
    rows = (top, height - image.shape[0] - top)
    columns = (0, width - image.shape[1])
    return np.pad(image, (rows, columns, (0, 0)), constant_values=255)


def _below(image: Pixels) -> Pixels:
    """Lower an image by half a line of text."""
    top = _LINE // 2
    return _on_white(image, image.shape[0] + top, image.shape[1], top)


def _captioned(image: Pixels, lines: Sequence[str], width: int = 0) -> Pixels:
    """Add lines of text below an image; lines longer than `width` are wrapped.

    Pillow's built-in font has only ASCII characters; others become `?`.
    """
    font = ImageFont.load_default(_SIZE)
    height = image.shape[0]
    room = max(image.shape[1], width)
    wrapped = []
    for line in lines:
        wrapped += _wrapped(line, room, font.getlength)
    top = height + 4
    canvas = Image.fromarray(_on_white(image, top + _LINE * len(wrapped), room))
    draw = ImageDraw.Draw(canvas)
    for row, line in enumerate(wrapped):
        draw.text((0, top + row * _LINE), line, font=font, fill=_INK)
    return np.array(canvas)


def _wrapped(line: str, width: int, length: Callable[[str], float]) -> list[str]:
    pieces = []
    rest = line.encode("ascii", "replace").decode()
    while rest and length(rest) > width:
        fits = 1
        while length(rest[: fits + 1]) <= width:
            fits += 1
        space = rest.rfind(" ", 1, fits + 1)
        end = space if space > 0 else fits
        pieces.append(rest[:end])
        rest = rest[end:].lstrip()
    return [*pieces, rest]


def _level_chart(values: Values) -> Pixels:
    """Draw a map of levels from 0 up, with a color bar to its right."""
    # A percentile: a few extreme outliers would leave everything else in one color.
    top = _nice_above(float(np.percentile(values, 99.5)))
    field = thumbnail(_colors((values / top).clip(0, 1)), _SIDE)
    height = max(field.shape[0], 4 * _LINE)
    shades = np.linspace(1, 0, height)
    bar = _colors(shades[:, None].repeat(_BAR, 1))
    beside = _on_white(bar, height + _LINE, _BAR + 60, _LINE // 2)
    canvas = Image.fromarray(beside)
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(_SIZE)
    for share in (0.0, 0.5, 1.0):
        y = _LINE // 2 + (1 - share) * (height - 1)
        draw.line([(_BAR, y), (_BAR + 4, y)], fill=_INK)
        level = f"{share * top:g}"
        draw.text((_BAR + 8, y), level, font=font, fill=_INK, anchor="lm")
    return _joined([_below(field), np.array(canvas)], 1)


def _nice_above(value: float) -> float:
    """The smallest of 1, 2, 5, 10, 20, ... that is at least `value`."""
    if value <= 1:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= value)

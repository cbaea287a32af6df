"""The curves of a run as a picture: bits/dim over images seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from .events import Event

__all__ = ["draw_curve"]

_WIDTH, _HEIGHT = 960, 540
_LEFT, _TOP, _RIGHT, _BOTTOM = 84, 56, 56, 64  # margins
_SCALE = 2  # drawn larger and shrunk: smooth lines
_INK, _GRID = (40, 40, 40), (225, 225, 225)

# Event, figure, label, colour, width of the line, whether every point is marked. Colours that
# people who confuse some can tell apart. The last has an axis of its own, at the right.
_SERIES = (
    ("step", "running_bits_per_dim", "training loss, running mean", (180, 180, 180), 2, False),
    ("validation", "train_bits_per_dim", "training pictures", (213, 94, 0), 3, True),
    ("validation", "val_bits_per_dim", "validation pictures", (0, 114, 178), 3, True),
    ("validation", "val_picture_loss", "draws", (0, 158, 115), 3, True),
)

_Points = list[tuple[float, float]]


def draw_curve(events: Sequence[Event]) -> npt.NDArray[np.uint8]:
    """Draw the running training loss and the figures of validations: uint8 (540, 960, 3).

    The vertical axis ends slightly above the highest value after the first tenth of the run,
    because the first steps would flatten the rest.

    Args:
        events: Lines of `metrics.jsonl`.
    """
    image = Image.new("RGB", (_WIDTH * _SCALE, _HEIGHT * _SCALE), "white")
    draw = ImageDraw.Draw(image)
    series = [_points(events, event, figure) for event, figure, *_ in _SERIES]
    *in_bits, pictures = series
    known = [point for points in in_bits for point in points]
    if known:
        plot = _Plot(draw, known)
        plot.axes()
        for points, (_, _, _, colour, width, marked) in zip(in_bits, _SERIES[:-1], strict=True):
            plot.line(points, colour, width, marked)
        if pictures:
            _, _, _, colour, width, marked = _SERIES[-1]
            own = _Plot(draw, [*pictures, (plot.end, pictures[-1][1])])
            own.scale_at_right(colour)
            own.line(pictures, colour, width, marked)
    _legend(draw, series)
    small = image.resize((_WIDTH, _HEIGHT), Image.Resampling.LANCZOS)
    return np.asarray(small)


def ticks(low: float, high: float, count: int = 6) -> list[float]:
    """About `count` round numbers in [low, high], at steps of 1, 2 or 5 times a power of ten."""
    span = max(high - low, 1e-12)
    power = 10.0 ** math.floor(math.log10(span / count))
    step = next(m * power for m in (1, 2, 5, 10) if span / (m * power) <= count)
    first = math.ceil(low / step - 1e-9)
    return [k * step for k in range(first, math.floor(high / step + 1e-9) + 1)]


class _Plot:
    """Axes, in pixels of the enlarged picture."""

    def __init__(self, draw: ImageDraw.ImageDraw, points: _Points) -> None:
        self._draw = draw
        self.end = max(max(x for x, _ in points), 1.0)  # of the horizontal axis
        late = [y for x, y in points if x >= self.end / 10] or [y for _, y in points]
        low, high = min(late), max(late)
        margin = 0.06 * max(high - low, 0.01)
        self._low, self._high = low - margin, high + margin

    def _at(self, x: float, y: float) -> tuple[float, float]:
        inner_width, inner_height = _WIDTH - _LEFT - _RIGHT, _HEIGHT - _TOP - _BOTTOM
        share = (self._high - min(y, self._high)) / (self._high - self._low)
        return (
            _SCALE * (_LEFT + inner_width * x / self.end),
            _SCALE * (_TOP + inner_height * share),
        )

    def axes(self) -> None:
        for y in (marks := ticks(self._low, self._high)):
            left, right = self._at(0, y), self._at(self.end, y)
            self._draw.line([left, right], _GRID, _SCALE)
            _text(self._draw, (left[0] - 10 * _SCALE, left[1]), _number(y, marks), "rm")
        divisor, unit = _unit(self.end)
        for x in ticks(0, self.end / divisor):
            foot = self._at(x * divisor, self._low)
            self._draw.line([foot, (foot[0], foot[1] + 6 * _SCALE)], _INK, _SCALE)
            _text(self._draw, (foot[0], foot[1] + 10 * _SCALE), f"{x:g}", "ma")
        corners = [self._at(0, self._high), self._at(0, self._low), self._at(self.end, self._low)]
        self._draw.line(corners, _INK, 2 * _SCALE)
        middle = _SCALE * (_LEFT + (_WIDTH - _LEFT - _RIGHT) / 2)
        _text(self._draw, (middle, _SCALE * (_HEIGHT - 12)), f"images seen{unit}", "md")
        _text(self._draw, (_SCALE * 12, _SCALE * 14), "bits/dim", "la")

    def scale_at_right(self, colour: tuple[int, int, int]) -> None:
        """Write the vertical scale beside the right border, in the colour of its line."""
        for y in (marks := ticks(self._low, self._high)):
            right = self._at(self.end, y)
            _text(self._draw, (right[0] + 4 * _SCALE, right[1]), _number(y, marks), "lm", colour)

    def line(self, points: _Points, colour: tuple[int, int, int], width: int, marked: bool) -> None:
        places = [self._at(x, y) for x, y in points]
        if len(places) > 1:
            self._draw.line(places, colour, width * _SCALE, joint="curve")
        radius = 4 * _SCALE
        for x, y in places if marked else []:
            self._draw.ellipse([x - radius, y - radius, x + radius, y + radius], colour)


def _points(events: Sequence[Event], event: str, figure: str) -> _Points:
    return [
        (float(e["images"]), float(e[figure]))
        for e in events
        if e["event"] == event and e.get(figure) is not None
    ]


def _unit(end: float) -> tuple[float, str]:
    if end >= 2e6:
        return 1e6, ", millions"
    return (1e3, ", thousands") if end >= 2e3 else (1.0, "")


def _number(y: float, marks: Sequence[float]) -> str:
    """A mark of an axis, with as many digits as their distance has."""
    digits = max(0, -math.floor(math.log10(marks[1] - marks[0]) + 1e-9)) if marks[1:] else 2
    return f"{y:.{digits}f}"


def _legend(draw: ImageDraw.ImageDraw, series: Sequence[_Points]) -> None:
    *_, validation, pictures = series
    x = 84 * _SCALE
    for _, _, label, colour, width, _ in _SERIES if pictures else _SERIES[:-1]:
        draw.line([(x, 24 * _SCALE), (x + 28 * _SCALE, 24 * _SCALE)], colour, width * _SCALE)
        x += 36 * _SCALE
        _text(draw, (x, 24 * _SCALE), label, "lm")
        x += int(draw.textlength(label, _font())) + 24 * _SCALE
    if validation:
        best = min(y for _, y in validation)
        _text(draw, ((_WIDTH - _RIGHT) * _SCALE, 24 * _SCALE), f"best {best:.3f}", "rm")


def _text(
    draw: ImageDraw.ImageDraw,
    at: tuple[float, float],
    text: str,
    anchor: str,
    colour: tuple[int, int, int] = _INK,
) -> None:
    draw.text(at, text, colour, _font(), anchor)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(15 * _SCALE)

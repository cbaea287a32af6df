"""Figures: sheets of candidates, and color maps beside their images."""

import math
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from textwrap import wrap
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageColor

from ..config import Temperature
from ..errors import ensure
from ..fields.scale import Linear
from ..images import Pixels
from ..tasks.base import levels_in
from .conditions import Window
from .rank import Values

if TYPE_CHECKING:
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

Plane = npt.NDArray[np.float32]

_DPI = 100
_GAP = 12  # pixels between the parts of a figure
_LINE = 17  # line height
_FONT = 9  # points
_BAR = 70  # width of a color bar with its labels
_CELL = 192  # pixels of a thumbnail's longer side
_LONGEST = 10  # candidates per line of a sheet
_SIDE = 384  # pixels of a chart's longer side
_MISSING = 190  # gray of missing values
_OPACITY = 0.6  # of marks: what they cover can be seen


FILL = "#ff2d55"  # the color of marks, and of the brush that paints them


class Shown(Protocol):
    """A candidate as it is written, without alpha."""

    @property
    def predicted(self) -> Sequence[Window]:
        """Where it is the guide's prediction."""

    @property
    def edited(self) -> Pixels:
        """uint8 or uint16 (H, W, 3)."""

    @property
    def shown(self) -> Pixels:
        """The same as 8-bit sRGB."""


class _Part(NamedTuple):
    """An image in a figure, with lines of text below it."""

    top: int
    left: int
    image: Pixels
    lines: Sequence[str] = ()


def sheet(rows: Sequence[Pixels]) -> Pixels:
    """Put rows below each other, with a margin."""
    width = max(row.shape[1] for row in rows) + _GAP
    padded = []
    for row in rows:
        margins = ((_GAP, 0), (_GAP, width - row.shape[1]), (0, 0))
        padded.append(np.pad(row, margins, constant_values=255))
    return np.pad(np.concatenate(padded), ((0, _GAP), (0, 0), (0, 0)), constant_values=255)


def captioned_row(cells: Sequence[tuple[Pixels, list[str]]]) -> Pixels:
    """Draw small images with lines of text below them: the first one, and the others beside it."""
    images = [thumbnail(image, _CELL) for image, _ in cells]
    captions = [_wrapped(*lines) for _, lines in cells]
    text = _LINE * max(map(len, captions))
    step = max(image.shape[0] for image in images) + text + _GAP
    parts = [_Part(0, 0, images[0], captions[0])]
    for place, (image, lines) in enumerate(zip(images[1:], captions[1:], strict=True)):
        line, column = divmod(place, _LONGEST)
        parts.append(_Part(line * step, (1 + column) * (_CELL + _GAP), image, lines))
    return _drawn(parts)


def marks_over(image: Pixels, mask: Pixels, side: int = 2048) -> Pixels:
    """Draw a mask in red over an image, which shows through: uint8 (H, W, 3).

    Args:
        image: uint8 (H, W, 3). If its longer side exceeds `side`, it is downsampled to that.
        mask: uint8 (H, W), not 0 where the image is marked. A pixel of the downsampled image is
            marked if any of its pixels is.
        side: In pixels.
    """
    if max(mask.shape) > side:
        image, mask = thumbnail(image, side), thumbnail(mask, side)
    color = np.array(ImageColor.getrgb(FILL))
    over = np.rint(_OPACITY * color + (1 - _OPACITY) * image).astype(np.uint8)
    return np.where(mask[..., None] > 0, over, image)


def moments(images: Iterable[Pixels]) -> tuple[Plane, Plane]:
    """Mean and variance (divisor M - 1) of M > 1 images of one size, value by value: (H, W, 3).

    Welford's algorithm: one image at a time, without cancellation between large numbers.
    """
    mean: Plane = np.zeros((), np.float32)
    squares: Plane = np.zeros((), np.float32)
    count = 0
    for image in images:
        count += 1
        change = image.astype(np.float32) - mean
        mean = mean + change / np.float32(count)
        squares = squares + change * (image - mean)
    return mean, squares / np.float32(count - 1)


def spread(candidates: Sequence[Shown]) -> Values:
    """The spread of all M candidates at each pixel, in levels of 0-255: (H, W).

    It is the standard deviation over candidates (divisor M - 1), RMS over channels; NaN where one
    of them is the guide's prediction.

    Raises:
        CaflowError: There is only one candidate.
    """
    ensure(len(candidates) > 1, "one candidate has no spread", "-m 10")
    _, variance = moments(candidate.edited for candidate in candidates)
    mean_variance: Values = variance.mean(2, dtype=np.float64)
    deviation: Values = np.sqrt(mean_variance) / levels_in(candidates[0].edited)
    for left, top, width, height in {w for each in candidates for w in each.predicted}:
        deviation[top : top + height, left : left + width] = np.nan
    return deviation


def uncertainty_map(candidates: Sequence[Shown], tau: Temperature) -> tuple[Pixels, list[str]]:
    """Draw `spread` as a map with a color bar, and return lines of text that explain it."""
    values = spread(candidates)
    known = values[~np.isnan(values)]
    if not known.size:
        known = np.zeros(1)
    lines = [
        f"standard deviation over {len(candidates)} candidates, in levels of 0-255, "
        "RMS over channels",
        f"mean {known.mean():.2f}, largest {known.max():.1f}; tau {tau}",
    ]
    if min(tau.values) < 1:
        lines.append("understates spread at tau < 1")
    if known.size < values.size:
        lines.append("blank where a candidate is the guide's prediction, which has no spread")
    return color_map(values), lines


def uncertainty_chart(name: str, candidates: Sequence[Shown], tau: Temperature) -> Pixels:
    """Draw the map of `uncertainty_map` beside the best candidate."""
    drawn, lines = uncertainty_map(candidates, tau)
    return beside(candidates[0].shown, drawn, [f"{name}: {lines[0]}", *lines[1:]])


def beside(image: Pixels, drawn: Pixels, lines: Sequence[str]) -> Pixels:
    """Put a map beside its image, and text below both."""
    small = thumbnail(image, _SIDE)
    return _drawn([_Part(0, 0, small, lines), _Part(0, small.shape[1] + _GAP, drawn)])


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


def _wrapped(*lines: str) -> list[str]:
    """Break lines of text to the width of a cell."""
    return [*chain.from_iterable(wrap(line, _CELL // 7) for line in lines)]


def color_map(values: Values) -> Pixels:
    """Draw a map of levels from 0 up, with a color bar to its right."""
    height, width = (max(1, side * _SIDE // max(values.shape)) for side in values.shape)
    total = width + _GAP + _BAR
    figure = _figure(max(height, 4 * _LINE), total)
    axes = figure.add_axes((0, 0, width / total, 1))
    axes.axis("off")
    # A percentile: a few extreme outliers would leave everything else in one color.
    top = np.quantile(values[~np.isnan(values)], 0.995) if not np.isnan(values).all() else 1.0
    shown = axes.imshow(values, "inferno", aspect="auto", vmin=0, vmax=top)
    bar = figure.add_axes(((width + _GAP) / total, 0.03, 14 / total, 0.94))
    figure.colorbar(shown, bar).ax.tick_params(labelsize=_FONT)
    return _rendered(figure)


class Shades(NamedTuple):
    """How the values of fields are drawn: by a sequential map, from `low` to `high`, in a unit."""

    low: float
    high: float
    unit: str
    is_log: bool  # then values below `low` are dry, and drawn as the background

    @classmethod
    def of(cls, values: Plane, scale: Linear) -> "Shades":
        """The range of all finite values, from the threshold of dry ones if there is one."""
        unit, zero = scale.known.unit, scale.known.zero
        finite = values[np.isfinite(values)]
        low = float(finite.min(initial=math.inf)) if zero is None else zero
        high = float(finite.max(initial=-math.inf))
        return cls(low, high if high > low else low + 1, unit, zero is not None)

    def drawn(self, values: Plane) -> Pixels:
        """Values (H, W) as colors; dry ones are white, missing ones gray."""
        from matplotlib import colormaps

        with np.errstate(invalid="ignore"):
            colors = colormaps["viridis"](self._norm(values), bytes=True)[..., :3]
            colors[values < self.low] = 255
        colors[np.isnan(values)] = _MISSING
        return np.asarray(colors, np.uint8)

    def bar(self, height: int) -> Pixels:
        """The color bar, with the unit."""
        from matplotlib.cm import ScalarMappable

        figure = _figure(max(height, 6 * _LINE), _BAR + 2 * _LINE)
        axes = figure.add_axes((0, 0.03, 14 / (_BAR + 2 * _LINE), 0.94))
        bar = figure.colorbar(ScalarMappable(self._norm, "viridis"), axes)
        bar.set_label(self.unit, fontsize=_FONT)
        bar.ax.tick_params(labelsize=_FONT)
        return _rendered(figure)

    @property
    def _norm(self) -> "Normalize":
        from matplotlib.colors import LogNorm, Normalize

        return (LogNorm if self.is_log else Normalize)(self.low, self.high)


def field_row(cells: Sequence[tuple[Plane, list[str]]], scale: Linear) -> Pixels:
    """Draw fields of a unit on one scale, with lines of text below them, and the scale.

    Args:
        cells: The coarse field and its members, (H, W), with the text below each.
        scale: Of the model's values.
    """
    shades = Shades.of(np.concatenate([values.ravel() for values, _ in cells]), scale)
    row = captioned_row([(shades.drawn(values), lines) for values, lines in cells])
    return _drawn([_Part(0, 0, row), _Part(0, row.shape[1] + _GAP, shades.bar(_CELL))])


def field_uncertainty(name: str, members: Plane, scale: Linear, tau: Temperature) -> Pixels:
    """Draw the standard deviation of members, (M, H, W), in their unit, beside the first one.

    Raises:
        CaflowError: There is only one member.
    """
    ensure(len(members) > 1, "one member has no spread", "-m 10")
    deviation = members.std(0, ddof=1, dtype=np.float64).astype(np.float32)
    unit, zero = scale.known.unit, scale.known.zero
    shades = Shades.of(members[0], scale)
    spread = Shades(0.0, max(float(np.nanpercentile(deviation, 99.5)), 1e-9), unit, False)
    lines = [
        f"{name}: a member, and the standard deviation over {len(members)} members, in {unit}",
        f"mean {np.nanmean(deviation):.3g}, largest {np.nanmax(deviation):.3g}; tau {tau}",
    ]
    if zero is not None:  # where all members are dry
        deviation = np.where(members.max(0) < zero, np.float32(-1), deviation)
    parts: list[_Part] = []
    left = 0
    for values, drawn in ((members[0], shades), (deviation, spread)):
        image = thumbnail(drawn.drawn(values), _SIDE)
        bar = drawn.bar(image.shape[0])
        parts += [_Part(0, left, image, lines if not left else ())]
        parts += [_Part(0, left + image.shape[1] + _GAP, bar)]
        left += image.shape[1] + bar.shape[1] + 2 * _GAP
    return _drawn(parts)


def _drawn(parts: Sequence[_Part]) -> Pixels:
    """Draw images at their places, one pixel for a pixel, and the text below each."""
    bottoms = [part.top + part.image.shape[0] + _LINE * len(part.lines) for part in parts]
    height = max(bottoms)
    width = max(part.left + max(part.image.shape[1], _CELL) for part in parts)
    figure = _figure(height, width)
    for top, left, image, lines in parts:
        below = top + image.shape[0]
        figure.figimage(image, left, height - below)
        text = re.sub("[^\n -\u052f]", "?", "\n".join(lines))  # the font has no more
        y = 1 - (below + 3) / height
        figure.text(left / width, y, text, va="top", fontsize=_FONT, parse_math=False)
    return _rendered(figure)


def _figure(height: int, width: int) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)


def _rendered(figure: "Figure") -> Pixels:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]

"""Figures of maps: a picture, the map in colours with a colour bar, and an explanation."""

from __future__ import annotations

import numpy as np

from ..tasks import Picture
from .figures import (
    beside,
    captioned,
    colour_chart,
    diverging,
    nice_above,
    sequential,
    thumbnail,
)
from .maps import Attribution, spread
from .restore import Candidates
from .score import Score

__all__ = ["attribution_chart", "spread_chart", "spread_map"]

_SIDE = 384  # pixels of a picture's longer side
_RANGE = 3.0  # standard deviations that colours reach at least


def spread_chart(name: str, result: Candidates) -> Picture:
    """Draw the best candidate of a picture beside the map of `spread`."""
    chart, lines = spread_map(result)
    text = "\n".join([f"{name}: {lines[0]}", *lines[1:]])
    return captioned(_with_picture(result.ranked[0].image, chart), text)


def spread_map(result: Candidates) -> tuple[Picture, list[str]]:
    """Draw the map of `spread` with its colour bar, and say in lines what it shows."""
    values = spread(result)
    # A few failures, all of them far off, would leave everything else in one colour.
    top = nice_above(float(np.percentile(values, 99.5)))
    lines = [
        f"standard deviation over {len(result.ranked)} candidates, in levels of 0-255, "
        "RMS over channels",
        f"mean {values.mean():.2f}, largest {values.max():.1f}; tau {result.tau}",
    ]
    if result.tau.least < 1:
        lines.append("understates spread at tau < 1")
    return colour_chart(values, 0.0, top, sequential, _SIDE), lines


def attribution_chart(name: str, found: Attribution, score: Score) -> Picture:
    """Draw a picture beside the map of its score's z-scores."""
    lines = [
        f"{name}: {score.summary}",
        f"terms of log p(w|y) by cells of {found.cell} x {found.cell} pixels, z-score against "
        f"{found.samples} samples at tau 1 for the same condition: red is less likely than "
        "samples, blue more",
        "attribution, not per-pixel likelihood",
    ]
    height, width = found.nats.shape
    cells = found.z.repeat(found.cell, 0).repeat(found.cell, 1)[:height, :width]
    top = max(_RANGE, nice_above(float(np.percentile(np.abs(cells), 98))))
    chart = colour_chart(cells, -top, top, lambda unit: diverging(1 - unit), _SIDE)
    return captioned(_with_picture(found.target, chart), "\n".join(lines))


def _with_picture(picture: Picture, chart: Picture) -> Picture:
    """Put a picture beside its chart, lowered by half a letter's height to align with the field."""
    small = thumbnail(picture, _SIDE)
    return beside([np.pad(small, ((8, 0), (0, 0), (0, 0)), constant_values=255), chart])

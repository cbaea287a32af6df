"""Holes that inpainting is trained on: the central one, random rectangles, free-form strokes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    import torch

__all__ = ["central_hole", "draw_hole"]

_Mask = npt.NDArray[np.bool_]

_RECTANGLES, _STROKES, _VERTICES = 3, 4, 6  # at most


def central_hole(height: int, width: int) -> _Mask:
    """Half of each side, in the middle: 25 % of the picture (the paper's)."""
    hole = np.zeros((height, width), np.bool_)
    hole[height // 4 : height // 4 + height // 2, width // 4 : width // 4 + width // 2] = True
    return hole


def draw_hole(kind: str, height: int, width: int, generator: torch.Generator) -> _Mask:
    """A hole for one training picture: (H, W), true = fill, never empty.

    Args:
        kind: "central"; "random": rectangles or strokes, evenly; "mixed": central half of the time,
            random else. The window that `Inpaint` cuts around a hole has it like the central one.
        generator: It gives equally many numbers, whatever the hole.
    """
    import torch  # here, so that the tasks' defaults are had without it

    count = 2 + max(4 * _RECTANGLES, _STROKES * (4 + 2 * _VERTICES))
    choice, many, *u = torch.rand(count, generator=generator).tolist()
    # Of four, two are central.
    kinds = {"central": 1, "random": 2, "mixed": 4}[kind]
    pick = int(choice * kinds)
    if kind == "central" or pick >= 2:
        return central_hole(height, width)
    return (_strokes if pick else _rectangles)(height, width, many, u)


def _rectangles(height: int, width: int, many: float, u: list[float]) -> _Mask:
    """One to three, each side 15 % to 60 % of the picture's."""
    hole = np.zeros((height, width), np.bool_)
    for i in range(1 + int(many * _RECTANGLES)):
        tall, wide, y, x = u[4 * i : 4 * i + 4]
        h, w = (max(1, round(s * (0.15 + 0.45 * v))) for s, v in ((height, tall), (width, wide)))
        top, left = int(y * (height - h + 1)), int(x * (width - w + 1))
        hole[top : top + h, left : left + w] = True
    return hole


def _strokes(height: int, width: int, many: float, u: list[float]) -> _Mask:
    """One to four broken lines with round ends, 6 % to 20 % of the picture wide."""
    side = min(height, width)
    image = Image.new("L", (width, height))
    draw = ImageDraw.Draw(image)
    each = 4 + 2 * _VERTICES
    for i in range(1 + int(many * _STROKES)):
        x, y, angle, thickness, *turns = u[each * i : each * (i + 1)]
        points = [(x * width, y * height)]
        angle *= 2 * math.pi
        for turn, length in zip(turns[::2], turns[1::2], strict=True):
            angle += (turn - 0.5) * math.pi
            step = side * (0.05 + 0.25 * length)
            points.append(
                (
                    min(max(points[-1][0] + step * math.cos(angle), 0), width - 1),
                    min(max(points[-1][1] + step * math.sin(angle), 0), height - 1),
                )
            )
        radius = side * (0.03 + 0.07 * thickness)
        draw.line(points, fill=255, width=max(1, round(2 * radius)), joint="curve")
        for px, py in (points[0], points[-1]):
            draw.ellipse((px - radius, py - radius, px + radius, py + radius), fill=255)
    return np.asarray(image) > 0

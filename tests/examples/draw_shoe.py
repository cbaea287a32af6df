"""Draws `assets/examples/shoe.png`: the outline of a shoe, as a model of sketches takes it.

python -m tests.examples.draw_shoe shoe.png
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw

SIDE, _SCALE = 64, 4

# Cubic curves in units of the picture's 64 pixels: start, two controls, end.
_Point = tuple[float, float]
_CURVES: tuple[tuple[_Point, _Point, _Point, _Point], ...] = (
    ((4, 46), (2, 52), (4, 54), (8, 54)),  # sole, from the heel
    ((8, 54), (26, 55), (44, 56), (57, 55)),
    ((57, 55), (63, 55), (62, 49), (61, 47)),
    ((4, 46), (20, 49), (42, 51), (61, 47)),  # its upper edge
    ((4, 46), (5, 38), (3, 30), (5, 22)),  # heel
    ((5, 22), (9, 18), (12, 22), (15, 25)),  # collar
    ((15, 25), (19, 29), (24, 27), (27, 20)),
    ((27, 20), (30, 16), (34, 18), (36, 22)),  # tongue
    ((36, 22), (42, 30), (48, 34), (54, 37)),  # instep
    ((54, 37), (60, 39), (62, 43), (61, 47)),  # toe
    ((27, 20), (29, 30), (34, 37), (42, 41)),  # edge of the laces
    ((42, 41), (46, 40), (50, 38), (54, 37)),  # toe cap
    ((42, 41), (40, 45), (40, 48), (41, 50)),
    ((30, 27), (34, 26), (36, 25), (38, 25)),  # laces
    ((32, 31), (36, 30), (39, 29), (42, 28)),
    ((35, 35), (39, 34), (42, 32), (46, 32)),
    ((5, 33), (10, 34), (14, 38), (15, 47)),  # heel counter
)


def _points(curve: tuple[_Point, _Point, _Point, _Point]) -> list[_Point]:
    t = np.linspace(0, 1, 33)[:, None]
    a, b, c, d = (np.array(p) for p in curve)
    path = (1 - t) ** 3 * a + 3 * (1 - t) ** 2 * t * b + 3 * (1 - t) * t**2 * c + t**3 * d
    return [(float(x), float(y)) for x, y in path * _SCALE]


def draw_shoe() -> Image.Image:
    """Black on white, 64×64 RGB: thin lines at four times the size, of which each block of pixels
    keeps the darkest, as the edges of the training set were made."""
    large = Image.new("L", (SIDE * _SCALE, SIDE * _SCALE), 255)
    pen = ImageDraw.Draw(large)
    for curve in _CURVES:
        pen.line(_points(curve), fill=0, width=1)
    blocks = np.asarray(large).reshape(SIDE, _SCALE, SIDE, _SCALE)
    return Image.fromarray(blocks.min((1, 3))).convert("RGB")


if __name__ == "__main__":
    draw_shoe().save(sys.argv[1])

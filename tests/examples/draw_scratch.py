"""Draws `assets/examples/scratch.png`: a mask of scratches and spots, as of an old photograph.

python -m tests.examples.draw_scratch scratch.png
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw

SIDE, _SCALE = 192, 4

# In pixels: polylines with their widths, and circles with their radii.
_LINES = (
    (((12, 0), (22, 60), (30, 120), (44, 191)), 3),
    (((191, 22), (140, 44), (96, 60), (58, 84)), 2),
    (((70, 191), (100, 150), (152, 128), (191, 118)), 3),
)
_SPOTS = ((118, 96, 7), (150, 160, 5), (60, 30, 4), (92, 118, 3), (170, 70, 6))


def draw_scratch() -> np.ndarray:
    """The mask, uint8 (192, 192): 255 in the holes, else 0."""
    large = Image.new("L", (SIDE * _SCALE, SIDE * _SCALE))
    pen = ImageDraw.Draw(large)
    for points, width in _LINES:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        pen.line(scaled, 255, width * _SCALE, "curve")
    for x, y, radius in _SPOTS:
        pen.ellipse([_SCALE * v for v in (x - radius, y - radius, x + radius, y + radius)], 255)
    small = np.asarray(large.resize((SIDE, SIDE), Image.Resampling.BOX))
    return np.where(small >= 64, np.uint8(255), np.uint8(0))


if __name__ == "__main__":
    Image.fromarray(draw_scratch()).save(sys.argv[1])

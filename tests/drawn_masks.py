"""Masks of holes, bool (H, W): boxes, lines, and what a property test draws."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from PIL import Image, ImageDraw


def empty(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width), np.bool_)


def box(height: int, width: int, top: int, left: int, h: int, w: int) -> np.ndarray:
    hole = empty(height, width)
    hole[top : top + h, left : left + w] = True
    return hole


def line(height: int, width: int, points: list[tuple[int, int]], thick: int) -> np.ndarray:
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).line(points, fill=255, width=thick, joint="curve")
    return np.asarray(image) > 0


@st.composite
def masks(draw) -> np.ndarray:
    height, width = draw(st.integers(1, 200)), draw(st.integers(1, 200))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    hole = empty(height, width)
    for _ in range(draw(st.integers(1, 6))):
        kind = rng.integers(3)
        y, x = rng.integers(height), rng.integers(width)
        if kind == 0:
            hole[y : y + rng.integers(1, 90), x : x + rng.integers(1, 90)] = True
        elif kind == 1:
            end = (int(rng.integers(width)), int(rng.integers(height)))
            hole |= line(height, width, [(int(x), int(y)), end], int(rng.integers(1, 40)))
        else:
            hole |= rng.random((height, width)) < rng.choice([0.001, 0.02, 0.5])
    hole[rng.integers(height), rng.integers(width)] = True
    return hole

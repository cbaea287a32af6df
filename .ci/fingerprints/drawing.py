"""Drawn images and masks."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw


def drawn(seed: int, width: int, height: int) -> Image.Image:
    """Smooth colours and some shapes with sharp edges."""
    rng = np.random.default_rng(seed)
    corners = Image.fromarray(rng.uniform(20, 235, (3, 4, 3)).astype(np.uint8))
    image = corners.resize((2 * width, 2 * height), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(image)
    for _ in range(5):
        x, y = rng.uniform(0, 1.6 * width), rng.uniform(0, 1.6 * height)
        w, h = rng.uniform(0.1, 0.9, 2) * (width, height)
        colour = tuple(int(value) for value in rng.uniform(0, 255, 3))
        (pen.ellipse if rng.random() < 0.5 else pen.rectangle)((x, y, x + w, y + h), colour)
    return image.resize((width, height), Image.Resampling.LANCZOS)


def hole(width: int, height: int, *boxes: tuple[int, int, int, int]) -> Image.Image:
    mask = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(mask)
    for box in boxes:
        pen.rectangle(box, 255)
    return mask

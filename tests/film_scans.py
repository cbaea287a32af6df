"""Simulated scans of film with infrared; no real one was to be had.

Two scanners differ in the light that passes through a dust core, and in the noise of clean film.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage

WEAK = (0.918, 0.005)  # as of a Plustek
STRONG = (0.619, 0.05)  # as of a Coolscan; 0.04 to 0.06


class Scan(NamedTuple):
    rgb: np.ndarray  # (H, W, 3), a negative
    infrared: np.ndarray  # (H, W)
    dust: np.ndarray  # opacity on [0, 1], (H, W)


def dusty(rng: np.random.Generator, height: int, width: int, spots: int) -> np.ndarray:
    """Specks and hairs: opacity, (H, W)."""
    image = Image.new("L", (2 * width, 2 * height))
    draw = ImageDraw.Draw(image)
    for spot in range(spots):
        x, y = rng.uniform(0, (2 * width, 2 * height))
        if spot % 3:
            radius = rng.uniform(2, 9)
            draw.ellipse((x - radius, y - 0.7 * radius, x + radius, y + 0.7 * radius), fill=255)
        else:
            turns = rng.uniform(0, 2 * np.pi) + np.cumsum(rng.normal(0, 0.25, 15))
            steps = rng.uniform(3, 9) * np.stack([np.cos(turns), np.sin(turns)], 1)
            points = [tuple(point) for point in np.cumsum(steps, 0) + np.array([x, y])]
            draw.line(points, fill=255, width=int(rng.integers(3, 7)))
    return np.asarray(image.reduce(2), np.float64) / 255


def scanned(
    image: np.ndarray,
    scanner: tuple[float, float],
    rng: np.random.Generator,
    *,
    slope: float = 0.02,
    shift: tuple[int, int] = (0, 0),
    dtype: type = np.uint16,
    softness: float = 0.8,
    spots: int = 40,
) -> Scan:
    """Scan a photograph, uint8 (H, W, 3), on negative film with grain, dust and falloff of light.

    Args:
        scanner: `WEAK` or `STRONG`.
        slope: d ln(infrared) / d ln(red): what leaks from the dyes; of silver film, some 0.8.
        shift: Pixels by which infrared is displaced, down and right.
        softness: Of dust, in pixels.
    """
    core, noise = scanner
    height, width = image.shape[:2]
    density = 2.5 + np.log((image / 255) ** 2.2 + 0.06)
    grain = ndimage.gaussian_filter(rng.normal(0, 1, image.shape), (0.8, 0.8, 0))
    density = np.maximum(density + 0.04 * grain / grain.std(), 0)
    dust = ndimage.gaussian_filter(dusty(rng, height, width, spots), softness)
    y, x = np.indices((height, width))
    falloff = 0.75 - 0.2 * ((y / height - 0.5) ** 2 + (x / width - 0.45) ** 2)
    light = falloff * np.exp(-slope * (density[..., 0] + 0.3 * density[..., 1]))
    light *= (1 - (1 - core) * dust) * (1 + noise * rng.normal(0, 1, dust.shape))
    colors = 0.9 * np.exp(-density) * (1 - 0.75 * dust[..., None])
    most = np.iinfo(dtype).max
    stored = [np.rint(part.clip(0, 1) * most).astype(dtype) for part in (colors, light)]
    return Scan(stored[0], np.roll(stored[1], shift, (0, 1)), dust)

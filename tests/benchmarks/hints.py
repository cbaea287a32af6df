#!/usr/bin/env python3
"""How much color hints help: simulated points, and strokes on objects, with true colors.

    python tests/benchmarks/hints.py IMAGES [--model photos-colorize] [--candidates 4]

IMAGES is a folder of color photographs. For each, the model colorizes its gray version; hints move
the same samples. "without a sample" spreads the hints alone, over a gray image. Printed is the RMSE
in levels of RGB, over pixels, candidates and images.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

import caflow_cli as caflow
from caflow_cli.restoration.recolor import Recolor
from caflow_cli.tasks.base import gray

OBJECTS = 5  # strokes in an image, at most
COLORFUL = 12  # largest chroma, in levels, that an object has at least
COLORS = 8  # of the palette by which objects are found


def points(image: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Discs at random places, in the mean color of what they cover."""
    height, width = image.shape[:2]
    generator = np.random.default_rng([seed, count])
    radius = max(2, min(height, width) / 64)
    rows, columns = np.mgrid[:height, :width]
    strokes = np.zeros((height, width, 4), np.uint8)
    for _ in range(count):
        y = generator.integers(height)
        x = generator.integers(width)
        disc = (rows - y) ** 2 + (columns - x) ** 2 <= radius**2
        strokes[disc] = [*image[disc].mean(0).round(), 255]
    return strokes


def strokes_on_objects(image: np.ndarray) -> np.ndarray:
    """A horizontal stroke on each of the largest regions of one colorful color."""
    height, width = image.shape[:2]
    palette = np.asarray(Image.fromarray(image).quantize(COLORS, dither=Image.Dither.NONE))
    regions = []
    for color in range(COLORS):
        labels, count = ndimage.label(palette == color)
        for label in range(1, count + 1):
            region = ndimage.binary_erosion(labels == label, iterations=2)
            mean = image[region].mean(0) if region.any() else np.zeros(3)
            if np.ptp(mean) >= COLORFUL:
                regions.append((region.sum(), region))
    regions.sort(key=lambda pair: -pair[0])
    strokes = np.zeros((height, width, 4), np.uint8)
    half = max(1, round(min(height, width) / 128))
    for _, region in regions[:OBJECTS]:
        row = int(region.sum(1).argmax())
        columns = np.flatnonzero(region[row])
        margin = len(columns) // 5
        line = np.zeros_like(region)
        line[max(0, row - half) : row + half, columns[margin : len(columns) - margin]] = True
        line &= region
        strokes[line] = [*image[line].mean(0).round(), 255]
    return strokes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images", type=Path)
    parser.add_argument("--model", default="photos-colorize")
    parser.add_argument("--candidates", type=int, default=4)
    given = parser.parse_args()
    model = caflow.load(given.model)
    squares: dict[str, list[float]] = defaultdict(list)

    def measure(what: str, image: np.ndarray, results: list[np.ndarray]) -> None:
        for result in results:
            squares[what].append(np.square(result.astype(float) - image).mean())

    for seed, path in enumerate(sorted(given.images.iterdir())):
        image = np.array(Image.open(path).convert("RGB"))
        luma = np.repeat(gray(image)[..., None], 3, 2)
        none = np.zeros((*image.shape[:2], 4), np.uint8)
        ways = {"no hints": none, "strokes": strokes_on_objects(image)}
        ways |= {f"{count} points": points(image, count, seed) for count in (3, 10)}
        for what, strokes in ways.items():
            drawn = caflow.restore(model, luma, candidates=given.candidates, hints=strokes)
            measure(what, image, [candidate.image for candidate in drawn.ranked])
            if strokes.any():
                alone = Recolor(luma, strokes).apply(luma, 0)
                measure(f"{what}, without a sample", image, [alone])
        measure("gray", image, [luma])
    for what, values in squares.items():
        print(f"{what:28} {np.sqrt(np.mean(values)):6.2f}")


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""What `inpaint --snap` gains where paint is rough: LPIPS after filling.

    python tests/benchmarks/snap.py MASKS PHOTOGRAPHS [--sheet FILE]

MASKS and PHOTOGRAPHS are those of `damage.py`. Up to three scratches, hairs or fibers of a film
mask, magnified 1.5 to 3 times, lie over a crop of 320×320 of each of ten photographs. Each part of
the damage is painted along its center line with one width: twice its own and 5 pixels beside it,
half its own, and half its own 5 pixels beside it. One candidate is drawn, and LPIPS is that of the
whole crop. Needs scikit-image.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
from damage import crop, film_mask, film_masks, finish
from grain import read
from PIL import Image
from scipy import ndimage
from skimage.morphology import skeletonize

import caflow_cli as caflow
from caflow_cli.damage.find import confidence, snapped
from caflow_cli.evaluation.metrics.pairs import LpipsDistance
from caflow_cli.restoration import marks_over, to_batch

KINDS = ("scratches", "hair-short", "lint", "scratches", "hair")
OFF = 5  # pixels
PAINT = {"twice as wide, beside": (2, OFF), "half as wide": (0.5, 0), "half, beside": (0.5, OFF)}
NEAR = np.ones((3, 3))
LEAST = 120  # pixels of a part


def composite(k: int, photo: np.ndarray, masks: dict[str, list]) -> tuple:
    """A crop, the same under damage, where that is, and a direction."""
    rng = np.random.default_rng((77, k))
    clean = crop(photo, 320, rng)
    while True:
        alpha = film_mask(rng, masks[KINDS[k % 5]], 320, rng.uniform(1.5, 3))
        parts, _ = ndimage.label(alpha > 0.5, NEAR)
        sizes = np.bincount(parts.ravel())
        sizes[0] = 0
        largest = np.argsort(sizes)[-3:]
        kept = np.isin(parts, largest[sizes[largest] >= LEAST])
        if 0.004 < kept.mean() < 0.04:
            break
    alpha = alpha * ndimage.binary_dilation(kept, NEAR, 2)
    case = finish(rng, "", clean, [alpha], (0.85, 1), 80)
    return np.rint(clean).clip(0, 255).astype(np.uint8), case, rng.uniform(0, 2 * np.pi)


def painted(damage: np.ndarray, factor: float, shift: tuple[float, float]) -> np.ndarray:
    """Each part along its center line, of one width, shifted: uint8 (H, W)."""
    paint = np.zeros(damage.shape, np.uint8)
    lines = skeletonize(damage)
    inside = ndimage.distance_transform_edt(damage)
    parts, count = ndimage.label(damage, NEAR)
    for number in range(1, count + 1):
        line = lines & (parts == number)
        half = np.median(inside[line]) - 0.5
        paint[ndimage.distance_transform_edt(~line) <= max(0.5, factor * half)] = 255
    return ndimage.shift(paint, np.rint(shift), order=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("masks")
    parser.add_argument("photographs")
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    masks = film_masks(asked.masks)
    photos = list(read(asked.photographs))
    model = caflow.load("photos-inpaint")
    distance = LpipsDistance(os.environ.get("CAFLOW_LPIPS_WEIGHTS"))
    lower = dict.fromkeys(PAINT, 0)
    rows = []
    for k in range(10):
        clean, case, angle = composite(k, photos[(7 * k + 3) % len(photos)], masks)
        levels = confidence(case.image)
        for name, (factor, off) in PAINT.items():
            paint = painted(case.damage, factor, (off * np.sin(angle), off * np.cos(angle)))
            values = []
            row = [clean, case.image]
            for mask in (paint, snapped(paint, levels)):
                drawn = caflow.restore(model, case.image, candidates=1, mask=mask, grain="off")
                fill = drawn.kept[0].image
                values.append(distance(to_batch([fill]), to_batch([clean])).item())
                row += [marks_over(case.image, mask), fill]
            lower[name] += values[1] < values[0]
            print(f"{k} {KINDS[k % 5]:10} {name:22} paint {values[0]:.4f} snapped {values[1]:.4f}")
            rows.append(np.concatenate(row, 1))
    print(*(f"{name}: lower in {count} of 10" for name, count in lower.items()), sep="\n")
    if asked.sheet:
        Image.fromarray(np.concatenate(rows)).save(asked.sheet)


if __name__ == "__main__":
    main()

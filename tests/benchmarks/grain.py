#!/usr/bin/env python3
"""Grain in filled holes, on simulated film: caflow with and without it, a clone, and Telea.

    python tests/benchmarks/grain.py IMAGES MASKS [--strength 0 4 8 14] [--sigma 0.8] [--side 256]
        [--crops 30] [--sheet sheet.png]

IMAGES and MASKS are folders or zips of lossless photographs and of masks, white on black. Grain is
a Gaussian field, blurred by σ pixels, with a correlation of 0.56 between channels; its deviation is
the strength times a function of the tone, as in AV1's film grain synthesis. One unranked candidate
fills each hole. For each strength and method it prints

    smooth     fine detail of a spot / that around it, in RMS: the median over spots in smooth parts
    within     the share of these spots between 0.8 and 1.25
    channels   mean correlation of their channels
    structure  RMSE of the blurred hole (σ 2), in levels
    PSNR       of the hole, in dB
    LPIPS      of the crop (CAFLOW_LPIPS_WEIGHTS)

and in how many crops grain was found. `--sheet` writes spots at 200 %, a row each, with the truth
and the methods in random order; the order of each row goes into a text file beside it.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from scipy import ndimage

import caflow_cli as caflow
from caflow_cli.data.examples import decode, open_files
from caflow_cli.evaluation.metrics.pairs import LpipsDistance
from caflow_cli.restoration import to_batch
from caflow_cli.restoration.grain import Grain

LUMA = np.array([0.299, 0.587, 0.114])
TONES = ([0, 64, 128, 192, 255], [0.45, 0.9, 1, 0.85, 0.45])  # share of the strength
CORRELATION = 0.56
SMOOTH = 1.5  # levels: at most so much fine detail in a spot of the clean image, and around it
TINY = 30  # pixels: smaller spots are not measured
METHODS = ("truth", "Telea", "clone", "caflow, --grain off", "caflow")


def fine(image: np.ndarray) -> np.ndarray:
    return image - ndimage.gaussian_filter(image.astype(float), (1.2, 1.2, 0), truncate=3)


def grainy(image: np.ndarray, strength: float, sigma: float, generator: object) -> np.ndarray:
    """The image with simulated grain."""
    fields = generator.standard_normal((4, *image.shape[:2]))
    fields = ndimage.gaussian_filter(fields, (0, sigma, sigma), mode="wrap")
    fields /= fields.std()
    mixed = CORRELATION**0.5 * fields[:1] + (1 - CORRELATION) ** 0.5 * fields[1:]
    tone = ndimage.gaussian_filter(image @ LUMA, 1)
    amplitude = strength * np.interp(tone, *TONES)[..., None]
    noisy = image + amplitude * mixed.transpose(1, 2, 0)
    return np.rint(noisy).clip(0, 255).astype(np.uint8)


def damage(masks: list[np.ndarray], side: int, generator: object) -> np.ndarray:
    """Parts of random masks that together cover at least 1.5 %: bool (side, side)."""
    hole = np.zeros((side, side), bool)
    while hole.mean() < 0.015:
        mask = masks[generator.integers(len(masks))]
        top, left = (generator.integers(0, length - side + 1) for length in mask.shape)
        part = mask[top : top + side, left : left + side]
        if 0.002 < part.mean() < 0.05:
            hole |= part
    return hole


def clone(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Copy to each spot the nearest known pixels of its shape."""
    result = image.copy()
    labels, _ = ndimage.label(hole, np.ones((3, 3)))
    for number, (rows, columns) in enumerate(ndimage.find_objects(labels), 1):
        spot = labels[rows, columns] == number
        height, width = spot.shape
        for distance in range(3, 120, 2):
            places = []
            for angle in np.arange(16) * np.pi / 8:
                top = rows.start + round(distance * np.sin(angle))
                left = columns.start + round(distance * np.cos(angle))
                place = (slice(top, top + height), slice(left, left + width))
                inside = min(top, left) >= 0 and hole[place].shape == spot.shape
                if inside and not (hole[place] & spot).any():
                    places.append(place)
            if places:
                result[rows, columns][spot] = image[places[0]][spot]
                break
    return result


def smooth_spots(clean: np.ndarray, hole: np.ndarray) -> list[tuple]:
    """Spots of a hole, in squares of 32 pixels, in smooth parts: their boxes, masks and rings."""
    labels, _ = ndimage.label(hole, np.ones((3, 3)))
    y, x = np.indices(hole.shape)
    pieces = np.where(hole, labels * 10_000 + y // 32 * 100 + x // 32, 0)
    _, numbers = np.unique(pieces, return_inverse=True)
    numbers = numbers.reshape(hole.shape)
    detail = (fine(clean) ** 2).mean(-1)
    found = []
    for number, box in enumerate(ndimage.find_objects(numbers), 1):
        box = tuple(slice(max(0, side.start - 12), side.stop + 12) for side in box)
        spot = numbers[box] == number
        ring = ndimage.binary_dilation(spot, iterations=10)
        ring &= ~ndimage.binary_dilation(hole[box], iterations=2)
        if spot.sum() < TINY or ring.sum() < 100:
            continue
        is_smooth = max(detail[box][spot].mean(), detail[box][ring].mean()) < SMOOTH**2
        if is_smooth and 20 < clean[box][spot].mean() < 235:
            found.append((box, spot, ring))
    return found


def measure(
    clean: np.ndarray,
    truth: np.ndarray,
    hole: np.ndarray,
    image: np.ndarray,
    distance: LpipsDistance,
) -> dict:
    ratios = []
    channels = []
    detail = fine(image)
    around = fine(truth)
    for box, spot, ring in smooth_spots(clean, hole):
        ratios.append(detail[box][spot].std() / max(around[box][ring].std(), 1e-3))
        correlation = np.corrcoef(detail[box][spot].T)
        channels.append(np.nanmean(correlation[np.triu_indices(3, 1)]))
    blurred = [ndimage.gaussian_filter(a.astype(float), (2, 2, 0)) for a in (image, truth)]
    error = (image.astype(float) - truth)[hole]
    return {
        "ratios": ratios,
        "channels": channels,
        "structure": np.sqrt(np.square(blurred[0] - blurred[1])[hole].mean()),
        "mse": max(np.square(error).mean(), 1e-9),
        "lpips": distance(to_batch([image]), to_batch([truth])).item(),
    }


def report(rows: list[dict]) -> str:
    ratios = np.concatenate([row["ratios"] for row in rows])
    channels = np.concatenate([row["channels"] for row in rows])
    mean = {name: np.mean([row[name] for row in rows]) for name in ("structure", "mse", "lpips")}
    within = ((ratios > 0.8) & (ratios < 1.25)).mean()
    return (
        f"{np.median(ratios):6.2f} {within:6.0%} {np.nanmean(channels):8.2f} "
        f"{mean['structure']:9.1f} {10 * np.log10(255**2 / mean['mse']):6.1f} {mean['lpips']:7.4f}"
        f"  ({len(ratios)} spots)"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("images")
    parser.add_argument("masks")
    parser.add_argument("--strength", type=float, nargs="+", default=[0, 4, 8, 14])
    parser.add_argument("--sigma", type=float, default=0.8)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--crops", type=int, default=30)
    parser.add_argument("--sheet", type=Path)
    asked = parser.parse_args()
    masks = [mask[..., 0] >= 128 for mask in read(asked.masks) if min(mask.shape[:2]) >= asked.side]
    model = caflow.load("photos-inpaint")
    distance = LpipsDistance(os.environ.get("CAFLOW_LPIPS_WEIGHTS"))
    pieces = []
    for strength in asked.strength:
        rows = defaultdict(list)
        found = 0
        for index, image in enumerate(read(asked.images, asked.crops)):
            generator = np.random.default_rng(index)
            top, left = (generator.integers(0, n - asked.side + 1) for n in image.shape[:2])
            clean = image[top : top + asked.side, left : left + asked.side]
            hole = damage(masks, asked.side, generator)
            truth = grainy(clean, strength, asked.sigma, generator)
            images, deviation = methods(model, truth, hole, index)
            found += deviation is not None
            for method, filled in images.items():
                rows[method].append(measure(clean, truth, hole, filled, distance))
            for box, _, _ in smooth_spots(clean, hole):
                pieces.append((strength, box, hole, images))
        print(f"strength {strength:g}, σ {asked.sigma:g}: grain found in {found} of {index + 1}")
        for method in METHODS:
            print(f"  {method:20}", report(rows[method]), flush=True)
    if asked.sheet:
        write_sheet(asked.sheet, pieces)


def methods(model: caflow.CAFlow, truth: np.ndarray, hole: np.ndarray, seed: int) -> tuple:
    """The truth and its hole filled by each method; and the deviation of the grain, if found."""
    damaged = truth.copy()
    damaged[hole] = 255
    white = np.where(hole, 255, 0).astype(np.uint8)
    drawn = caflow.restore(model, damaged, 0.5, candidates=1, seed=seed, mask=white, grain="off")
    fill = drawn.kept[0].image
    grain = Grain(damaged, hole)
    telea = cv2.inpaint(damaged, white, 3, cv2.INPAINT_TELEA)
    images = (truth, telea, clone(truth, hole), fill, grain.apply(fill, seed))
    return dict(zip(METHODS, images, strict=True)), grain.deviation


def read(data: str, most: int | None = None) -> Iterator[np.ndarray]:
    with open_files(data) as files:
        for member in sorted(files.members)[:most]:
            yield decode(files, member)


def write_sheet(path: Path, pieces: list[tuple], count: int = 40) -> None:
    """Spots at 200 %: the damaged one, then truth and methods in random order, stated beside it."""
    generator = np.random.default_rng(0)
    side = 48
    rows = []
    key = []
    chosen = sorted(generator.permutation(len(pieces))[:count].tolist())
    for index in chosen:
        strength, box, hole, images = pieces[index]
        center = [(part.start + part.stop) // 2 for part in box]
        corner = [int(np.clip(c - side // 2, 0, 256 - side)) for c in center]
        window = tuple(slice(c, c + side) for c in corner)
        damaged = np.where(hole[..., None], np.uint8(255), images["truth"])
        order = generator.permutation(METHODS).tolist()
        tiles = [damaged[window], *(images[method][window] for method in order)]
        rows.append(np.concatenate([np.pad(tile, ((2, 2), (2, 2), (0, 0))) for tile in tiles], 1))
        key.append(f"{len(rows)}\tstrength {strength:g}\t" + "\t".join(order))
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST).save(path)
    path.with_suffix(".txt").write_text("\n".join(key) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

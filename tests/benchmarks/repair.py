#!/usr/bin/env python3
"""Models of inpainting on the same damage, paired: with each other, and with their own guides.

    python tests/benchmarks/repair.py IMAGES MASKS MODEL [MODEL ...] [--images 100] [--seed 0]
        [--candidates M] [--tau TAU] [--guides] [--sheet sheet.png]

IMAGES and MASKS are folders or zips of lossless photographs and of masks of damage, white on black,
that no model was trained on. For each image a generator with seed (seed, index) chooses one to
three masks, turns and mirrors them, resizes them 0.75 to 1.5 times, and places them; together they
cover at most 6 % of the image. Each model fills the holes at its default. It prints, for each
model, PSNR in the holes and LPIPS of the image (CAFLOW_LPIPS_WEIGHTS), with standard errors, and
the mean difference to the first model with its own; the harmonic fill is the baseline. `--guides`
fills them at τ 0 and τ 1, too, and by each model's guide alone, window by window; it prints the
mean differences to that guide, the largest loss of an image and of a hole of 64 pixels or more
against it, in dB of the squared error, and how often windows were drawn again. `--sheet` writes the
twelve images with the most damage: damaged, each model, truth.
"""

from __future__ import annotations

import argparse
import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from PIL import Image

import caflow_cli as caflow
from caflow_cli.data.examples import decode, open_files
from caflow_cli.evaluation.metrics.pairs import LpipsDistance
from caflow_cli.flows.fill import harmonic_fill
from caflow_cli.restoration import Divergence, predicted, to_batch
from caflow_cli.tasks.holes import spots_in

MOST = 0.06  # share of an image that may be damaged
LEAST = 64  # pixels of a hole whose loss counts


def images_of(path: str) -> list[np.ndarray]:
    with open_files(path) as files:
        return [decode(files, member) for member in sorted(files.members)]


def damage(shape: tuple[int, int], masks: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """Holes of one to three masks, bool (H, W), never empty."""
    height, width = shape
    hole = np.zeros(shape, bool)
    for _ in range(rng.integers(1, 4)):
        for _ in range(8):
            mask = Image.fromarray(masks[rng.integers(len(masks))])
            factor = rng.uniform(0.75, 1.5)
            mask = mask.resize(
                [round(factor * side) for side in mask.size], Image.Resampling.NEAREST
            )
            turned = np.rot90(np.asarray(mask), rng.integers(4))
            if rng.random() < 0.5:
                turned = turned[:, ::-1]
            rows, columns = turned.nonzero()
            at = rng.integers(len(rows))
            top = int(rng.integers(height)) - rows[at]
            left = int(rng.integers(width)) - columns[at]
            y, x = rows + top, columns + left
            inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
            more = hole.copy()
            more[y[inside], x[inside]] = True
            if more.mean() <= MOST:
                hole = more
                break
    return hole if hole.any() else damage(shape, masks, rng)


def losses(
    image: np.ndarray, guide: np.ndarray, truth: np.ndarray, hole: np.ndarray
) -> tuple[float, float]:
    """How much larger an image's squared error is than its guide's, in dB: over all holes, and in
    the worst of `LEAST` pixels or more."""
    errors = [((x.astype(float) - truth) ** 2).mean(-1) + 1e-3 for x in (image, guide)]
    boxes = [box for box in spots_in(hole) if hole[box].sum() >= LEAST]
    ratios = [
        np.divide(*(error[box][hole[box]].mean() for error in errors))
        for box in [(slice(None), slice(None)), *boxes]
    ]
    worst = 10 * np.log10(ratios)
    return float(worst[0]), float(worst.max())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("photographs")
    parser.add_argument("masks")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--candidates", type=int)
    parser.add_argument("--tau")
    parser.add_argument("--guides", action="store_true")
    parser.add_argument("--sheet")
    args = parser.parse_args()
    photographs = images_of(args.photographs)[: args.images]
    masks = [mask[..., 0] if mask.ndim == 3 else mask for mask in images_of(args.masks)]
    masks = [(mask >= 128).astype(np.uint8) * 255 for mask in masks]
    masks = [mask for mask in masks if mask.any()]
    lpips = LpipsDistance(os.environ["CAFLOW_LPIPS_WEIGHTS"])
    models = {name: caflow.load(name) for name in args.models}
    rows = defaultdict(list)
    beside = defaultdict(list)  # of a model at a τ: the loss against its guide
    windows = defaultdict(list)  # and its windows
    cells = []
    for k, truth in enumerate(photographs):
        hole = damage(truth.shape[:2], masks, np.random.default_rng((args.seed, k)))
        damaged = np.where(hole[..., None], np.uint8(255), truth)
        found = {}
        batch = to_batch([truth]).double() + 0.5
        fill = harmonic_fill(batch, torch.from_numpy(hole)[None, None])[0]
        found["harmonic"] = fill.floor().clamp(0, 255).byte().permute(1, 2, 0).numpy()
        for name, model in models.items():
            settings = [(name, args.tau, args.candidates)]
            if args.guides:
                settings += [(f"{name}, τ 0", "0", 1), (f"{name}, τ 1", "1", args.candidates)]
            for label, tau, count in settings:
                result = caflow.restore(
                    model, damaged, tau=tau, candidates=count, mask=hole, grain="off"
                )
                found[label] = result.kept[0].image
                windows[label].append(result.divergence)
                if args.guides:
                    if label == name:
                        guide = found[f"{name}, guide"] = predicted(result.request)
                    beside[label].append(losses(found[label], guide, truth, hole))
        for name, image in found.items():
            error = (image.astype(float) - truth)[hole]
            psnr = 10 * np.log10(255**2 / max(1e-3, (error**2).mean()))
            distance = float(lpips(to_batch([image]), to_batch([truth]))[0])
            rows[name].append((psnr, distance))
        cells.append((hole.mean(), [damaged, *found.values(), truth]))
        print(
            k,
            f"{hole.mean():.3f}",
            *(f"{p:.2f} {d:.4f}" for p, d in (rows[n][-1] for n in found)),
            flush=True,
        )
    first = np.array(rows[args.models[0]])
    for name, values in rows.items():
        table = np.array(values)
        less = table - first
        error = table.std(0, ddof=1) / len(table) ** 0.5
        paired = less.std(0, ddof=1) / len(table) ** 0.5
        print(
            f"{name}: {table[:, 0].mean():.3f} ± {error[0]:.3f} dB, "
            f"LPIPS {table[:, 1].mean():.5f} ± {error[1]:.5f}; "
            f"minus the first {less[:, 0].mean():+.3f} ± {paired[0]:.3f} dB, "
            f"{less[:, 1].mean():+.5f} ± {paired[1]:.5f}"
        )
    for name, values in beside.items():
        guide = np.array(rows[f"{name.split(', τ')[0]}, guide"])
        less = np.array(rows[name]) - guide
        error = less.std(0, ddof=1) / len(less) ** 0.5
        print(
            f"{name}, minus its guide: {less[:, 0].mean():+.3f} ± {error[0]:.3f} dB, LPIPS "
            f"{100 * less[:, 1].mean() / guide[:, 1].mean():+.1f} ± "
            f"{100 * error[1] / guide[:, 1].mean():.1f} %; largest loss {max(values)[0]:.2f} dB of "
            f"an image, {max(worst for _, worst in values):.2f} dB of a hole"
        )
    for name, counts in windows.items():
        print(f"{name}: {Divergence.sum(counts).summary}")
    if args.sheet:
        worst = sorted(range(len(cells)), key=lambda k: -cells[k][0])[:12]
        sheet = [
            np.hstack([np.pad(part[:320, :480], ((0, 6), (0, 6), (0, 0))) for part in cells[k][1]])
            for k in worst
        ]
        wide = max(row.shape[1] for row in sheet)
        sheet = [np.pad(row, ((0, 0), (0, wide - row.shape[1]), (0, 0))) for row in sheet]
        Image.fromarray(np.vstack(sheet)).save(Path(args.sheet))


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Figures of the card of a model of heights: its ensembles, its guide's, and simple methods.

    python tests/benchmarks/heights.py MODEL TILE... [--json FILE]

Each TILE is a field of heights. At most 24 windows of 128×128 cells that are not flat, apart from
each other and drawn by a seed, with 24 members. All methods have the exact means. Noise is scaled
by the local relief of the coarse field and has the width and strength, of some, that are best on
that very tile: for CRPS, and again for that of slopes, by 8 members on every other window. Slopes
are in meters a cell.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from ensembles import Case, cases_of, parser_of, report, save, totals
from scipy.ndimage import uniform_filter

from caflow_cli.ensembles import crps
from caflow_cli.evaluation.metrics.fields import FieldContext, Sums, finest_octave
from caflow_cli.evaluation.peers import Draw, filtered, noise_of, of_model
from caflow_cli.fields import read_field
from caflow_cli.fields.project import means_of, repeated
from caflow_cli.hub.resolve import load
from caflow_cli.images.profile import Array
from caflow_cli.restoration import Conditions, Request

SEED, WINDOWS, MEMBERS, SIDE = 86, 24, 24, 128
ROUNDS = 10  # of back-projection
STRENGTHS = (0.04, 0.06, 0.09, 0.13, 0.19, 0.28)  # of noise, in the relief of coarse cells
WIDTHS = (0.7, 1.0, 1.4, 2.0)  # cells over which noise is filtered
GUIDE_WIDTHS = (0.5, 0.7, 0.9, 1.2, 1.6)
NEAR = 1.0  # m: of the sea


def windows(file: Path) -> list[Array]:
    """The windows of a tile: at most 24 of those that are neither flat nor have missing cells."""
    x = read_field(file, nodata=np.nan).image.values[..., 0]
    height, width = (side // SIDE for side in x.shape)
    cut = [
        x[i * SIDE : (i + 1) * SIDE, j * SIDE : (j + 1) * SIDE]
        for i, j in itertools.product(range(height), range(width))
    ]
    cut = [w for w in cut if np.ptp(w) > 0]  # NaN is not
    r = np.random.default_rng(SEED)
    chosen = r.choice(len(cut), min(WINDOWS, len(cut)), replace=False)
    return [cut[k] for k in np.sort(chosen)]


def smooth(request: Request, rounds: int) -> Array:
    """The bicubic field, whose means are brought nearer to the coarse ones in so many rounds."""
    means, factor = request.image[..., 0].astype(np.float64), request.task.factor
    aimed = means
    for last in range(rounds, -1, -1):
        small = torch.from_numpy(aimed)[None, None]
        x: Array = F.interpolate(small, scale_factor=float(factor), mode="bicubic")[0, 0].numpy()
        if last:
            aimed = aimed + means - means_of(x, factor)
    return x


def relief(request: Request) -> Array:
    """The standard deviation of 3×3 coarse cells around each cell."""
    means = request.image[..., 0].astype(np.float64)
    mean = uniform_filter(means, 3)
    deviation = np.sqrt(uniform_filter((means - mean) ** 2, 3))
    small = torch.from_numpy(deviation)[None, None]
    factor = float(request.task.factor)
    large: Array = F.interpolate(small, scale_factor=factor, mode="bilinear")[0, 0].numpy()
    return large


def exact(request: Request, x: Array) -> Array:
    """Fields with the means of the coarse one: (M, H, W)."""
    return np.stack([request.task.compose(request.image, one[..., None]) for one in x])[..., 0]


def bicubic(request: Request, conditions: Conditions, rounds: int = 0) -> Array:
    return exact(request, smooth(request, rounds)[None])


def noisy(request: Request, conditions: Conditions, strength: float, cells: float) -> Array:
    """The back-projected bicubic field with Gaussian noise, filtered over so many cells."""
    noise = noise_of(request, cells) * strength * relief(request)
    return exact(request, smooth(request, ROUNDS) + noise)


def measure(members: Array, truth: Array, what: FieldContext) -> Sums:
    """Sums over the cells of a window."""
    of_members, of_truth = slope(members), slope(truth)
    sums = {
        "crps": tally(crps(members, truth)),
        "slope_crps": tally(crps(of_members, of_truth)),
        "slope": [float(of_members.mean(0).sum()), float(of_truth.sum())],
        "octave": [float(finest_octave(members).mean()), float(finest_octave(truth))],
        "error": tally((members.mean(0, dtype=np.float64) - truth) ** 2),
    }
    m = len(members)
    if m > 1:
        sums["spread"] = tally(members.var(0, ddof=1, dtype=np.float64) * (m + 1) / m)
    at_sea = uniform_filter((what.means == 0).astype(float), 3) > 1 - 1e-6
    at_sea = repeated(at_sea, what.factor)
    if at_sea.any():
        sums["sea"] = tally(np.abs(members[:, at_sea]) <= NEAR)
    return sums


def slope(x: Array) -> Array:
    down, right = np.gradient(x.astype(np.float64), axis=(-2, -1))
    steepness: Array = np.hypot(down, right)
    return steepness


def tally(of: Array) -> list[float]:
    return [float(of.sum()), of.size]


def figures(draw: Draw, cases: Sequence[Case], m: int) -> dict[str, float]:
    """Figures of a tile."""
    found = totals(draw, cases, m, measure)
    error = found.pop("error")
    if "spread" in found:
        found["spread"] = float(np.sqrt(found["spread"] / error))
    if "sea" in found:
        found["sea"] *= 100
    return found


def best_of(draws: Sequence[Draw], cases: Sequence[Case], m: int) -> dict[str, float]:
    """Figures of the draw with the least CRPS, and the CRPS of slopes of that with the least."""
    some = [figures(draw, cases[::2], 8) for draw in draws]
    by = {key: int(np.argmin([each[key] for each in some])) for key in ("crps", "slope_crps")}
    every = {k: figures(draws[k], cases, m) for k in {*by.values()}}
    return {**every[by["crps"]], "slope_crps": every[by["slope_crps"]]["slope_crps"]}


def main() -> None:
    parser = parser_of(str(__doc__), MEMBERS)
    parser.add_argument("tiles", nargs="+", type=Path)
    parser.add_argument("--alone", action="store_true", help="only the model, to choose τ")
    options = parser.parse_args()
    model = load(options.model)
    methods: dict[str, list[Draw]] = {
        "bicubic": [bicubic],
        "back_projected": [partial(bicubic, rounds=ROUNDS)],
        "white": [partial(noisy, strength=s, cells=0) for s in STRENGTHS],
        "filtered": [
            partial(noisy, strength=s, cells=c) for s, c in itertools.product(STRENGTHS, WIDTHS)
        ],
        "guide": [partial(filtered, cells=c) for c in GUIDE_WIDTHS],
    }
    if options.alone:
        methods = {}
    every: dict[str, dict[str, dict[str, float]]] = {}
    for tile in options.tiles:
        cases = cases_of(model, windows(tile)[:: options.every], options.tau)
        for name, draws in methods.items():
            m = 1 if len(draws) == 1 else options.members
            report(every, tile.stem, name, best_of(draws, cases, m))
        report(every, tile.stem, "model", figures(of_model, cases, options.members))
    save(options.json, every)


if __name__ == "__main__":
    main()

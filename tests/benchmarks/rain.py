#!/usr/bin/env python3
"""Figures of the card of a model of rain: its ensembles, its guide's, RainFARM.

    python tests/benchmarks/rain.py MODEL DAY... [--rainfarm] [--json FILE]

Each DAY is a folder of fields in the model's unit, of 192×192 cells. As `caflow evaluate`
(docs/evaluation.md), but on 24 windows of 128×128 cells of each day, drawn by a seed, with 40
members. RainFARM is that of pysteps, projected like all others, at its
defaults, and at the best of 20 settings of the day, by the CRPS of 8 members on every other window,
which favors it. Milliseconds are processor time of a member.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import time
import warnings
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

from caflow_cli.evaluation.metrics.fields import FieldContext, measure_field
from caflow_cli.evaluation.peers import Draw, filtered, of_model, wet_probability
from caflow_cli.fields import read_field
from caflow_cli.hub.resolve import load
from caflow_cli.images.profile import Array
from caflow_cli.restoration import Conditions, Request, encode, prepare
from caflow_cli.sampling import Sampling
from caflow_cli.tasks import get_task

SEED, WINDOWS, MEMBERS, SIDE = 78, 24, 40, 128
SETTINGS = [*itertools.product((None, 1.5, 2.0, 2.5, 3.0), (None, "gaussian"), (False, True))]
NAMES = {
    "crps": "crps",
    "maxima": "rank",
    "maxima_crps": "maxima",
    "member_coverage": "coverage",
    "octave": "octave",
}


def windows(folder: Path, step: int) -> list[Array]:
    """The windows of a day, at multiples of `step`."""
    r = np.random.default_rng(SEED)
    files = sorted(folder.glob("*.tif"))
    found = []
    for k in np.sort(r.choice(len(files), WINDOWS, replace=False)):
        x = read_field(files[k]).image.values[..., 0]
        i, j = r.integers(0, (x.shape[0] - SIDE) // step + 1, 2) * step
        found.append(x[i : i + SIDE, j : j + SIDE])
    return found


def rainfarm(alpha: float | None = None, kernel: str | None = None, fusion: bool = False) -> Draw:
    with contextlib.redirect_stdout(io.StringIO()):
        from pysteps.downscaling.rainfarm import downscale

    options = {"alpha": alpha, "kernel_type": kernel, "spectral_fusion": fusion}

    def draw(request: Request, conditions: Conditions) -> Array:
        means = request.image[..., 0].astype(np.float64)
        task, sampling = request.task, request.sampling
        options["threshold"] = task.scale.known.zero
        np.random.seed(sampling.seed)  # pysteps has no other
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = [
                downscale(means, ds_factor=task.factor, **options)
                for _ in range(sampling.candidates)
            ]
        return np.stack([task.compose(request.image, np.nan_to_num(x)[..., None]) for x in drawn])[
            ..., 0
        ]

    return draw


def figures(
    draw: Draw, cases: list[tuple[Request, Conditions, Array, FieldContext]], m: int
) -> dict[str, float]:
    """Figures of a day."""
    sums = defaultdict(lambda: np.zeros(2))
    seconds = 0.0
    for number, (request, conditions, truth, what) in enumerate(cases):
        settings = replace(request.sampling, seed=1_000_003 * number, candidates=m, keep=m)
        began = time.process_time()
        members = draw(replace(request, sampling=settings), conditions)
        seconds += time.process_time() - began
        for name, pair in measure_field(members, truth, what)[0].items():
            sums[name] += pair
    found = {NAMES[name]: float(total / of) for name, (total, of) in sums.items()}
    if "coverage" in found:
        found["coverage"] *= 100
    return found | {"milliseconds": 1000 * seconds / len(cases) / m}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("days", nargs="+", type=Path)
    parser.add_argument("--tau")
    parser.add_argument("--every", type=int, default=1, help="of the windows")
    parser.add_argument("-m", "--members", type=int, default=MEMBERS)
    parser.add_argument("--rainfarm", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = load(options.model)
    task = get_task(model.config)
    sampling = Sampling(tau=options.tau)
    methods = {"model": of_model, "guide": filtered}
    every = {}
    for day in options.days:
        cases = []
        for x in windows(day, task.factor)[:: options.every]:
            truth, coarse = task.coarsened(x)
            request = prepare(model, coarse, None, sampling)
            conditions = encode([request])
            likely = wet_probability(request, conditions) >= 0.5
            what = FieldContext(task.scale, request.image[..., 0], task.factor, likely)
            cases.append((request, conditions, truth, what))
        of_day = dict(methods)
        if options.rainfarm:
            some = [figures(rainfarm(*setting), cases[::2], 8)["crps"] for setting in SETTINGS]
            of_day["rainfarm"] = rainfarm()
            of_day["rainfarm_best"] = rainfarm(*SETTINGS[int(np.argmin(some))])
        every[day.name] = {}
        for name, draw in of_day.items():
            every[day.name][name] = found = figures(draw, cases, options.members)
            print(day.name, name, *(f"{k} {v:.4g}" for k, v in found.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(every, indent=1))


if __name__ == "__main__":
    main()

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

import contextlib
import io
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ensembles import Case, cases_of, parser_of, report, save, totals

from caflow_cli.evaluation.metrics.fields import measure_field
from caflow_cli.evaluation.peers import Draw, filtered, of_model
from caflow_cli.fields import read_field
from caflow_cli.hub.resolve import load
from caflow_cli.images.profile import Array
from caflow_cli.restoration import Conditions, Request

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


def figures(draw: Draw, cases: Sequence[Case], m: int) -> dict[str, float]:
    """Figures of a day."""
    found = totals(draw, cases, m, lambda *of: measure_field(*of)[0])
    found = {NAMES.get(name, name): value for name, value in found.items()}
    if "coverage" in found:
        found["coverage"] *= 100
    return found


def main() -> None:
    parser = parser_of(str(__doc__), MEMBERS)
    parser.add_argument("days", nargs="+", type=Path)
    parser.add_argument("--rainfarm", action="store_true")
    options = parser.parse_args()
    model = load(options.model)
    methods = {"model": of_model, "guide": filtered}
    every: dict[str, dict[str, dict[str, float]]] = {}
    for day in options.days:
        found = windows(day, model.config.task.factor)[:: options.every]
        cases = cases_of(model, found, options.tau)
        of_day = dict(methods)
        if options.rainfarm:
            some = [figures(rainfarm(*setting), cases[::2], 8)["crps"] for setting in SETTINGS]
            of_day["rainfarm"] = rainfarm()
            of_day["rainfarm_best"] = rainfarm(*SETTINGS[int(np.argmin(some))])
        for name, draw in of_day.items():
            report(every, day.name, name, figures(draw, cases, options.members))
    save(options.json, every)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""Ensembles of rain, refined four times: a model, its guide alone, RainFARM, resampled residuals.

    python tests/benchmarks/rain.py MODEL RAIN... [--residuals TRAIN...] [--tau 1] [--json FILE]

MODEL is a model of fields; RAIN and TRAIN are folders of a day each, of TIFF files in mm/h with
windows of 192×192 cells. Needs pysteps. A day has 24 windows of 128×128, drawn by a seed, the same
for all; each ensemble has 40 members, projected to the means of 4×4 cells. Prints, in mm/h:

crps: the fair CRPS of all cells. rank: the mean share of members below the true maximum of areas of
16×16 cells whose coarse maximum exceeds 0.7 mm/h, ties at random; with the shares of ranks in the
outer twentieths. maxima: the fair CRPS of these maxima. coverage: the share of true values from the
2nd to the 39th member, on cells that the guide holds for wet with a probability of 0.5 or more;
37/41 is right. octave: power between 1/4 and 1/2 cycles a cell over the truth's (Hann window; the
geometric mean of windows), of mm/h and of dB above 0.1 mm/h. ms: a member, with its projection.

guide: the marginals of the model's guide, with normal noise blurred by σ 0.9 cells. rainfarm:
pysteps at its defaults; and at the best of 20 settings by the CRPS of 8 members on every other
window, which favors it. residuals: those of 4×4 cells of TRAIN, as differences of dB to the bicubic
field.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import json
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter

from caflow_cli import restore
from caflow_cli.fields import Field, read_field
from caflow_cli.fields.project import means_of, project, repeated
from caflow_cli.hub.resolve import load
from caflow_cli.restoration.fields import Coarse

SEED, WINDOWS, MEMBERS, SIDE, FACTOR = 78, 24, 40, 128, 4
ZERO, EDGE, HEAVY, BLUR = 0.1, -5.0, 0.7, 0.9
SETTINGS = [*itertools.product((None, 1.5, 2.0, 2.5, 3.0), (None, "gaussian"), (False, True))]

Array = np.ndarray
Sampler = Callable[[Array, int, np.random.Generator], Array]  # coarse field, members, noise


def windows(folder: Path) -> Array:
    r = np.random.default_rng(SEED)
    files = sorted(folder.glob("*.tif"))
    found = []
    for k in np.sort(r.choice(len(files), WINDOWS, replace=False)):
        x = read_field(files[k]).values
        i, j = r.integers(0, (x.shape[0] - SIDE) // FACTOR + 1, 2) * FACTOR
        found.append(np.where(x >= np.float32(ZERO), x, 0)[i : i + SIDE, j : j + SIDE])
    return np.stack(found)


def db(x: Array) -> Array:
    return np.where(x >= ZERO, 10 * np.log10(np.maximum(x, 1e-9) / ZERO), EDGE)


def fair_crps(x: Array, y: Array) -> Array:
    count = len(x)
    s = np.sort(x.astype(np.float64), 0)
    weights = (2 * np.arange(1, count + 1) - count - 1).reshape(-1, *[1] * (x.ndim - 1))
    return np.abs(s - y).mean(0) - (weights * s).sum(0) / (count * (count - 1))


def octave(x: Array) -> Array:
    window = np.hanning(x.shape[-1])
    centered = (x - x.mean((-2, -1), keepdims=True)) * window[:, None] * window
    power = np.abs(np.fft.fft2(centered)) ** 2
    f = np.fft.fftfreq(x.shape[-1])
    k = np.hypot(f[:, None], f)
    return power[..., (k >= 0.25) & (k < 0.5)].sum(-1)


def maxima(x: Array) -> Array:
    return x.reshape(*x.shape[:-2], SIDE // 16, 16, SIDE // 16, 16).max((-3, -1))


def figures(draw: Sampler, fields: Array, probable: list[Array], members: int = MEMBERS) -> dict:
    rng, tie = np.random.default_rng(0), np.random.default_rng(1)
    parts: dict[str, list] = {name: [] for name in ("crps", "rank", "maxima", "coverage")}
    octaves: list[tuple[float, float]] = []
    seconds = 0.0
    for x, wet in zip(fields, probable, strict=True):
        c = means_of(x, FACTOR).astype(np.float32)
        began = time.perf_counter()
        e = draw(c, members, rng)
        seconds += time.perf_counter() - began
        parts["crps"].append(fair_crps(e, x).mean())
        heavy = maxima(repeated(c, FACTOR)) > HEAVY
        most, true = maxima(e)[:, heavy], maxima(x)[heavy]
        ties = np.floor(tie.random(true.shape) * ((most == true).sum(0) + 1))
        parts["rank"].append(((most < true).sum(0) + ties) / members)
        parts["maxima"].append(fair_crps(most, true))
        s = np.sort(e, 0)
        parts["coverage"].append(((x >= s[1] - 1e-6) & (x <= s[-2] + 1e-6))[wet])
        octaves.append(tuple(octave(f(e)).mean() / octave(f(x)) for f in (np.asarray, db)))
    ranks = np.concatenate(parts["rank"])
    of_unit, of_db = np.exp(np.log(octaves).mean(0))
    return {
        "crps": np.mean(parts["crps"]),
        "rank": ranks.mean(),
        "rank_low": (ranks < 0.05).mean(),
        "rank_high": (ranks > 0.95).mean(),
        "maxima": np.concatenate(parts["maxima"]).mean(),
        "coverage": 100 * np.concatenate(parts["coverage"]).mean(),
        "octave": of_db,
        "octave_unit": of_unit,
        "milliseconds": 1000 * seconds / len(fields) / members,
    }


def projected(g: Array, c: Array) -> Array:
    """Fields in mm/h of fields in dB; cells of a dry mean are dry."""
    return project(np.where(repeated(c, FACTOR) > 0, ZERO * 10 ** (g / 10), 0), c, np.float32(ZERO))


def bicubic(c: Array) -> Array:
    g = torch.from_numpy(db(c)).clamp_min(EDGE)[None, None]
    return torch.nn.functional.interpolate(g, scale_factor=FACTOR, mode="bicubic")[0, 0].numpy()


def model_sampler(model, tau) -> Sampler:
    def draw(c, members, rng):
        field, seed = Field(c, "mm/h"), int(rng.integers(2**31))
        return restore(model, field, tau=tau, candidates=members, seed=seed).values

    return draw


def guide_sampler(model) -> Sampler:
    impulse = np.zeros((1, 64, 64))
    impulse[0, 32, 32] = 1
    scale = np.sqrt((gaussian_filter(impulse, (0, BLUR, BLUR), mode="wrap") ** 2).sum())

    def draw(c, members, rng):
        white = rng.standard_normal((members, SIDE, SIDE))
        h = gaussian_filter(white, (0, BLUR, BLUR), mode="wrap") / scale
        marginals = Coarse(model, Field(c, "mm/h")).whole.encoded.anchor.marginals
        g = marginals.back(torch.from_numpy(h)[:, None].float())
        return projected(g[:, 0].double().numpy(), c)

    return draw


def rainfarm_sampler(alpha=None, kernel=None, fusion=False) -> Sampler:
    with contextlib.redirect_stdout(io.StringIO()):
        from pysteps.downscaling.rainfarm import downscale

    options = {"alpha": alpha, "kernel_type": kernel, "spectral_fusion": fusion}

    def draw(c, members, rng):
        np.random.seed(int(rng.integers(2**31)))  # pysteps has no other
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            drawn = [
                downscale(c.astype(np.float64), ds_factor=FACTOR, threshold=ZERO, **options)
                for _ in range(members)
            ]
        return projected(db(np.nan_to_num(np.stack(drawn))), c)

    return draw


def residual_sampler(folders: list[Path]) -> Sampler:
    found = []
    for folder in folders:
        for path in sorted(folder.glob("*.tif"))[::2]:
            x = read_field(path).values
            x = np.where(x >= np.float32(ZERO), x, 0)
            c = means_of(x, FACTOR).astype(np.float32)
            h, w = c.shape
            blocks = (db(x) - bicubic(c)).reshape(h, FACTOR, w, FACTOR).swapaxes(1, 2)
            found.append(blocks[c > 0])
    blocks = np.concatenate(found)

    def draw(c, members, rng):
        h, w = c.shape
        taken = blocks[rng.integers(0, len(blocks), (members, h, w))]
        return projected(
            taken.swapaxes(2, 3).reshape(members, FACTOR * h, FACTOR * w) + bicubic(c), c
        )

    return draw


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model")
    parser.add_argument("rain", nargs="+", type=Path)
    parser.add_argument("--residuals", nargs="+", type=Path, default=[])
    parser.add_argument("--tau", default=None)
    parser.add_argument("--no-rainfarm", action="store_true")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    model = load(options.model)
    found = {}
    for folder in options.rain:
        fields = windows(folder)
        means = [means_of(x, FACTOR).astype(np.float32) for x in fields]
        probable = [Coarse(model, Field(c, "mm/h")).wet_probability >= 0.5 for c in means]
        samplers = {"model": model_sampler(model, options.tau), "guide": guide_sampler(model)}
        if not options.no_rainfarm:
            some = [figures(rainfarm_sampler(*s), fields[::2], probable[::2], 8) for s in SETTINGS]
            best = min(range(len(SETTINGS)), key=lambda k: some[k]["crps"])
            samplers["rainfarm"] = rainfarm_sampler()
            samplers["rainfarm best"] = rainfarm_sampler(*SETTINGS[best])
        if options.residuals:
            samplers["residuals"] = residual_sampler(options.residuals)
        found[folder.name] = {name: figures(s, fields, probable) for name, s in samplers.items()}
        for name, values in found[folder.name].items():
            print(folder.name, name, *(f"{k} {v:.4g}" for k, v in values.items()), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()

"""Measuring a model file, by the package's own functions: the records that cards are made of."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

import caflow_cli as caflow
from caflow_cli.checkpoint import read_info
from caflow_cli.data.examples import open_split
from caflow_cli.evaluation import Evaluation, Result, Weights
from caflow_cli.evaluation.examples import make_example
from caflow_cli.intervals import CalibrationImages, check_calibration
from caflow_cli.layers import to_stored
from caflow_cli.paths import sha256_of
from caflow_cli.restoration import task_of, to_batch
from caflow_cli.sampling import SEED_STEP, Sampling
from caflow_cli.tasks import Example
from caflow_cli.version import __version__

SCHEMA = 1
# What follows the name of a set, for each protocol of whole images for superres.
SUFFIXES = {"sr4": "", "sr4-web": ", web inputs", "sr-space": ", sr-space"}
TAUS = (0.0, 0.5, 0.7, 0.8, 0.9, 1.0)  # of the curve
HIGH_TAUS = (1.0, 1.2)
COUNTS = ("windows", "redraws", "predicted")  # of `Divergence`, in records of whole images
PAIRS = ("lpips", "rmse", "psnr", "ssim", "consistency")
CURVE_DRAWS = 2  # samples of each image and temperature
HIGH_DRAWS = 10  # samples of each of as many images
NOISE_SAMPLES = 8  # of bits/dim


def measure(
    model_id: str,
    path: Path,
    data: Path,
    images: int,
    taus: Sequence[float] = TAUS,
    high: int = HIGH_DRAWS,
    inputs: str = "clean",
) -> dict[str, Any]:
    """Measure a model file on the first images of `test/`; the record of it.

    Figures are `{"mean", "standard_error", "count"}` by metric. Candidate k of image r has the seed
    1,000,003 r + k. `taus` are of the curve; `high` samples of as many images are taken at high
    temperatures. `inputs` are those of `Settings`. CaflowError if the file is no
    model, or data or LPIPS's network cannot be had.
    """
    begun = time.process_time()
    info = read_info(path)
    model = caflow.load(str(path))
    defaults = Sampling().of(model.config)
    m = defaults.candidates
    tau = defaults.temperature
    assert m is not None, "`of` fills it in"

    def evaluate(what: str, metrics: tuple[str, ...], **settings: Any) -> Evaluation:
        settings["split"] = "test"
        settings["limit"] = images
        settings["inputs"] = inputs
        settings["weights"] = Weights(extractor="alexnet")
        return caflow.evaluate(model, data, metrics, progress=_progress(what), **settings)

    sets = ("kid", "coverage", "diversity", "calibration")
    metrics = (*PAIRS, *sets)
    rules = ("likelihood", "none")  # the likeliest, and the first
    main = evaluate(f"tau {tau}", metrics, tau=tau, candidates=m, keep=(1, m), rank=rules)
    for error in main.failed.values():
        raise error
    everything = _row(main, m)
    bits = evaluate("bits/dim", ("bpd",), noise_samples=NOISE_SAMPLES).results[-1]
    examples = _examples(model, data, main.images, inputs)
    baseline = task_of(model).baseline
    protocol = {
        "data": data.name,
        "split": "test",
        "images": main.images,
        "size": model.config.task.size,
        "tau": str(tau),
        "candidates": m,
        "rank": "likelihood",
        "seed": 0,
        "noise_samples": NOISE_SAMPLES,
        "curve_draws": CURVE_DRAWS,
    }
    return {
        "schema": SCHEMA,
        "id": model_id,
        "sha256": sha256_of(path),
        "bytes": path.stat().st_size,
        "version": __version__,
        "task": model.config.task.name,
        "parameters": sum(info.parameters.values()),
        "flow": info.config.to_dict()["flow"],
        "training": info.training,
        "protocol": protocol,
        "baseline": baseline,
        "baseline_values": _figures(next(r for r in main.results if r.what == baseline)),
        "likeliest": _of_images(_row(main, 1)),
        "first": _of_images(_row(main, 1, "none")),
        "all": _figures(everything),
        "central_50": everything.extra["coverage_50"],
        "bits_per_dim": bits.values["bpd"].as_json(),
        "curve": _curve(evaluate, taus, images),
        "returned": sum(_returns(model, example) for example in examples),
        "far": [_high(model, examples[:high], high, tau) for tau in HIGH_TAUS],
        "core_seconds": time.process_time() - begun,
    }


def _curve(
    evaluate: Callable[..., Evaluation], taus: Sequence[float], images: int
) -> list[dict[str, Any]]:
    """Figures of single samples at each temperature; none if samples of every image diverged."""
    curve = []
    for tau in taus:
        found = evaluate(
            f"tau {tau:g}",
            (*PAIRS, "kid", "diversity"),
            tau=tau,
            candidates=CURVE_DRAWS,
            keep=CURVE_DRAWS,
        )
        values = {}
        for row in found.results:
            if row.what == "model":
                values = _figures(row)
        measured = values["rmse"]["count"] if values else 0
        curve.append({"tau": f"{tau:g}", "values": values, "failed": images - measured})
    return curve


def measure_whole(
    path: Path,
    data: Path,
    known: Path,
    *,
    protocol: str,
    taus: Sequence[float] | None = None,
    **settings: Any,
) -> dict[str, Any]:
    """Measure a model file on a set of whole images at `taus`; default: at 0, the model's, and 1.

    Redraws and predicted windows are counted. `known` is the record of other sets, which need not
    exist; of another file or task it is dropped. Protocols of one task, such as `sr4`, `sr4-web`
    and `sr-space`, stand side by side.
    `settings` are candidates, consistent, masks and limit.
    """
    model = caflow.load(str(path))
    tried = taus or (0.0, Sampling().of(model.config).temperature, 1.0)
    found = caflow.evaluate(model, data, protocol=protocol, tau=tried, **settings)
    rows = [
        {
            "what": row.label.strip(),
            "values": _figures(row),
            **{name: row.extra[name] for name in COUNTS if name in row.extra},
        }
        for row in found.results
    ]
    failed = [f"{name}: {error.message}" for name, error in found.failed.items()]
    head = {
        "schema": SCHEMA,
        "sha256": sha256_of(path),
        "protocol": "sr4" if protocol in SUFFIXES else protocol,
    }
    name = data.stem + SUFFIXES.get(protocol, "")
    if settings.get("consistent"):
        name += ", consistent"
    measured = {
        "name": name,
        "images": found.images,
        "rows": rows,
        "failed": failed,
    }
    sets = json.loads(known.read_text("utf-8")) if known.exists() else {}
    others = sets.get("sets", []) if head.items() <= sets.items() else []
    others = [other for other in others if other["name"] != measured["name"]]
    return {**head, "sets": sorted([*others, measured], key=lambda other: other["name"])}


def measure_intervals(
    path: Path, images: CalibrationImages, truths: str, known: Path
) -> dict[str, Any]:
    """Measure a bundled model's calibrated intervals on a set, called `truths`.

    `known` is the record of other sets, which need not exist; of another calibration it is dropped.
    """
    model = caflow.load(str(path))
    coverage, failures = check_calibration(model, images)
    assert model.calibration is not None
    calibration = model.calibration.as_json()
    head = {"schema": SCHEMA, "sha256": sha256_of(path), "calibration": calibration}
    check = {"truths": truths, **asdict(coverage), "failed": sorted(failures)}
    sets = json.loads(known.read_text("utf-8")) if known.exists() else {}
    others = sets.get("checks", [])
    # Not the whole calibration: written floats are rounded.
    if sets and (sets["sha256"], sets["calibration"]["lambda"]) != (
        head["sha256"],
        calibration["lambda"],
    ):
        others = []
    others = [other for other in others if other["truths"] != truths]
    return {**head, "checks": [*others, check]}


def _row(found: Evaluation, keep: int, rank: str = "likelihood") -> Result:
    """The model's row of one setting."""
    rows = [row for row in found.results if row.what == "model"]
    return next(row for row in rows if row.cell and row.cell[2:] == (keep, rank))


def _figures(result: Result) -> dict[str, Any]:
    return {name: value.as_json() for name, value in result.values.items()}


def _of_images(result: Result) -> dict[str, Any]:
    """Figures of the kept candidates; the others are of all M, whatever is kept."""
    figures = _figures(result)
    return {n: value for n, value in figures.items() if n not in ("diversity", "calibration")}


def _examples(model: caflow.CAFlow, data: Path, count: int, inputs: str) -> list[Example]:
    task = task_of(model)
    side = None if task.native else model.config.task.size
    with open_split(data, "test", side, role=task.role) as reader:
        return [make_example(task, reader, index, inputs=inputs) for index in range(count)]


@torch.no_grad()
def _returns(model: caflow.CAFlow, example: Example) -> bool:
    """Whether a true image comes back from `encode` and `decode` as the same 8 bits."""
    part = task_of(model).parts(example.input, example.mask)[0]
    condition, truth = part.reduce(example.input, example.truth)
    cond = to_batch([condition])
    target = to_batch([truth])
    back, _ = model.decode(model.encode(target, cond)[0], cond)
    return bool((to_stored(back, 1) == target).all())


def _high(model: caflow.CAFlow, examples: list[Example], draws: int, tau: float) -> dict[str, Any]:
    """How many single samples diverge at a high temperature."""
    redrawn = 0
    lost = 0
    for index, one in enumerate(examples):
        for k in range(draws):
            seed = SEED_STEP * index + k
            found = caflow.restore(model, one.input, tau, 1, seed=seed, mask=one.mask).ranked[0]
            lost += bool(found.predicted)
            redrawn += found.redraws > 0 and not found.predicted
    counts = {"redrawn": redrawn, "lost": lost}
    return {"tau": tau, "conditions": len(examples), "draws": draws, **counts}


def _progress(name: str) -> Callable[[int, int], None]:
    def show(done: int, total: int) -> None:
        if done == total or done % max(1, total // 10) == 0:
            print(f"{name}: {done} of {total}", file=sys.stderr, flush=True)

    return show

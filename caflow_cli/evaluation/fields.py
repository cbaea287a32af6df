"""Evaluate a model of fields: ensembles of days of fields, in their unit.

draw      M members of every field's means, by the model and by each baseline
measure   sums over cells or areas, and their numbers
summarize by day: ratios of sums, with standard errors from blocks of consecutive fields
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np

from ..data.examples import Examples
from ..data.fields import open_fields
from ..errors import CaflowError, check_usage
from ..fields.scale import scale_of
from ..images.profile import Array
from ..model import CAFlow
from ..records import Table
from ..restoration import Request, encode, prepare
from ..sampling import seed_of
from .kinds import Cell, offered_metrics
from .metrics import needing
from .metrics.ensembles import unevenness
from .metrics.fields import FieldContext, Sums, measure_field
from .peers import Draw, bicubic, example, filtered, of_model, wet_probability
from .result import Estimate, Estimates, Evaluation, Failures, Result, check_measured, estimate
from .settings import Settings

_BLOCKS = 8  # of consecutive fields, in a day


Method: TypeAlias = str | Cell  # a baseline, or a setting of the model
# The measurements of a day's fields, in order, by method: sums, and the histogram of ranks.
Day: TypeAlias = dict[Method, list[tuple[Sums, Array]]]


def evaluated_fields(
    model: CAFlow, data: str | Path, run: Settings, progress: Callable[[int, int], None]
) -> Evaluation:
    """`evaluate` for a model of fields, with settings that are checked."""
    values = model.config.task.values
    assert values is not None, "a model of fields has their values"
    metrics, cells = _settings(model, run)
    methods: dict[Method, Draw] = {"bicubic": bicubic, "guide, filtered noise": filtered}
    methods |= dict.fromkeys(cells, of_model)
    split: Any = run.given["split"]
    seeds: Any = {"seed": model.split_seed, "hold_out": model.hold_out}
    with open_fields(data, split, unit=values.unit, **seeds) as fields:
        where = {"path": str(data), "split": fields.split, "split_seed": fields.seed}
        days, failed = _measured(model, fields, methods, run, cells[0].candidates, progress)
    return Evaluation(
        form="fields",
        images=_counts(days.values())["fields"],
        metrics=metrics,
        results=_results(days, metrics),
        settings={
            "task": model.config.task.name,
            "data": where,
            "params": _params(run, cells, metrics),
            "unit": values.unit,
            "days": sorted(days),
        },
        failed=failed,
        notes=[
            f"days: {len(days)}; standard errors are those of blocks of consecutive fields, and "
            "say nothing of other days"
        ],
    )


def _measured(
    model: CAFlow,
    fields: Examples,
    methods: dict[Method, Draw],
    run: Settings,
    m: int,
    progress: Callable[[int, int], None],
) -> tuple[dict[str, Day], Failures]:
    """Measure fields, spread evenly over the set; by day, and the errors of others by name."""
    days: dict[str, Day] = defaultdict(partial(defaultdict, list))
    failed: Failures = {}
    factor = model.config.task.factor
    assert model.config.task.values is not None
    scale = scale_of(model.config.task.values)
    count = min(len(fields), run.limit or len(fields))
    progress(0, count)
    for done, index in enumerate(np.linspace(0, len(fields) - 1, count).round(), 1):
        row = int(index)
        name = fields.names[row]
        seed = seed_of(row, run.given["seed"])
        try:
            truth, coarse = example(scale, factor, fields.read(row)[0])
            request = prepare(model, coarse, None, run.sampling)
            conditions = encode([request])
            likely = wet_probability(request, conditions) >= 0.5
            what = FieldContext(scale, request.image[..., 0], factor, likely)
            found = {
                method: measure_field(draw(_of(request, method, m, seed), conditions), truth, what)
                for method, draw in methods.items()
            }
        except CaflowError as error:
            failed[name] = error
        else:
            for method, measured in found.items():
                days[str(PurePosixPath(name).parent)][method].append(measured)
        progress(done, count)
    check_measured(days, failed)
    return days, failed


def _of(request: Request, method: Method, m: int, seed: int) -> Request:
    """The request at the temperature of a method, with M candidates and a seed."""
    tau = method.tau if isinstance(method, Cell) else request.sampling.tau
    sampling = replace(request.sampling, tau=tau, candidates=m, keep=m, seed=seed)
    return replace(request, sampling=sampling)


def _settings(model: CAFlow, run: Settings) -> tuple[list[str], list[Cell]]:
    """The metrics, and the settings of a sweep; CaflowError for what fields do not have."""
    offered = ["crps", "rank", *needing("fields")]
    everything = {*offered_metrics(run.protocol)} <= {*run.metrics}  # "all" means all of images
    asked = offered if everything or not run.metrics else [*run.metrics]
    strange = [name for name in asked if name not in offered]
    check_usage(
        not strange, f"fields have no {' and no '.join(strange)}", f"--metric {','.join(offered)}"
    )
    open_ = replace(run.sampling, candidates=run.candidates)
    samplings = [replace(open_, tau=tau).of(model.config) for tau in run.tau or (None,)]
    m = samplings[0].candidates or 1
    check_usage(m >= 4, f"an ensemble of {m} has no metrics", "-m 40")
    cells = [Cell(sampling.temperature, m, m, "none") for sampling in samplings]
    return asked, cells


def _params(run: Settings, cells: Sequence[Cell], metrics: Sequence[str]) -> Table:
    return {
        "taus": [cell.tau.as_json() for cell in cells],
        "candidates": cells[0].candidates,
        "metrics": list(metrics),
        "seed": run.given["seed"],
    }


def _results(days: dict[str, Day], metrics: Sequence[str]) -> list[Result]:
    """The means over days of each method, then the figures of each day."""
    methods = list(next(iter(days.values())))
    by_day = {
        name: {method: _of_day(day, method, metrics) for method in methods}
        for name, day in sorted(days.items())
    }
    results = []
    for method in methods:
        columns = [figures[method] for figures in by_day.values()]
        shared = [name for name in metrics if all(name in column for column in columns)]
        values = {name: _mean([column[name] for column in columns]) for name in shared}
        cell = method if isinstance(method, Cell) else None
        what = "model" if isinstance(method, Cell) else method
        results.append(Result(what, values, cell, extra=_counts(days.values())))
    if len(days) > 1:
        results += [
            Result(f"{name}: {mean.label}", of_day, extra=_counts([days[name]]))
            for name, figures in by_day.items()
            for mean, of_day in zip(results, figures.values(), strict=True)
        ]
    return results


def _counts(days: Collection[Day]) -> Table:
    return {"days": len(days), "fields": sum(len(next(iter(day.values()))) for day in days)}


def _of_day(day: Day, method: Method, metrics: Sequence[str]) -> Estimates:
    """The figures of a day, whose blocks of consecutive fields count as independent."""
    fields = day[method]
    count = len(fields)
    blocks = np.array_split(np.arange(count), min(_BLOCKS, count))
    found: Estimates = {}
    for name in metrics:
        values: Any
        if name == "rank":
            ranks = np.array([np.mean([fields[i][1] for i in block], 0) for block in blocks])
            values = unevenness(ranks)[0] if ranks.shape[1] > 2 else []
        else:
            pairs = [[fields[i][0].get(name, [0.0, 0.0]) for i in block] for block in blocks]
            sums = np.array([np.sum(block, 0) for block in pairs])
            values = sums.tolist() if sums[:, 1].any() else []
        if values:
            found[name] = replace(estimate(values), count=count)
    return found


def _mean(of_days: Sequence[Estimate]) -> Estimate:
    """The mean over days, and its error if the days were all that there are."""
    mean = float(np.mean([each.mean for each in of_days]))
    errors = [each.standard_error for each in of_days if each.standard_error is not None]
    error = float(np.sqrt(np.square(errors).sum()) / len(errors)) if errors else None
    return Estimate(mean, error, sum(each.count for each in of_days))

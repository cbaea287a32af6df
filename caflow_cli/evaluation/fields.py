"""Evaluate a model of fields: ensembles of days of fields, in their unit.

draw      M members of every field's means, by the model and by each baseline
measure   sums over cells or areas, and their numbers
summarize by day: ratios of sums, with standard errors from blocks of consecutive fields
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

import numpy as np

from ..config import Temperature
from ..data.examples import Examples, open_split
from ..ensembles import unevenness
from ..errors import CaflowError, check_usage
from ..images.profile import Array
from ..model import CAFlow
from ..records import Table
from ..restoration import Chosen, Request, choose_tau, encode, prepare, summary_of
from ..sampling import seed_of
from ..tasks import Fields, get_task
from .kinds import Cell, offered_metrics
from .metrics import needing
from .metrics.fields import FieldContext, Sums, measure_field
from .peers import Draw, bicubic, filtered, of_model, wet_probability
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
    split: Any = run.given["split"]
    how: Table = {"role": "fields", "unit": values.unit, "seed": model.split_seed}
    with open_split(data, split, hold_out=model.hold_out, **how) as fields:
        where = {"path": str(data), "split": fields.split, "split_seed": fields.seed}
        days, chosen, failed = _measured(model, fields, run, cells, progress)
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
            **({"tau_chosen": chosen} if chosen else {}),
        },
        failed=failed,
        notes=[
            f"days: {len(days)}; standard errors are those of blocks of consecutive fields, and "
            "say nothing of other days",
            *(f"{day}: {summary_of(of_day)}" for day, of_day in chosen.items()),
        ],
    )


def _measured(
    model: CAFlow,
    fields: Examples,
    run: Settings,
    cells: Sequence[Cell],
    progress: Callable[[int, int], None],
) -> tuple[dict[str, Day], dict[str, Chosen], Failures]:
    """Measure fields, spread evenly over the set: by day; τ that days choose, if it is auto; and
    the errors of other fields by name."""
    methods: dict[Method, Draw] = {"bicubic": bicubic, "guide, filtered noise": filtered}
    methods |= dict.fromkeys(cells, of_model)
    count = min(len(fields), run.limit or len(fields))
    rows = [*map(int, np.linspace(0, len(fields) - 1, count).round())]
    task = _task_of(model)
    asks = any(cell.tau.is_auto for cell in cells)
    chosen = _chosen(model, fields, rows) if asks else {}
    days: dict[str, Day] = defaultdict(partial(defaultdict, list))
    failed: Failures = {}
    progress(0, count)
    for done, row in enumerate(rows, 1):
        name = fields.names[row]
        day = _day_of(name)
        seed = seed_of(row, run.given["seed"])
        try:
            truth, coarse = task.coarsened(fields.read(row)[0])
            request = prepare(model, coarse)
            conditions = encode([request])
            likely = wet_probability(request, conditions) >= 0.5
            what = FieldContext(task.scale, request.image[..., 0], task.factor, likely)
            found = {}
            for method, draw in methods.items():
                asked = _of(request, method, chosen.get(day), cells[0].candidates, seed)
                found[method] = measure_field(draw(asked, conditions), truth, what)
        except CaflowError as error:
            failed[name] = error
        else:
            for method, measured in found.items():
                days[day][method].append(measured)
        progress(done, count)
    check_measured(days, failed)
    return days, chosen, failed


def _chosen(model: CAFlow, fields: Examples, rows: Sequence[int]) -> dict[str, Chosen]:
    """What the coarse fields of each day choose as τ; those that cannot be read are left out."""
    requests: dict[str, list[Request]] = defaultdict(list)
    for row in rows:
        with suppress(CaflowError):
            _, coarse = _task_of(model).coarsened(fields.read(row)[0])
            requests[_day_of(fields.names[row])].append(prepare(model, coarse))
    return {day: choose_tau(of_day) for day, of_day in sorted(requests.items())}


def _day_of(name: str) -> str:
    return str(PurePosixPath(name).parent)


def _task_of(model: CAFlow) -> Fields:
    task = get_task(model.config)
    assert isinstance(task, Fields), "a model of fields"
    return task


def _of(request: Request, method: Method, chosen: Chosen | None, m: int, seed: int) -> Request:
    """The request at the temperature of a method, with M candidates and a seed."""
    tau = method.tau if isinstance(method, Cell) else request.sampling.temperature
    if chosen is not None and tau.is_auto:
        tau = Temperature.of(chosen["tau"])
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
        "taus": [cell.tau.as_json() or str(cell.tau) for cell in cells],
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

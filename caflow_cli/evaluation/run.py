"""Evaluate a model on a set of images: rows, results, files."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.examples import Examples, open_split
from ..data.split import Role, of_masks
from ..errors import CaflowError, check_usage, usage_error
from ..inference import estimator_of, task_of, to_batch
from ..model import CAFlow
from ..tasks import Pixels, Task
from ..version import __version__
from .examples import load_opencv, make_example
from .measure import Measured, Measurer
from .metrics import METRICS
from .metrics.features import joined, load_extractor
from .metrics.pairs import load_lpips, measurable, pair_metrics
from .metrics.sets import distances, few_images, own_coverage
from .outputs import earlier_rows, write
from .protocols import Protocol
from .report import write_report
from .result import Estimate, Evaluation, Result
from .rows import Row
from .settings import Cell, Settings
from .summary import summarize

Progress = Callable[[int, int], None]  # images done and in total; total 0: unknown


def evaluate(
    model: CAFlow,
    data: str | Path,
    metrics: str | Sequence[str] | Settings = (),
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Evaluation:
    """Sample candidates for the images of a data set and measure them against the truth.

    The N likeliest (or best by `rank`) of M candidates are measured; if N > 1, the image's value is
    their mean. They are compared with the mean of all M, and with the task's baseline, with paired
    standard errors. Several values of tau, candidates, keep or rank make a sweep. A protocol states
    settings, baselines and published figures; some protocols measure whole images, and only the
    best candidate of each.

    Args:
        model: Any model; its task derives inputs from the images of the data.
        data: Folder or zip; for paired models, with `A/` and `B/`.
        metrics: Names of `METRICS`, or "all". Default: the protocol's, else "lpips" and "rmse"; the
            former is omitted, with a note, if its network is not available. Or a `Settings` object.
        progress: Called before the first image, and after each image.
        settings: Fields of `Settings`: tau, candidates, keep, rank, seed, noise_samples,
            batch_size, split, limit, protocol, masks, inputs, weights, save_images, report,
            skip_existing. A temperature is a number, or a shape as text or `Temperature`; a
            sequence of these is a sweep. A split that the set does not have is held out by the
            seed of the model's training, so that the model has not seen it.

    Examples:
        >>> import caflow_cli as caflow
        >>> model = caflow.load("faces-superres-x4")
        >>> evaluation = caflow.evaluate(model, "faces/", ["rmse"], tau=(0, 0.8), candidates=2)
        >>> sorted({str(result.cell.tau) for result in evaluation.results if result.cell})
        ['0', '0.8']

    Raises:
        CaflowError: Arguments, data or weights cannot be used. Single images that fail are listed
            in `failed` instead.
    """
    run, notes = _settings(model, metrics, settings)
    task = task_of(model)
    whole = run.whole or model.config.task.native
    side = None if whole else model.config.task.size
    role: Role = "images" if task.derives_condition else "pairs"
    with ExitStack() as stack:
        reader = stack.enter_context(
            open_split(data, run.split, side, role=role, seed=model.split_seed)
        )
        check_usage(
            len(reader.names[: run.limit]) > 1 or not run.sets,
            "a distance between sets needs two images",
            "leave out fid, kid and coverage",
        )
        masks = None
        if run.masks is not None:
            with of_masks("--masks "):
                masks = stack.enter_context(open_split(run.masks, role="masks"))
        where = {"split": reader.split, "split_seed": reader.seed, "size": side}
        rows, failed, features = _rows(model, str(data), run, where, reader, masks, progress)
    about = {
        "task": task.name,
        "data": {"path": str(data), **where},
        "params": run.as_json(),
        "estimator": estimator_of(model, run.noise_samples),
    }
    if run.protocol is not None:
        about["protocol"] = run.protocol.as_json()
    form = "benchmark" if run.whole else "model"
    evaluation = Evaluation(form, len(rows), [], [], about, failed=failed, notes=notes)
    _add_results(evaluation, run, rows, features)
    if run.report is not None:
        write_report(Path(run.report), evaluation, run, rows, model.identity)
    return evaluation


def _settings(
    model: CAFlow, metrics: str | Sequence[str] | Settings, settings: dict[str, Any]
) -> tuple[Settings, list[str]]:
    """The settings for the model, and notes on metrics that cannot be measured."""
    if isinstance(metrics, Settings):
        given = replace(metrics, **settings)
    else:
        given = Settings(**{"metrics": metrics, **settings})
    run = given.of(model.config)
    if run.protocol is not None:
        _check_protocol(run.protocol, task_of(model))
    if given.metrics:
        return run, []
    chosen, notes = measurable(run.metrics, run.weights)
    return replace(run, metrics=chosen), notes


def _rows(
    model: CAFlow,
    data: str,
    run: Settings,
    where: dict[str, Any],
    reader: Examples,
    masks: Examples | None,
    progress: Progress | None,
) -> tuple[list[Row], dict[str, CaflowError], "_SetFeatures | None"]:
    """Measure the images that an earlier run has not measured, and write each image's files.

    Returns the rows of all measured images, the errors of the others by name, and the features if a
    metric compares sets.
    """
    task = task_of(model)
    names = reader.names[: run.limit]
    known = {"version": __version__, "data": data, "task": task.name, "model": model.identity}
    known |= where
    if run.protocol is not None:
        known["protocol"] = run.protocol.name
    origin = json.dumps(known | run.as_json(), allow_nan=False)
    rows = earlier_rows(run, origin, names)
    pairs = pair_metrics(run.metrics, run.weights, model.device)
    features = _SetFeatures(run, model.device) if run.sets else None
    example = partial(make_example, task, reader, masks=masks, seed=run.seed, inputs=run.inputs)
    lpips = None
    if any(METRICS[name].needs == "samples" for name in run.metrics):
        lpips = load_lpips(run.weights, model.device)
    measurer = Measurer(model, run, pairs, lpips, example)
    left = [index for index in range(len(names)) if index not in rows]
    failed: dict[int, CaflowError] = {}
    if progress is not None:
        progress(len(rows), len(names))
    for index, measured in measurer.measure(left, where["size"]):
        if isinstance(measured, CaflowError):
            failed[index] = measured
        else:
            write(run, origin, measured)
            if features is not None:
                features.add(measured)
            rows[index] = measured.row
        if progress is not None:
            progress(len(rows) + len(failed), len(names))
    failures = {names[index]: failed[index] for index in sorted(failed)}
    if not rows:
        error = next(iter(failures.values()), CaflowError("there is none", "--data"))
        raise CaflowError(f"no image could be measured: {error.message}", error.hint)
    return [rows[index] for index in sorted(rows)], failures, features


def _add_results(
    evaluation: Evaluation, run: Settings, rows: Sequence[Row], features: "_SetFeatures | None"
) -> None:
    """Add what follows from the rows: results, gaps, and notes. Published figures come last."""
    notes = evaluation.notes
    notes += _notes_on_draws(run, rows)
    results, evaluation.gaps = summarize(rows, run.cells, run.metrics)
    evaluation.metrics += [name for name in run.metrics if name not in run.sets]
    if features is not None:
        labels, more = features.add_distances(results)
        evaluation.metrics += labels
        notes += more
    evaluation.results += [result for result in results if result.values]
    if run.protocol is None:
        return
    published = run.protocol.published(evaluation.settings["data"]["path"])
    for method, figures in published.items():
        values = {name: Estimate(value, None, 0) for name, value in figures.items()}
        evaluation.results.append(Result(f"{method}, published", values))
    if published and run.protocol.source:
        notes.append(f"published figures: {run.protocol.source}")
    notes += run.departures(len(rows))


def _notes_on_draws(run: Settings, rows: Sequence[Row]) -> list[str]:
    """Why images have fewer candidates than M."""
    notes = []
    draws = [draws for row in rows for draws in row.draws]
    if any(len(some.candidates) + len(some.diverged) < some.most for some in draws):
        notes.append(f"at most {max(run.candidates)} candidates, as many as fit 0.75 megapixels")
    diverged = sum(len(some.diverged) for some in draws)
    if diverged:
        images = sum(any(some.diverged for some in row.draws) for row in rows)
        note = f"samples that diverged and are left out: {diverged}, of {images} images"
        skipping = [name for name in ("calibration", "likelihood") if name in run.metrics]
        if skipping:
            note += f", which {' and '.join(skipping)} skip"
        notes.append(note)
    return notes


def _check_protocol(protocol: Protocol, task: Task) -> None:
    check_usage(
        task.name == protocol.task,
        f"protocol {protocol.name} is for {protocol.task}, not {task.name}",
        f"use a --model for {protocol.task}",
    )
    if protocol.factor and task.factor != protocol.factor:
        raise usage_error(
            f"protocol {protocol.name} enlarges {protocol.factor} times, the model {task.factor}",
            "caflow models list",
        )
    if "telea" in protocol.baselines:
        load_opencv()


class _SetFeatures:
    """The features of truths, baseline images and kept candidates, by result."""

    def __init__(self, run: Settings, device: torch.device) -> None:
        self._run = run
        self._extractor = load_extractor(run.weights, device)
        self._truths: list[Tensor] = []
        # For each result and truth, the features of the images that belong to the truth.
        self._images: dict[str | Cell, list[list[Tensor]]] = {}

    def add(self, measured: Measured) -> None:
        self._truths.append(self._features(measured.example.truth))
        for cell in self._run.cells:
            features = [self._features(image) for image in measured.kept(cell)]
            self._images.setdefault(cell, []).append(features)
        for name, image in measured.baselines.items():
            if name != "mismatched target":  # it is the set of truths itself
                self._images.setdefault(name, []).append([self._features(image)])

    def _features(self, image: Pixels) -> Tensor:
        return self._extractor(to_batch([image]))  # one by one, because sizes may differ

    def add_distances(self, results: Sequence[Result]) -> tuple[list[str], list[str]]:
        """Add the distances to the results; return their labels, and notes."""
        sets = self._run.sets
        label = self._extractor.label
        truths = joined(self._truths)
        if len(truths) < 2:
            return [], [f"{', '.join(sets)} need two images or more; {len(truths)} was measured"]
        for result in results:
            what = result.cell if result.what == "model" else result.what
            by_truth = self._images.get(what or "", [])
            images = joined([features for some in by_truth for features in some])
            if len(images) < 2:
                continue
            values, extra = distances(sets, self._extractor, images, truths)
            for name, value in values.items():
                result.values[name] = Estimate(value, None, len(images))
            result.extra |= extra
            if result.cell and "coverage" in sets:
                drawn = [joined(features) for features in by_truth]
                result.extra[f"{label('coverage')}_own"] = own_coverage(drawn, truths)
        return [label(name) for name in sets], few_images(len(truths))

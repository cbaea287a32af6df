"""Evaluate a model on a set of images: rows, results, files."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from ..data.examples import open_split
from ..data.split import mask_errors
from ..errors import CaflowError, check_usage
from ..model import CAFlow
from ..records import Table, Unpack
from ..restoration import DEPTH_RULE, task_of
from ..tasks import Task
from ..version import __version__
from .examples import load_opencv
from .kinds import Cell
from .measure import Measured, Measurer
from .metrics.features import load_extractor
from .metrics.pairs import computable
from .metrics.sets import few_images
from .outputs import earlier_rows, write, write_sheet
from .protocols import Protocol
from .result import Estimate, Evaluation, Failures, Result, check_measured
from .rows import Row, divergence
from .settings import EvaluateOptions, Settings, check_of_fields
from .summary import add_distances, summarize

Progress = Callable[[int, int], None]  # images done and in total; total 0: unknown


def evaluate(
    model: CAFlow,
    data: str | Path,
    metrics: str | Sequence[str] = (),
    *,
    progress: Progress = lambda done, total: None,
    **options: Unpack[EvaluateOptions],
) -> Evaluation:
    """Sample candidates for the images of a data set and measure them against the truth.

    The N likeliest (or best by `rank`) of M candidates are measured; if N > 1, the image's value is
    their mean. They are compared with the mean of all M, and with the task's baseline, with paired
    standard errors. Several values of tau, keep or rank make a sweep. A protocol states
    settings, baselines and published figures; some protocols measure whole images, and only the
    best candidate of each.

    Args:
        model: Any model; its task derives inputs from the images of the data.
        data: Folder or zip; for paired models, with `A/` and `B/`.
        metrics: Names of `METRICS`, or "all". Default: the protocol's, else "lpips" and "rmse"; the
            former is omitted, with a note, if its network is not available.
        progress: Called before the first image, and after each image.
        options: See `EvaluateOptions`. A temperature is a number, or a shape as text or
            `Temperature`; a sequence of these is a sweep. A split that the set does not have is
            held out by the seed of the model's training, so that the model has not seen it.

    Examples:
        >>> import caflow_cli as caflow
        >>> model = caflow.load("faces-superres-x4")
        >>> evaluation = caflow.evaluate(model, "faces/", ["rmse"], tau=(0, 0.8), candidates=2)
        >>> sorted({str(result.cell.tau) for result in evaluation.results if result.cell})
        ['0', '0.8']

    Raises:
        CaflowError: Arguments, data or weights cannot be used, or a keyword is unknown. Single
            images that fail are listed in `failed` instead, and metrics without their network in
            `missing`.
    """
    run = Settings.of(metrics, options)
    if model.of_field:
        check_of_fields(options)
    return evaluated(model, data, run, progress)


def evaluated(
    model: CAFlow, data: str | Path, settings: Settings, progress: Progress
) -> Evaluation:
    """`evaluate` with settings that are checked."""
    if model.of_field:
        from .fields import evaluated_fields  # here, because images need none of it

        return evaluated_fields(model, data, settings, progress)
    run = settings.filled(model.config)
    task = task_of(model, run.sampling)
    _check_protocol(run.protocol, task)
    asked = bool(settings.metrics)
    weights = run.given["weights"]
    chosen, notes, missing = computable(run.metrics, weights, model.device, asked=asked)
    run = replace(run, metrics=chosen)
    with _opened(model, task, run, data) as measurer:
        images = measurer.images
        where = {"split": images.split, "split_seed": images.seed, "size": run.kind.side}
        rows, failed, features = _rows(measurer, str(data), where, progress)
        write_sheet(measurer, rows)
    about = {
        "task": task.name,
        "data": {"path": str(data), **where},
        "params": run.as_json(),
        "estimator": measurer.estimator,
    }
    evaluation = _summarized(run, rows, features, about)
    evaluation.failed = failed
    evaluation.missing = missing
    evaluation.notes = notes + evaluation.notes
    return evaluation


def _check_protocol(protocol: Protocol, task: Task) -> None:
    check_usage(
        protocol.task in ("", task.name),
        f"protocol {protocol.name} is for {protocol.task}, not {task.name}",
        f"use a --model for {protocol.task}",
    )
    check_usage(
        protocol.factor in (None, task.factor),
        f"protocol {protocol.name} enlarges {protocol.factor} times, the model {task.factor}",
        "caflow models list",
    )
    if "telea" in protocol.baselines:
        load_opencv()


@contextmanager
def _opened(model: CAFlow, task: Task, run: Settings, data: str | Path) -> Iterator[Measurer]:
    """Open the images, and the masks if there are any."""
    with ExitStack() as stack:
        images = stack.enter_context(
            open_split(
                data,
                run.given["split"],
                run.kind.side,
                role=task.role,
                seed=model.split_seed,
                hold_out=model.hold_out,
                least=int(task.native),  # pairs that keep their size have one
                deep=True,
            )
        )
        masks = None
        if run.given["masks"] is not None:
            with mask_errors("--masks "):
                masks = stack.enter_context(open_split(run.given["masks"], role="masks"))
        yield Measurer(model, task, run, images, masks)


def _rows(
    measurer: Measurer,
    data: str,
    where: Table,
    progress: Progress,
) -> tuple[list[Row], Failures, "_SetFeatures | None"]:
    """Measure the images that an earlier run has not measured, and write each image's files.

    Returns the rows of all measured images, the errors of the others by name, and the features if a
    metric compares sets.
    """
    run = measurer.run
    names = measurer.images.names[: run.limit]
    check_usage(
        len(names) > 1 or not run.sets,
        "a distance between sets needs two images",
        "leave out fid, kid and coverage",
    )
    origin = _origin(measurer, data, where)
    earlier = earlier_rows(run, origin, names)
    rows = {} if run.sets else earlier.copy()  # metrics of sets need every image
    features = _SetFeatures(run, measurer.model.device) if run.sets else None
    left = [index for index in range(len(names)) if index not in rows]
    failed: Failures = {}
    progress(len(rows), len(names))
    for index, measured in measurer.measure(left, where["size"]):
        if isinstance(measured, CaflowError):
            failed[names[index]] = measured
        else:
            write(run, origin, measured, has_row=index in earlier)
            if features is not None:
                features.add(measured)
            rows[index] = measured.row
        progress(len(rows) + len(failed), len(names))
    check_measured(rows, failed)
    return [rows[index] for index in sorted(rows)], failed, features


def _origin(measurer: Measurer, data: str, where: Table) -> str:
    """Everything that the rows depend on, as JSON."""
    run = measurer.run
    origin: Table = {
        "version": __version__,
        "data": data,
        "task": measurer.task.name,
        "model": measurer.model.identity,
        **where,
        **run.as_json(),
    }
    if run.given["masks"] is not None:
        origin["masks"] = str(run.given["masks"])
    if run.protocol.name:
        origin["protocol"] = run.protocol.name
    return json.dumps(origin, allow_nan=False)


def _summarized(
    run: Settings,
    rows: Sequence[Row],
    features: "_SetFeatures | None",
    about: Table,
) -> Evaluation:
    """What follows from the rows: results and notes. Published figures come last."""
    notes = _notes_on_draws(run, rows)
    deep = sum(row.depth == 16 for row in rows)
    if deep:
        notes.append(f"{deep} images have 16 bits per channel: {DEPTH_RULE}")
    results = summarize(rows, run.cells, run.metrics)
    labels = [name for name in run.metrics if name not in run.sets]
    if features is not None:
        of_sets, few = features.add_distances(results)
        labels += of_sets
        notes += few
    results = [result for result in results if result.values]
    protocol = run.protocol
    published = protocol.published(about["data"]["path"])
    for method, figures in published.items():
        result = Result(f"{method}, published", {})
        for name, value in figures.items():
            result.values[name] = Estimate(value, None, 0)
        results.append(result)
    if published and protocol.source:
        notes.append(f"published figures: {protocol.source}")
    notes += run.departures(len(rows))
    if protocol.name:
        about["protocol"] = protocol.as_json()
    return Evaluation(
        form=run.kind.form,
        images=len(rows),
        metrics=labels,
        results=results,
        settings=about,
        notes=notes,
    )


def _notes_on_draws(run: Settings, rows: Sequence[Row]) -> list[str]:
    """Why images have fewer candidates than M, and how often these diverged."""
    notes = []
    fewer = False
    for row in rows:
        for draws in row.draws:
            fewer |= 0 < len(draws.candidates) < draws.most
    if fewer:
        notes.append(f"at most {run.m} candidates, as many as fit 0.75 megapixels")
    for tau in run.draws:
        at = [row.at(tau) for row in rows]
        total = divergence(at)
        text = f"at tau {tau}: {total.summary}"
        if total.predicted:
            text += "; calibration, rank and likelihood skip images with these"
        if total.redraws or total.predicted:
            notes.append(text)
        if count := sum(not one.candidates for one in at):
            notes.append(f"at tau {tau}: {count} images diverged, and no guide predicts them")
    return notes


class _SetFeatures:
    """The features of truths, baseline images and kept candidates, for distances between sets."""

    def __init__(self, run: Settings, device: torch.device) -> None:
        self._run = run
        self._extractor = load_extractor(run.given["weights"], device)
        self._truths: list[Tensor] = []  # (1, d) of each image
        self._images: dict[str | Cell, list[Tensor]] = defaultdict(list)  # by result

    def add(self, measured: Measured) -> None:
        self._truths.append(self._extractor.of(measured.example.truth))
        for cell in self._run.cells:
            self._images[cell] += map(self._extractor.of, measured.kept(cell))
        for name, image in measured.baselines.items():
            if name != "mismatched target":  # it is the set of truths itself
                self._images[name].append(self._extractor.of(image))

    def add_distances(self, results: Sequence[Result]) -> tuple[list[str], list[str]]:
        """Add the distances to the results; return their labels, and notes."""
        sets = self._run.sets
        count = len(self._truths)
        for result in results:
            key = result.cell if result.what == "model" else result.what
            images = self._images.get(key or "", [])
            if min(len(images), count) < 2:
                continue
            add_distances(result, sets, self._extractor, images, self._truths)
        return [self._extractor.label(name) for name in sets], few_images(count)

"""A model on a set of images: sample, measure, summarise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..data.examples import Examples, open_split
from ..data.split import of_masks
from ..errors import CaflowError, usage_error
from ..inference import estimator_of, task_of, to_batch
from ..inference.sample import requests_at_a_time
from ..model import CAFlow
from ..tasks import Pixels, SuperRes, Task
from .examples import (
    Example,
    check_baselines,
    damage,
    make_example,
    mask_index,
    side_of,
)
from .measure import Measurer
from .metrics.features import Extractor, load_networks
from .metrics.pairs import measurable
from .metrics.sets import SetFeatures, cautions, distances, own_coverage
from .outputs import Measured, Outputs
from .protocols import BASELINES, Protocol
from .report import write_report
from .result import Estimate, Evaluation, Failure, Result, Row, summarise
from .settings import Cell, Settings

__all__ = ["Progress", "evaluate"]

Progress = Callable[[int, int], None]  # images done, and in all; 0 in all: nobody knows


def evaluate(
    model: CAFlow,
    data: str | Path,
    metrics: str | Sequence[str] | Settings = (),
    *,
    progress: Progress | None = None,
    **settings: Any,
) -> Evaluation:
    """Sample candidates for the images of a data set and measure them against the truth.

    The N likeliest (or best by `rank`) of M candidates are measured; their mean, where N > 1, is
    the image's value. Beside them: the mean of all M, and the task's baseline, with paired
    standard errors. Several values of tau, candidates, keep or rank are a sweep. A protocol states
    settings, baselines and published figures; some measure whole images, of which the best
    candidate alone is measured.

    Args:
        model: Any model; its task derives inputs from the data's images.
        data: Folder or zip; for paired models with `A/` and `B/`.
        metrics: Names of `METRICS`, or "all". Default: the protocol's, else "lpips" and "rmse", the
            first of which is left out, with a note, if its network cannot be had. Or all settings.
        progress: Called after each image.
        settings: Fields of `Settings`: tau, candidates, keep, rank, seed, noise_samples,
            batch_size, split, limit, protocol, masks, weights, save_images, report, skip_existing,
            save_stats. A temperature is a number, or a shape as text or `Temperature`; a sequence
            of them is a sweep. What the set does not say is held out by the seed of the model's
            training, so that its training saw none of it.

    Examples:
        >>> import caflow_cli as caflow
        >>> model = caflow.load("faces-superres-x4")
        >>> found = caflow.evaluate(model, "faces/", ["rmse"], tau=(0, 0.8), candidates=2)
        >>> sorted({str(result.cell.tau) for result in found.results if result.cell})
        ['0', '0.8']

    Raises:
        CaflowError: Arguments, data or weights cannot be used. Single images that fail are in
            `failed`.
    """
    if isinstance(metrics, Settings):
        run = replace(metrics, **settings).of(model.config)
    else:
        run = Settings(**{"metrics": metrics, **settings}).of(model.config)
    task, protocol = task_of(model), run.protocol
    notes: list[str] = []
    if protocol is not None:
        _check_protocol(protocol, task)
    if run.lpips_is_optional:
        run = replace(run, metrics=tuple(measurable(run.metrics, run.weights, notes)))
    side = None if run.whole else side_of(model.config.task)
    paired, seed = not task.derives_condition, model.split_seed
    with ExitStack() as stack:
        reader = stack.enter_context(
            open_split(data, run.split, side, role="pairs" if paired else "images", seed=seed)
        )
        names = reader.names[: run.limit]
        if len(names) < 2 and run.sets:
            raise usage_error(
                "a distance of sets needs two images", "leave out fid, kid and coverage"
            )
        masks = None if run.masks is None else _open_masks(stack, run.masks)
        about = _about(model, str(data), run, reader, side)
        outputs = Outputs(run, _origin(about, model), names)
        needs_features = bool(run.sets) or run.save_stats is not None
        pairs, extractor = load_networks(run.metrics, run.weights, model.device, needs_features)
        features = None if extractor is None else _Features(extractor, run)
        measurer = Measurer(model, run, pairs, partial(_example, task, reader, masks, run.seed))
        rows: dict[int, Row] = dict(outputs.rows)
        failed: dict[int, Failure] = {}
        left = [index for index in range(len(names)) if index not in rows]
        step = (
            1
            if side is None
            else requests_at_a_time((side, side), max(run.candidates), run.batch_size)
        )
        for first in range(0, len(left), step):
            for index, one in measurer.attempt(left[first : first + step]):
                if isinstance(one, Measured):
                    outputs.add(one)
                    if features is not None:
                        features.add(one)
                    rows[index] = one.row
                else:
                    failed[index] = Failure(names[index], one)
                if progress is not None:
                    progress(len(rows) + len(failed), len(names))
    failures = [failed[index] for index in sorted(failed)]
    if not rows:
        error = failures[0].error if failures else CaflowError("there is none", "--data")
        raise CaflowError(f"no image could be measured: {error.message}", error.hint)
    ordered = [rows[index] for index in sorted(rows)]
    results, gaps = summarise(ordered, run.cells, run.metrics)
    labels = [name for name in run.metrics if name not in run.sets]
    if features is not None:
        labels += features.finish(results, run.baselines(task.name)[0], notes)
    if protocol is not None:
        published = protocol.published(str(data))
        results += [
            Result(f"{what}, published", {n: Estimate(value, None, 0) for n, value in own.items()})
            for what, own in published.items()
        ]
        if published and protocol.source:
            notes.append(f"published figures by the name of the set: {protocol.source}")
        notes += protocol.departures(run.tau, about["params"], len(rows), labels)
    form = "benchmark" if run.whole else "model"
    found = Evaluation(form, len(rows), labels, results, about, gaps, failures, notes)
    if run.report is not None:
        write_report(Path(run.report), found, run, ordered, model.identity)
    return found


def _about(
    model: CAFlow, data: str, run: Settings, reader: Examples, side: int | None
) -> dict[str, Any]:
    """The measurements, as JSON."""
    about: dict[str, Any] = {
        "task": task_of(model).name,
        "data": {"path": data, "split": reader.split, "split_seed": reader.seed, "size": side},
        "params": run.as_json(),
        "estimator": estimator_of(model, run.noise_samples),
    }
    if run.protocol is not None:
        about["protocol"] = run.protocol.as_json()
    return about


def _origin(about: dict[str, Any], model: CAFlow) -> dict[str, Any]:
    """All that rows depend on."""
    data = dict(about["data"])
    origin = {"data": data.pop("path"), "task": about["task"], "model": model.identity, **data}
    if "protocol" in about:
        origin["protocol"] = about["protocol"]["name"]
    return {**origin, **about["params"]}


def _check_protocol(protocol: Protocol, task: Task) -> None:
    if task.name != protocol.task:
        raise usage_error(
            f"protocol {protocol.name} is for {protocol.task}, not {task.name}",
            f"use a --model for {protocol.task}",
        )
    if protocol.factor and isinstance(task, SuperRes) and task.factor != protocol.factor:
        raise usage_error(
            f"protocol {protocol.name} enlarges {protocol.factor} times, the model {task.factor}",
            "caflow models list",
        )
    check_baselines(protocol.baselines)


def _open_masks(stack: ExitStack, masks: str | Path) -> Examples:
    """Open the set of masks; errors say that they are of masks."""
    with of_masks("--masks "):
        return stack.enter_context(open_split(masks, role="masks"))


def _example(
    task: Task, reader: Examples, masks: Examples | None, seed: int, index: int
) -> Example:
    """The example of an image, with the damage that a mask of a set makes."""
    if masks is None:
        return make_example(task, reader, index)

    def mask_of(height: int, width: int) -> Pixels:
        place = mask_index(index, len(reader.names), len(masks.names))
        return damage(masks.read(place)[0], height, width, seed, index)

    return make_example(task, reader, index, mask_of)


class _Features:
    """The features of truths, baseline images and kept candidates, set by set."""

    def __init__(self, extractor: Extractor, run: Settings) -> None:
        self._extractor, self._run = extractor, run
        self.truths = SetFeatures(extractor.name, run.metrics)
        self._baseline = SetFeatures(extractor.name, run.metrics)
        self._kept = {cell: SetFeatures(extractor.name, run.metrics) for cell in run.cells}
        # Of each truth to the nearest of its own kept candidates.
        self._nearest: dict[Cell, list[float]] = {cell: [] for cell in run.cells}

    def add(self, measured: Measured) -> None:
        """Add an image's truth and, if a metric compares sets, its baseline and candidates."""
        truth = self._extractor(to_batch([measured.example.truth]))
        self.truths.add(truth)
        if not self._run.sets:
            return
        for image in measured.baselines.values():
            self._baseline.add(self._extractor(to_batch([image])))
        for cell, features in self._kept.items():
            images = measured.kept(cell)
            own = torch.cat([self._extractor(to_batch([image])) for image in images])
            features.add(own)
            if self.truths.keeps_all:
                self._nearest[cell].append(float((own - truth).norm(dim=1).min()))

    def finish(self, results: list[Result], baseline: str, notes: list[str]) -> list[str]:
        """Add the distances to the results, and save the truths' statistics; return the labels."""
        sets, label = self._run.sets, self._extractor.label
        if self._run.save_stats is not None:
            self.truths.save(Path(self._run.save_stats))
        if not sets:
            return []
        notes += cautions([self.truths])
        if self._baseline.count and all(row.what != baseline for row in results):
            results.insert(0, Result(baseline, {}))
        for row in results:
            made = self._kept.get(row.cell) if row.what == "model" and row.cell else None
            if row.what == baseline and baseline != BASELINES["paired"]:  # the truths' own set
                made = self._baseline
            if made is None or not made.count:
                continue
            values, extra = distances(sets, self._extractor, made, self.truths)
            row.values |= values
            row.extra |= extra
            if row.cell and "coverage" in sets and self.truths.keeps_all:
                share = own_coverage(self._nearest[row.cell], self.truths)
                row.extra[f"{label('coverage')}_own"] = share
        return [label(name) for name in sets]

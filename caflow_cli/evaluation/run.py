"""Evaluate a model on a set of images: protocol, examples, candidates, rows, means, report."""

import json
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..data.examples import open_split
from ..data.split import Role, of_masks
from ..errors import CaflowError, check_usage, usage_error
from ..inference import estimator_of, requests_at_a_time, task_of, to_batch
from ..model import CAFlow
from ..tasks import Pixels, Task
from ..version import __version__
from .examples import load_opencv, make_example
from .measure import Measured, Measurer
from .metrics.features import joined, load_extractor
from .metrics.pairs import measurable, pair_metrics
from .metrics.sets import caution, distances, own_coverage
from .outputs import earlier_rows, write
from .protocols import Protocol
from .report import write_report
from .result import Estimate, Evaluation, Result, summarise
from .settings import Cell, Settings

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
        >>> found = caflow.evaluate(model, "faces/", ["rmse"], tau=(0, 0.8), candidates=2)
        >>> sorted({str(result.cell.tau) for result in found.results if result.cell})
        ['0', '0.8']

    Raises:
        CaflowError: Arguments, data or weights cannot be used. Single images that fail are listed
            in `failed` instead.
    """
    if isinstance(metrics, Settings):
        given = replace(metrics, **settings)
    else:
        given = Settings(**{"metrics": metrics, **settings})
    run, task, notes = given.of(model.config), task_of(model), list[str]()
    if run.protocol is not None:
        _check_protocol(run.protocol, task)
    if not given.metrics:
        chosen, notes = measurable(run.metrics, run.weights)
        run = replace(run, metrics=chosen)
    side = None if run.whole or model.config.task.native else model.config.task.size
    with ExitStack() as stack:
        role: Role = "images" if task.derives_condition else "pairs"
        reader = stack.enter_context(
            open_split(data, run.split, side, role=role, seed=model.split_seed)
        )
        names = reader.names[: run.limit]
        check_usage(
            len(names) > 1 or not run.sets,
            "a distance between sets needs two images",
            "leave out fid, kid and coverage",
        )
        masks = None
        if run.masks is not None:
            with of_masks("--masks "):
                masks = stack.enter_context(open_split(run.masks, role="masks"))
        where = {"split": reader.split, "split_seed": reader.seed, "size": side}
        about = {
            "task": task.name,
            "data": {"path": str(data), **where},
            "params": run.as_json(),
            "estimator": estimator_of(model, run.noise_samples),
        }
        known = {"data": str(data), "task": task.name, "model": model.identity, **where}
        if run.protocol is not None:
            about["protocol"] = run.protocol.as_json()
            known["protocol"] = run.protocol.name
        origin = json.dumps({"version": __version__, **known, **run.as_json()}, allow_nan=False)
        rows = earlier_rows(run, origin, names)
        pairs = pair_metrics(run.metrics, run.weights, model.device)
        features = _Features(run, model.device) if run.sets else None
        example = partial(make_example, task, reader, masks=masks, seed=run.seed, inputs=run.inputs)
        measurer = Measurer(model, run, pairs, example)
        failed: dict[int, CaflowError] = {}
        left = [index for index in range(len(names)) if index not in rows]
        if progress is not None:
            progress(len(rows), len(names))
        step = requests_at_a_time((side, side), max(run.candidates), run.batch_size) if side else 1
        for first in range(0, len(left), step):
            for index, one in measurer.attempt(left[first : first + step]):
                if isinstance(one, CaflowError):
                    failed[index] = one
                else:
                    write(run, origin, one)
                    if features is not None:
                        features.add(one)
                    rows[index] = one.row
                if progress is not None:
                    progress(len(rows) + len(failed), len(names))
    failures = {names[index]: error for index, error in sorted(failed.items())}
    if not rows:
        error = next(iter(failures.values()), CaflowError("there is none", "--data"))
        raise CaflowError(f"no image could be measured: {error.message}", error.hint)
    ordered = [rows[index] for index in sorted(rows)]
    if any("most" in draws for row in ordered for draws in row["draws"]):
        notes.append(f"at most {max(run.candidates)} candidates, as many as fit 0.75 megapixels")
    results, gaps = summarise(ordered, run.cells, run.metrics)
    labels = [name for name in run.metrics if name not in run.sets]
    if features is not None:
        set_labels, more = features.finish(results)
        labels, notes = labels + set_labels, notes + more
    results = [result for result in results if result.values]
    if run.protocol is not None:
        published = run.protocol.published(str(data))
        for what, figures in published.items():
            values = {name: Estimate(value, None, 0) for name, value in figures.items()}
            results.append(Result(f"{what}, published", values))
        if published and run.protocol.source:
            notes.append(f"published figures, selected by the data's name: {run.protocol.source}")
        notes += run.departures(len(rows))
    found = Evaluation(
        "benchmark" if run.whole else "model",
        len(rows),
        labels,
        results,
        about,
        gaps,
        failures,
        notes,
    )
    if run.report is not None:
        write_report(Path(run.report), found, run, ordered, model.identity)
    return found


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


class _Features:
    """Collects the features of truths, baseline images and kept candidates, set by set."""

    def __init__(self, run: Settings, device: torch.device) -> None:
        self._run, self._extractor = run, load_extractor(run.weights, device)
        self._truths: list[Tensor] = []
        self._made: dict[str | Cell, list[Tensor]] = {}

    def add(self, measured: Measured) -> None:
        made: dict[str | Cell, list[Pixels]] = {c: measured.kept(c) for c in self._run.cells}
        made |= {name: [image] for name, image in measured.baselines.items()}
        made.pop("mismatched target", None)  # it is the set of truths itself
        self._truths.append(self._extractor(to_batch([measured.example.truth])))
        for what, images in made.items():  # one by one, because sizes may differ
            self._made.setdefault(what, []).extend(
                self._extractor(to_batch([image])) for image in images
            )

    def finish(self, results: list[Result]) -> tuple[list[str], list[str]]:
        """Add the distances to the results; return their labels, and notes."""
        sets, label, truths = self._run.sets, self._extractor.label, joined(self._truths)
        if len(truths) < 2:
            return [], [f"{', '.join(sets)} need two images or more; {len(truths)} was measured"]
        for result in results:
            what = result.cell if result.what == "model" else result.what
            if what in self._made:
                made = joined(self._made[what])
                values, extra = distances(sets, self._extractor, made, truths)
                result.values |= values
                result.extra |= extra
                if result.cell and "coverage" in sets:
                    result.extra[f"{label('coverage')}_own"] = own_coverage(made, truths)
        return [label(name) for name in sets], caution(len(truths))

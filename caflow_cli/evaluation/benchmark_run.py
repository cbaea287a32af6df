"""The run of a benchmark: every picture is restored by a model and by its baselines, and measured.

Pictures stay as large as they are. Each is restored by `restore`, as a user would.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from ..config import FILLS
from ..data import Reader, Split, open_split
from ..data.missing import of_masks
from ..errors import EXIT_FAILED, EXIT_USAGE, CaflowError
from ..images import make_folder, write_png
from ..inference.restore import restore
from ..inference.score import estimator_of, task_of, to_batch
from ..model import CAFlow
from ..paths import exists
from ..sampling import SEEDS
from ..tasks import Picture, SuperRes
from ..tasks.classical import RADIUS, has_opencv, opencv_version
from ..temperature import Tau
from .benchmark_tally import Contestant, Found, Tally
from .benchmarks import FACTOR, Benchmark
from .damage import damage, mask_of
from .metrics import METRICS
from .metrics.formulas import colourfulness, psnr_hole
from .metrics.lpips import measurable
from .metrics.pairs import PairMetrics
from .metrics.weights import Weights
from .problems import Problem
from .progress import Progress, ProgressCount
from .result import Evaluation, Failure
from .settings import Cell, EvaluationSettings
from .whole_pictures import baseline, pose_whole

__all__ = ["run_benchmark"]

_APART = 1_000_003  # seeds of neighbouring pictures


def run_benchmark(
    benchmark: Benchmark,
    model: CAFlow | str,
    data: str | Path,
    metrics: Sequence[str] | None = None,
    *,
    masks: str | Path | None = None,
    split: Split | None = None,
    limit: int | None = None,
    tau: Tau | Sequence[Tau] | None = None,
    candidates: int | Sequence[int] | None = None,
    seed: int = 0,
    noise_samples: int = 1,
    rank: str | Sequence[str] = "likelihood",
    batch_size: int | None = None,
    weights: Weights | None = None,
    save_images: str | Path | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Measure a model on whole pictures, beside the baselines of the benchmark.

    The best of M candidates is measured. At temperature 0 all candidates are alike, so there is
    one. Several temperatures, M or rules are a sweep.

    Args:
        benchmark: One of `BENCHMARKS`.
        model: A model of the benchmark's task, or the name of a classical fill.
        data: Folder or zip of pictures.
        metrics: Names in the catalogue of kind "pairs" or "benchmark". Default: the benchmark's.
        masks: For "repair": folder or zip of masks, white in the holes.
        split: As for `evaluate`.
        limit: The first so many pictures. They keep the masks and seeds that they have among all.
        tau, candidates: Default: the model's, else the task's.
        seed: Candidate k of picture r draws from seed + 1,000,003 r + k.
        noise_samples: K of all scores.
        rank: The rule that chooses the best.
        batch_size: Candidates at a time.
        weights: Of LPIPS.
        save_images: A new folder for the best candidates.
        progress: Called after each picture.

    Raises:
        CaflowError: Arguments, data or weights cannot be used. Single pictures that fail are in
            `failed`.
    """
    names = list(benchmark.metrics if metrics is None else metrics)
    notes: list[str] = []
    contestants = list(_baselines(benchmark, model, notes))
    about: dict[str, Any] = {"task": benchmark.task}
    if isinstance(model, str):
        about["params"] = {"radius": RADIUS, "opencv": opencv_version(), "metrics": names}
        contestants.append(Contestant(model, partial(baseline, model)))
    else:
        _check_model(benchmark, model)
        settings = EvaluationSettings.resolve(
            model.config,
            [name for name in names if METRICS[name].needs == "pairs"] or ["rmse"],
            tau,
            candidates,
            1,
            seed,
            noise_samples,
            rank,
        )
        about["params"] = {**settings.as_json(), "metrics": names}
        about["estimator"] = estimator_of(model, noise_samples)
        for cell in _cells(settings):
            restoring = _Restoring(model, cell, settings)
            contestants.append(Contestant("model", restoring, cell))
    saved = None if save_images is None else _Saved(Path(save_images), contestants)
    tally = Tally(contestants)
    failed: list[Failure] = []
    with ExitStack() as stack:
        held_out = 0 if isinstance(model, str) else model.split_seed
        pictures = stack.enter_context(open_split(data, split, seed=held_out, limit=limit))
        damages = None if masks is None else _open_masks(stack, masks)
        count = ProgressCount(progress, len(pictures.names[:limit]))
        device = "cpu" if isinstance(model, str) else model.device
        names = measurable(names, weights or Weights(), notes)
        about["params"]["metrics"] = names
        judge = _Judge(names, weights or Weights(), device)
        for index, name in enumerate(pictures.names[:limit]):
            try:
                problem = _pose(benchmark, pictures, damages, index, seed)
                found = [judge(problem, contestant) for contestant in contestants]
            except CaflowError as error:
                if error.exit_code != EXIT_FAILED:
                    raise
                failed.append(Failure(name, error))
            else:
                tally.add(found)
                if saved is not None:
                    saved.put(problem, found)
            count()
        about["data"] = {
            "path": str(data),
            "split": pictures.split,
            "split_seed": pictures.seed,
            "size": None,
        }
    if not tally.count:
        reason = failed[0].error
        raise CaflowError(f"no picture could be measured: {reason.message}", reason.hint)
    about["protocol"] = benchmark.as_json()
    published = benchmark.published(str(data))
    if published:
        notes.append(f"published figures by the name of the set: {benchmark.source}")
    return Evaluation(
        form="benchmark",
        images=tally.count,
        metrics=[name for name in METRICS if name in names],
        results=[*tally.results, *published],
        settings=about,
        failed=failed,
        notes=notes,
    )


@dataclass(frozen=True, eq=False)
class _Restoring:
    """The best candidate of a model."""

    model: CAFlow
    cell: Cell
    settings: EvaluationSettings

    def __call__(self, problem: Problem) -> Picture:
        seed = (self.settings.seed + _APART * problem.index) % (SEEDS - self.cell.m + 1)
        found = restore(
            self.model,
            problem.input,
            self.cell.tau,
            self.cell.m,
            seed=seed,
            mask=problem.mask,
            rank=self.cell.rank,
        )
        return found.kept[0].image


class _Judge:
    """Restores a problem by a contestant, and measures the result."""

    def __init__(self, names: Sequence[str], weights: Weights, device: torch.device | str) -> None:
        self._names = names
        self._pairs = PairMetrics(names, weights.lpips, device)

    def __call__(self, problem: Problem, contestant: Contestant) -> Found:
        start = time.perf_counter()
        image = contestant.restore(problem)
        elapsed = time.perf_counter() - start
        made, truth = to_batch([image]), to_batch([problem.truth])
        (values,) = self._pairs(made, truth)
        if "psnr_hole" in self._names:
            hole = torch.from_numpy(problem.hole)
            values["psnr_hole"] = psnr_hole(made, truth, hole).item()
        ratios = {"seconds": (elapsed, truth[0, 0].numel() / 1e6)}
        if "colourfulness" in self._names:
            ratios["colourfulness"] = (colourfulness(made).item(), colourfulness(truth).item())
        return Found(image, values, ratios)


def _baselines(benchmark: Benchmark, model: CAFlow | str, notes: list[str]) -> Iterator[Contestant]:
    """The benchmark's baselines, without the model itself, and without what is not installed."""
    left_out = []
    for name in benchmark.baselines:
        if name == model:
            continue
        if name in FILLS and not has_opencv():
            left_out.append(name)
            continue
        yield Contestant(name, partial(baseline, name), is_baseline=True)
    if left_out:
        notes.append(
            f"without {' and '.join(left_out)}, which are OpenCV's: "
            "pip install 'caflow-cli[classical]'"
        )


def _check_model(benchmark: Benchmark, model: CAFlow) -> None:
    task = task_of(model)
    if task.name != benchmark.task:
        raise CaflowError(
            f"protocol {benchmark.name} is for {benchmark.task}, not {task.name}",
            f"use a --model for {benchmark.task}",
            EXIT_USAGE,
        )
    if isinstance(task, SuperRes) and task.factor != FACTOR:
        raise CaflowError(
            f"protocol {benchmark.name} enlarges {FACTOR} times, the model {task.factor}",
            "caflow models list",
            EXIT_USAGE,
        )


def _cells(settings: EvaluationSettings) -> list[Cell]:
    """The settings to measure: at temperature 0, one candidate and no rule."""
    cells = [
        cell if any(cell.tau.as_json()) else Cell(cell.tau, 1, 1, settings.ranks[0])
        for cell in settings.cells
    ]
    return list(dict.fromkeys(cells))


def _open_masks(stack: ExitStack, masks: str | Path) -> Reader:
    """Open the set of masks; errors say that they are of masks."""
    with of_masks("--masks "):
        return stack.enter_context(open_split(masks, role="masks"))


def _pose(
    benchmark: Benchmark, pictures: Reader, masks: Reader | None, index: int, seed: int
) -> Problem:
    (truth,) = pictures.read(index)
    mask = None
    if masks is not None:
        (given,) = masks.read(mask_of(index, len(pictures.names), len(masks.names)))
        height, width = truth.shape[:2]
        mask = damage(given, height, width, seed, index)
    return pose_whole(benchmark, truth, index, pictures.names[index], mask)


class _Saved:
    """`DIR/NAME.png`, what each setting of a model, or a fill, made; in a sweep, a folder each."""

    def __init__(self, folder: Path, contestants: Sequence[Contestant]) -> None:
        if exists(folder):
            raise CaflowError(f"{str(folder)!r} exists", "--save-images NEW_FOLDER", EXIT_USAGE)
        self._folder, self._contestants = folder, contestants
        self._several = sum(not one.is_baseline for one in contestants) > 1

    def put(self, problem: Problem, found: Sequence[Found]) -> None:
        for contestant, own in zip(self._contestants, found, strict=True):
            if contestant.is_baseline:
                continue
            folder, cell = self._folder, contestant.cell
            if self._several and cell is not None:
                tau = str(cell.tau).replace("/", "-")
                folder = folder / f"tau{tau}_m{cell.m}_{cell.rank}"
            path = (folder / problem.name).with_suffix(".png")
            make_folder(path.parent)
            write_png(path, own.image)

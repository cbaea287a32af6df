"""Validation of the averaged weights on fixed images, and grids of samples."""

import math
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ..config import Tau
from ..devices import to_float64
from ..images import atomic_write, make_folder, write_png
from ..layers import WIDTHS, points_of, to_stored
from ..model import CAFlow, bits_per_dim
from ..records import Table
from ..restoration import describe_domain, order, to_batch
from ..sampling import Sampling
from ..tasks import get_task
from .log import EventLog, draw_curve, on_main_process, read_events, sum_over_processes
from .losses import predicted_image
from .phases import Phase
from .sets import Dataset

_BATCH = 50
_GRID_EVERY = 4  # validations between grids
_GRID_IMAGES = 6  # rows of a grid
_GRID_CANDIDATES = 4  # columns of a grid
_LEAST_OF_DOMAIN = 20  # images: with fewer, nearly every other image would count as far


class ValidationMetrics(NamedTuple):
    """Means over fixed images, with fixed conditions and noise, and without flips.

    The PSNR is that of the image that the guide predicts; it is measured while the guide trains
    alone, and bits/dim in the other phases.
    """

    loss: float  # lower is better: bits/dim plus the weighted loss on samples, or the PSNR negated
    train_bits_per_dim: float | None = None
    val_bits_per_dim: float | None = None
    val_image_loss: float | None = None  # on samples, if the phase has such a loss
    train_psnr: float | None = None  # dB
    val_psnr: float | None = None

    @property
    def figures(self) -> dict[str, float]:
        """For events: what was measured, but for the loss."""
        measured = {name: value for name, value in self._asdict().items() if value is not None}
        del measured["loss"]
        return measured


class Validation:
    """At most `count` validation images and equally many training images, chosen by `seed`."""

    def __init__(self, train: Dataset, val: Dataset, count: int, seed: int) -> None:
        def choose(data: Dataset, count: int) -> tuple[Tensor, Tensor]:
            order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
            return data.held_out(order[:count].sort().values)

        self.val = choose(val, count)
        self.train = choose(train, len(self.val[0]))

    @torch.no_grad()
    def measure(self, model: CAFlow, accelerator: Accelerator, phase: Phase) -> ValidationMetrics:
        mean = partial(_mean, accelerator)
        psnr = partial(psnr_of_guide, model)
        measured: Callable[..., Tensor] = psnr if phase.guide_alone else model.log_prob
        train = mean(measured, *self.train)
        val = mean(measured, *self.val)
        if phase.guide_alone:
            return ValidationMetrics(loss=-val, train_psnr=train, val_psnr=val)
        dims = self.val[0][0].numel()
        train = bits_per_dim(train, dims)
        val = bits_per_dim(val, dims)
        if phase.samples is None:
            return ValidationMetrics(val, train, val)
        targets, conditions = (x.to(accelerator.device) for x in self.val)
        # The seed is the image's index, so its samples are always the same.
        seeds = torch.arange(len(targets))
        width = WIDTHS[targets.dtype]
        points = points_of(conditions.float(), 0.5, width, has_mask=conditions.shape[1] == 4)
        image = mean(partial(phase.samples, model), width * targets.float(), points, seeds)
        return ValidationMetrics(val + phase.weight * image, train, val, image)


def _mean(accelerator: Accelerator, measured: Callable[..., Tensor], *of_images: Tensor) -> float:
    """The mean of a figure over images, of which each process measures its share."""
    share = [x[accelerator.process_index :: accelerator.num_processes] for x in of_images]
    total = 0.0
    for first in range(0, len(share[0]), _BATCH):
        part = [x[first : first + _BATCH] for x in share]
        total += float(measured(*part).sum())
    [total] = sum_over_processes(accelerator, [total])
    return total / len(of_images[0])


def psnr_of_guide(model: CAFlow, target: Tensor, cond: Tensor) -> Tensor:
    """The PSNR of the image that the guide predicts, `10 log10(255² / mean (x - w)²)` in dB.

    Shapes: target uint8 or uint16 (B, 3, H, W), cond (B, C, H, W) -> (B,) float64.
    """
    width = WIDTHS[target.dtype]
    points = points_of(cond.float(), 0.5, width, has_mask=cond.shape[1] == 4)
    predicted = predicted_image(model, points, width).clamp(width / 2, 256 - width / 2)
    centers = (to_float64(target.to(predicted.device)) + 0.5) * width
    error = to_float64(predicted) - centers
    return 10 * (255**2 / error.square().flatten(1).mean(1)).log10()


def validate(
    validation: Validation, model: CAFlow, phase: Phase, log: EventLog
) -> ValidationMetrics:
    """Measure the averaged weights; write the event, the models, the curve and, at some
    validations, a grid of samples."""
    progress = log.progress
    metrics = validation.measure(model, log.accelerator, phase)
    better = metrics.loss < progress.best
    if better:
        progress.best = metrics.loss
        if metrics.val_bits_per_dim is not None:
            progress.best_bits_per_dim = metrics.val_bits_per_dim
    on_main_process(log.accelerator, lambda: _write(validation, model, log, metrics, better))
    progress.validations += 1
    return metrics


def _write(
    validation: Validation, model: CAFlow, log: EventLog, metrics: ValidationMetrics, better: bool
) -> None:
    config = log.config
    progress = log.progress
    out = Path(config.out)
    guide_alone = metrics.val_psnr is not None
    figures = metrics.figures
    running = "running_loss" if guide_alone else "running_bits_per_dim"
    log.write("validation", **figures, **{running: progress.running})
    targets, conditions = validation.val
    record = _record(model, log, figures, conditions)
    # A broken model must not replace a good one.
    if math.isfinite(metrics.loss):
        model.save(out / "last.safetensors", record)
    if better:
        model.save(out / "best.safetensors", record)
    if progress.validations % _GRID_EVERY == 0 and not model.of_field:
        make_folder(out / "samples")
        grid = sample_grid(
            model,
            targets[:_GRID_IMAGES],
            conditions[:_GRID_IMAGES],
            # Flows that have not trained would draw noise.
            0.0 if guide_alone else Sampling().of(model.config).temperature,
            1 if guide_alone else _GRID_CANDIDATES,
        )
        write_png(out / "samples" / f"step-{progress.step:08d}.png", grid)
    atomic_write(out / "curve.png", draw_curve(read_events(out)))


def _record(model: CAFlow, log: EventLog, figures: dict[str, float], conditions: Tensor) -> Table:
    """What a model's file states of its training."""
    config = log.config
    progress = log.progress
    described = len(conditions) >= _LEAST_OF_DOMAIN and not model.of_field
    record: Table = {
        "data": Path(config.data).name,
        "steps": progress.step,
        "images": progress.images(config.optim),
        "minutes": round(progress.elapsed / 60, 2),
        "seed": config.seed,
        "hold_out": config.hold_out,
        **figures,
        "optim": asdict(config.optim),
        "samples": asdict(config.samples),
        "domain": describe_domain(model, conditions) if described else None,
    }
    if config.guide is not None:
        record["guide"] = asdict(config.guide) | {"file": Path(config.guide.file).name}
    return record


@torch.no_grad()
def sample_grid(
    model: CAFlow, targets: Tensor, conditions: Tensor, tau: Tau, candidates: int
) -> np.ndarray:
    """Draw a row per image, condition | candidates by rank | truth: uint8 (H, W, 3).

    Targets are uint8 (N, 3, H, W), conditions (N, C, H, W). Candidates are composed with the
    condition, as in `restore`. Diverged samples, common early in a run, are shown, too.
    """
    task = get_task(model.config)
    samples = to_stored(model.sample(conditions, tau, candidates), WIDTHS[targets.dtype]).cpu()
    rows = []
    for target, condition, drawn in zip(targets, conditions, samples, strict=True):
        truth = target.permute(1, 2, 0).numpy()
        cond = condition.permute(1, 2, 0).numpy()
        composed = [task.keep_known(cond, image.permute(1, 2, 0).numpy()) for image in drawn]
        scores = model.log_prob(to_batch(composed), condition[None]).tolist()
        ranked = [composed[k] for k, _ in order("likelihood", scores)]
        shown = np.broadcast_to(cond[..., :3], truth.shape)
        rows.append(np.concatenate([shown, *ranked, truth], axis=1))
    return np.concatenate(rows)

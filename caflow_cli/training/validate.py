"""Validation: bits/dim of the averaged weights on fixed images, and grids of samples."""

import math
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor

from ..config import Tau
from ..images import atomic_write, make_folder, write_png
from ..inference import Whole, describe_domain, to_batch
from ..model import CAFlow, bits_per_dim
from ..sampling import Sampling
from ..tasks import get_task
from .data import Dataset
from .log import EventLog, draw_curve, on_main_process, read_events, sum_over_processes
from .phases import Phase

_BATCH = 50
_GRID_EVERY, _GRID_IMAGES, _GRID_CANDIDATES = 4, 6, 4  # validations between grids; rows; columns
_LEAST_OF_DOMAIN = 20  # images: with fewer, nearly every other image would count as far


class Fit(NamedTuple):
    """Mean bits/dim with fixed images, conditions and noise, and without flips."""

    train: float
    val: float
    image: float | None = None  # the validation loss on samples, if there is one
    loss: float = math.nan  # validation bits/dim, plus the weighted loss on samples


class Validation:
    """At most `count` validation images and equally many training images, chosen by `seed`."""

    def __init__(self, train: Dataset, val: Dataset, count: int, seed: int) -> None:
        def choose(data: Dataset, count: int) -> tuple[Tensor, Tensor]:
            order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
            return data.held_out(order[:count].sort().values)

        self.val = choose(val, count)
        self.train = choose(train, len(self.val[0]))

    @torch.no_grad()
    def measure(self, model: CAFlow, accelerator: Accelerator, phase: Phase) -> Fit:
        parts = (self.train, self.val)
        own = [
            sum(float(model.log_prob(w, y).sum()) for w, y in _batches(accelerator, *part))
            for part in parts
        ]
        if phase.samples is not None:
            device, lost = accelerator.device, 0.0
            # The seed is the image's index, so its samples are always the same.
            for w, y, seeds in _batches(accelerator, *self.val, torch.arange(len(self.val[0]))):
                target, cond = w.to(device).float(), y.to(device) + 0.5
                lost += float(phase.samples(model, target, cond, seeds).sum())
            own.append(lost)
        sums = sum_over_processes(accelerator, own)
        train, val = (
            float(bits_per_dim(total / len(targets), targets[0].numel()))
            for total, (targets, _) in zip(sums, parts, strict=False)
        )
        image = None if phase.samples is None else sums[2] / len(self.val[0])
        return Fit(train, val, image, val + phase.weight * (image or 0.0))


def _batches(accelerator: Accelerator, *of_images: Tensor) -> Iterator[tuple[Tensor, ...]]:
    process, processes = accelerator.process_index, accelerator.num_processes
    own = [x[process::processes].split(_BATCH) for x in of_images]
    return (batch for batch in zip(*own, strict=True) if len(batch[0]))


def validate(validation: Validation, model: CAFlow, phase: Phase, log: EventLog) -> Fit:
    """Measure the averaged weights; write the event, the models, the curve and, at intervals, a
    grid of samples."""
    progress = log.progress
    fit = validation.measure(model, log.accelerator, phase)
    if better := fit.loss < progress.best:
        progress.best, progress.best_bits_per_dim = fit.loss, fit.val
    on_main_process(log.accelerator, lambda: _write(validation, model, log, fit, better))
    progress.validations += 1
    return fit


def _write(validation: Validation, model: CAFlow, log: EventLog, fit: Fit, better: bool) -> None:
    config, progress, out = log.config, log.progress, Path(log.config.out)
    log.write(
        "validation",
        val_bits_per_dim=fit.val,
        train_bits_per_dim=fit.train,
        running_bits_per_dim=progress.running,
        **({} if fit.image is None else {"val_picture_loss": fit.image}),
    )
    targets, conditions = validation.val
    record = {
        "data": os.fsencode(Path(config.data).name).decode(errors="replace"),
        "steps": progress.step,
        "images": progress.images(config.optim),
        "minutes": round(progress.elapsed / 60, 2),
        "seed": config.seed,
        "train_bits_per_dim": fit.train,
        "val_bits_per_dim": fit.val,
        "val_picture_loss": fit.image,
        "optim": asdict(config.optim),
        "samples": asdict(config.samples),
        "domain": (
            describe_domain(model, conditions) if len(conditions) >= _LEAST_OF_DOMAIN else None
        ),
    }
    # A broken model must not replace a good one.
    if math.isfinite(fit.val):
        model.save(out / "last.safetensors", record)
    if better:
        model.save(out / "best.safetensors", record)
    if progress.validations % _GRID_EVERY == 0:
        make_folder(out / "samples")
        grid = sample_grid(
            model,
            targets[:_GRID_IMAGES],
            conditions[:_GRID_IMAGES],
            Sampling().of(model.config).temperature,
            _GRID_CANDIDATES,
        )
        write_png(out / "samples" / f"step-{progress.step:08d}.png", grid)
    atomic_write(out / "curve.png", draw_curve(read_events(out)))


@torch.no_grad()
def sample_grid(
    model: CAFlow, targets: Tensor, conditions: Tensor, tau: Tau, candidates: int, seed: int = 0
) -> np.ndarray:
    """Draw a row per image, condition | candidates by rank | truth: uint8 (H, W, 3).

    Targets are uint8 (N, 3, H, W), conditions (N, C, H, W). Candidates are composed with the
    condition, as in `restore`. Diverged samples, common early in a run, are shown, too.
    """
    task, conds = get_task(model.config), conditions.permute(0, 2, 3, 1).numpy()
    seeds = range(seed, seed + candidates)
    generators = [torch.Generator().manual_seed(k) for _ in conds for k in seeds]
    whole = Whole(model, conditions)
    samples = whole.draw(tau, generators, strict=False)
    images = [
        task.keep_known(conds[index // candidates], sample.image)
        for index, sample in enumerate(samples)
    ]
    scores = [score.value for score in whole.log_prob(to_batch(images))]
    rows = []
    for row, (cond, target) in enumerate(zip(conds, targets.permute(0, 2, 3, 1), strict=True)):
        first = row * candidates
        ranked = sorted(range(first, first + candidates), key=lambda index: -scores[index])
        tiles = [cond[..., :3], *(images[index] for index in ranked), target.numpy()]
        rows.append(np.concatenate([np.broadcast_to(t, target.shape) for t in tiles], axis=1))
    return np.concatenate(rows)

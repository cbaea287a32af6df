"""What a run would take, from a few steps of it: `caflow train --dry-run`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

import torch
from accelerate import Accelerator

from ..data import count_pictures
from ..devices import peak_bytes, select_device
from ..errors import EXIT_USAGE, CaflowError
from ..model import CAFlow
from .batches import Batches
from .config import RunConfig
from .examples import load_examples
from .optimise import Optimiser
from .start import starting_model

__all__ = ["Estimate", "estimate"]

_STEPS = 3  # that are timed
_VALIDATED = 20  # pictures
_CHANNELS = 3  # of a target


@dataclass(frozen=True)
class Estimate:
    """Counts are exact; time and memory are of a few steps on this machine, as busy as it was."""

    pictures: dict[str, int]  # of each split; pairs, where the task learns from pairs
    parameters: dict[str, int]  # of A, R, T, F, Q, and in all
    device: str
    steps: int
    images: int
    epochs: float
    minutes: float
    images_per_second: float  # where all learn
    memory_gb: float  # peak of the process, or of the GPU's


def estimate(config: RunConfig, resume: bool = False) -> Estimate:
    """Make a few steps of a run in memory, and write nothing.

    Raises:
        CaflowError: As `train`, for what it would find before its first step.
    """
    task, optim = config.task, config.optim
    few = {s: load_examples(config, s, limit=n) for s, n in _limits(config).items()}  # type: ignore[arg-type]
    paired = few["train"].conditions is not None
    pictures = count_pictures(config.data, seed=config.seed, paired=paired)
    if pictures["train"] < optim.batch_size:
        raise CaflowError(
            f"{pictures['train']} training images are fewer than a batch",
            f"--batch-size {pictures['train']}",
            EXIT_USAGE,
        )
    device = select_device(config.device)
    accelerator = Accelerator(mixed_precision="no", cpu=device.type == "cpu")
    torch.manual_seed(config.seed)
    model = starting_model(config, resume)
    optimiser = Optimiser(model, accelerator, optim)
    normal = config.flow.dequantization == "variational"
    batches = Batches(few["train"], optim.batch_size, config.seed, config.flip, normal, config.zoom)
    rank, ranks = accelerator.process_index, accelerator.num_processes
    optimiser.initialise(batches(0, rank, ranks))

    def seconds_a_step(guide_alone: bool) -> float:
        # The first is slow: memory is new.
        optimiser.step(batches(0, rank, ranks), 0.0, guide_alone=guide_alone)
        begin = time.perf_counter()
        for step in range(1, 1 + _STEPS):
            optimiser.step(batches(step, rank, ranks), 0.0, guide_alone=guide_alone)
        return (time.perf_counter() - begin) / _STEPS

    alone = optim.guide_first
    per_guide_step = seconds_a_step(True) if alone else 0.0
    per_step = seconds_a_step(False)
    targets, conditions = few["val"].held_out(torch.arange(len(few["val"])))
    begin = time.perf_counter()
    optimiser.ema.model.log_prob(targets, conditions)
    per_picture = (time.perf_counter() - begin) / len(targets)

    validated = 2 * min(config.validation_images, pictures["val"])  # and as many of train
    per_validation = validated * per_picture / ranks
    if optim.images is not None:
        steps = math.ceil(optim.images / optim.batch_size)
        of_all = steps * (1 - alone)
        validations = max(1, int(of_all) // config.validate_every)
        seconds = steps * alone * per_guide_step + of_all * per_step + validations * per_validation
    else:
        assert optim.minutes is not None, "OptimConfig checks that there is a budget"
        seconds = 60 * optim.minutes
        in_all = per_step + per_validation / config.validate_every
        steps = int(seconds * (1 - alone) / in_all)
        steps += int(seconds * alone / per_guide_step) if alone else 0
    images = steps * optim.batch_size
    data = sum(pictures[s] for s in ("train", "val")) * task.size**2  # type: ignore[index]
    data *= _CHANNELS + (config.flow.cond_channels if paired else 0)
    memory = peak_bytes(device) + (data if data <= config.data_memory_gb * 2**30 else 0)
    return Estimate(
        pictures={str(split): count for split, count in pictures.items()},
        parameters=_parameters(model),
        device=str(device),
        steps=steps,
        images=images,
        epochs=images / pictures["train"],
        minutes=seconds / 60,
        images_per_second=optim.batch_size / per_step,
        memory_gb=memory / 2**30,
    )


def _limits(config: RunConfig) -> dict[str, int]:
    return {"train": config.optim.batch_size, "val": _VALIDATED}


def _parameters(model: CAFlow) -> dict[str, int]:
    parts = {name: getattr(model, name) for name in ("A", "R", "T", "F", "Q")}
    counts = {
        name: sum(p.numel() for p in part.parameters()) if part is not None else 0
        for name, part in parts.items()
    }
    return {**counts, "total": sum(counts.values())}

"""The estimate of a run's time and memory from a few steps: `caflow train --dry-run`."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator

from ..data import Address, count_pictures
from ..devices import peak_bytes, select_device
from ..errors import EXIT_USAGE, CaflowError
from ..model import CAFlow
from .batches import Batches
from .config import RunConfig
from .dataset import load_dataset
from .initial_model import starting_model
from .optimise import Optimiser
from .parameters import named_parameters
from .perceptual import perceptual_distance
from .phases import Phase, wants_perceptual
from .resume import check_unchanged
from .run_folder import RunFolder

__all__ = ["RunEstimate", "estimate"]

_STEPS = 3  # that are timed
_VALIDATED = 20  # pictures
_PARTS = ("A", "R", "T", "F", "Q")  # of a model: they begin the names of parameters


@dataclass(frozen=True)
class RunEstimate:
    """Size, time and memory of a run.

    Counts are exact. Time and memory are estimated from a few steps on this machine, under its
    present load.
    """

    pictures: dict[str, int]  # of each split; pairs, where the task learns from pairs
    parameters: dict[str, int]  # of A, R, T, F, Q, and in all
    device: str
    steps: int
    images: int
    epochs: float
    minutes: float
    images_per_second: float  # in the last phase
    memory_gb: float  # peak of the process, or of the GPU's


def estimate(config: RunConfig, resume: bool = False) -> RunEstimate:
    """Estimate a run's cost: make a few of its steps in memory, and write nothing.

    Raises:
        CaflowError: As for `train`, for all errors before its first step.
    """
    optim = config.optim
    if Address.of(config.data).stream:
        raise CaflowError(
            f"--dry-run counts pictures, and {config.data!r} is a stream",
            "--dry-run --data FOLDER of a few of its pictures",
            EXIT_USAGE,
        )
    folder = RunFolder(Path(config.out))
    folder.check(resume)
    if resume and not folder.starts_again(config.save_every):
        check_unchanged(config)
    few_train = load_dataset(config, "train", limit=optim.batch_size)
    few_val = load_dataset(config, "val", limit=_VALIDATED)
    paired = few_train.conditions is not None
    pictures = count_pictures(config.data, seed=config.seed, paired=paired)
    device = select_device(config.device)
    accelerator = Accelerator(mixed_precision="no", cpu=device.type == "cpu")
    torch.manual_seed(config.seed)
    model = starting_model(config, resume)
    perceptual = (
        perceptual_distance(
            config.perceptual_weights, accelerator.device, config.task.size, optim.bf16
        )
        if wants_perceptual(optim, config.flow, config.samples)
        else None
    )
    optimiser = Optimiser(model, accelerator, optim, perceptual, config.samples)
    normal = config.flow.dequantization == "variational"
    batches = Batches(few_train, optim.batch_size, config.seed, config.flip, normal, config.zoom)
    processes = accelerator.num_processes
    timed = _seconds_a_step(optimiser, batches)
    targets, conditions = few_val.held_out(torch.arange(len(few_val)))
    begin = time.perf_counter()
    optimiser.ema.model.log_prob(targets, conditions)
    per_picture = (time.perf_counter() - begin) / len(targets)

    validated = 2 * min(config.validation_images, pictures["val"])  # and as many of train
    per_validation = validated * per_picture / processes
    if optim.images is not None:
        steps = math.ceil(optim.images / optim.batch_size)
        seconds = sum(steps * phase.share_of_run * step for phase, step in timed)
        of_all = steps * sum(phase.share_of_run for phase, _ in timed if phase.whole_model)
        seconds += max(1, int(of_all) // config.validate_every) * per_validation
    else:
        assert optim.minutes is not None, "OptimConfig checks that there is a budget"
        seconds, steps = 60 * optim.minutes, 0
        for phase, step in timed:
            if phase.whole_model:
                step += per_validation / config.validate_every
            steps += int(seconds * phase.share_of_run / step)
    images = steps * optim.batch_size
    data = [pictures["train"] * few_train.bytes_each, pictures["val"] * few_val.bytes_each]
    kept = sum(size for size in data if size <= config.data_memory_gb * 2**30)  # others are mapped
    return RunEstimate(
        pictures={str(split): count for split, count in pictures.items()},
        parameters=_count_parameters(model),
        device=str(device),
        steps=steps,
        images=images,
        epochs=images / pictures["train"],
        minutes=seconds / 60,
        images_per_second=optim.batch_size / timed[-1][1],
        memory_gb=(peak_bytes(device) + kept) / 2**30,
    )


def _seconds_a_step(optimiser: Optimiser, batches: Batches) -> list[tuple[Phase, float]]:
    """Every phase of a new run, with the seconds that a step in it takes."""
    phases = optimiser.phases
    share = optimiser.accelerator.process_index, optimiser.accelerator.num_processes
    timed: list[tuple[Phase, float]] = []
    optimiser.initialise(batches(0, *share))
    while True:
        optimiser.step(batches(0, *share), 0.0)  # slower than others, since memory is new
        begin = time.perf_counter()
        for step in range(1, 1 + _STEPS):
            optimiser.step(batches(step, *share), 0.0)
        timed.append((phases.current, (time.perf_counter() - begin) / _STEPS))
        if not phases.current_ends(1.0):
            return timed
        phases.begin_next(0)
        optimiser.begin_phase(batches(0, *share))


def _count_parameters(model: CAFlow) -> dict[str, int]:
    counts = dict.fromkeys(_PARTS, 0)
    for name, parameter in named_parameters(model).items():
        counts[name.partition(".")[0]] += parameter.numel()
    return {**counts, "total": sum(counts.values())}

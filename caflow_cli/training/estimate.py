"""The estimate of a run's time and memory from a few steps: `caflow train --dry-run`."""

from __future__ import annotations

import math
import time
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..devices import peak_bytes
from .config import RunConfig
from .data import Batches, open_dataset
from .loop import Trainer
from .optim import named_parameters
from .processes import make_accelerator
from .state import RunFolder, check_unchanged, starting_model

__all__ = ["estimate"]

_STEPS = 3  # that are timed


def estimate(config: RunConfig, resume: bool = False) -> dict[str, Any]:
    """Estimate a run's size, time and memory from a few steps in memory; nothing is written.

    Counts are exact. Time and memory are those of this machine, under its present load, without
    validation.

    Raises:
        CaflowError: As for `train`, for all errors before its first step.
    """
    optim, folder = config.optim, RunFolder(Path(config.out))
    folder.check(resume)
    if resume and not folder.starts_again(config.save_every):
        check_unchanged(config)
    lazy = replace(config, data_memory_gb=0.0)  # only what the steps need is decoded
    accelerator = make_accelerator(config)
    with ExitStack() as stack:
        train, val = (stack.enter_context(open_dataset(lazy, part)) for part in ("train", "val"))
        batches = stack.enter_context(closing(Batches.of(config, train, accelerator)))
        torch.manual_seed(config.seed)
        model = starting_model(config, resume)
        trainer, timed = Trainer(model, accelerator, config), []
        trainer.initialise(batches(0))
        while True:
            trainer.step(batches(0), 0.0)  # slower than others, since memory is new
            begin = time.perf_counter()
            for step in range(1, 1 + _STEPS):
                trainer.step(batches(step), 0.0)
            timed.append((trainer.phase, (time.perf_counter() - begin) / _STEPS))
            if not trainer.phase_ends(1.0):
                break
            trainer.begin_next_phase(batches(0))
    if optim.images is not None:
        steps = math.ceil(optim.images / optim.batch_size)
        seconds = sum(steps * phase.share_of_run * each for phase, each in timed)
    else:
        assert optim.minutes is not None, "OptimConfig checks that there is a budget"
        seconds = 60 * optim.minutes
        steps = sum(int(seconds * phase.share_of_run / each) for phase, each in timed)
    counts = dict.fromkeys(("A", "R", "T", "F", "Q"), 0)  # they begin the names of parameters
    for name, parameter in named_parameters(model).items():
        counts[name.partition(".")[0]] += parameter.numel()
    return {
        "pictures": {"train": len(train), "val": len(val)},  # pairs, if the task has them
        "parameters": {**counts, "total": sum(counts.values())},
        "device": str(accelerator.device),
        "steps": steps,
        "images": steps * optim.batch_size,
        "minutes": seconds / 60,
        "images_per_second": optim.batch_size / timed[-1][1],  # in the last phase
        "memory_gb": peak_bytes(accelerator.device) / 2**30,  # of the process, or of the GPU
    }

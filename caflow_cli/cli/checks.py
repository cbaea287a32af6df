"""What a command refuses by a model's config and the size of an image, before it draws."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..config import Config
from ..errors import check_usage
from ..images import Header
from ..sampling import Sampling
from ..tasks import Pixels, Task, check_one_pass, check_size, get_task
from .console import Console
from .masking import Masking, no_mask
from .options import Restoration
from .output import Scale, report_undone, scaled
from .plan import Job, Plan


def check_settings(
    config: Config,
    sampling: Sampling,
    given: Restoration,
    masking: Masking | None,
    scale: Scale | None,
    command: str,
) -> Task:
    """The task of a model with these settings; CaflowError (exit 2) if it does not support one."""
    task = get_task(config)
    if masking is not None:  # without a mask, inpaint fills what is transparent
        transparent = task.needs_mask and command == task.command
        task.check_mask(masking.mask is not None or transparent)
    filled = sampling.of(config)
    if isinstance(scale, float):
        check_usage(
            scale <= task.factor,
            f"--scale {scale:g} exceeds the model's scale of {task.factor}",
            f"--scale {task.factor}, or --scale WIDTHxHEIGHT",
        )
    check_usage(
        given.uncertainty is None or filled.candidates != 1,
        "--uncertainty needs more than one candidate",
        "-m 10",
    )
    return task.made_consistent(filled.consistent)


def drawn_size(task: Task, image: Pixels, scale: Scale | None) -> tuple[int, int]:
    """Height and width that the model draws; CaflowError (exit 1) if it or the file is too large.

    More than 64 megapixels are drawn only if `scale` states that they are meant.
    """
    height, width = image.shape[:2]
    if scale is not None:
        scaled(scale, height, width)
    size = task.model_size(image)
    check_size(size, task.has_regions)
    if task.factor > 1 and scale is None:
        whole = f"{task.factor * width}x{task.factor * height}"
        check_size(
            size, False, f"crop or shrink the image, or confirm its size with --scale {whole}"
        )
    return size


def report_planned(
    plan: Plan,
    config: Config,
    sampling: Sampling,
    task: Task,
    scale: Scale | None,
    console: Console,
) -> None:
    """Report what would be drawn, and refuse by the headers of images what the run refuses."""
    if plan.grid or plan.uncertainty:
        sampling = sampling.of(config)

    def check(job: Job, header: Header) -> Mapping[str, object]:
        """Fields of the job's JSON line."""
        image = np.broadcast_to(np.uint8(0), (*header.size, 3))
        height, width = drawn_size(task, image, scale)
        if job.interval:
            check_one_pass((height, width))
        if task.needs_mask:  # how much is drawn depends on the hole
            if job.mask is None and header.opaque:
                raise no_mask(job.name)
            return {}
        megapixels = height * width / 1e6
        candidates = sampling.of(config, (height, width)).candidates
        console.note(
            f"{job.name}: would draw {width}×{height}, {megapixels:.3g} megapixels, "
            f"{candidates} candidate{'s' * (candidates != 1)}"
        )
        return {"megapixels": megapixels, "candidates": candidates}

    for job in plan.jobs:
        report_undone(job, console, check, alone=len(plan.jobs) == 1)

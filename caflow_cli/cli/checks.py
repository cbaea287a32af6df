"""What a command refuses by a model's config and the size of an image, before it draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..config import Config, Extent
from ..errors import check_usage
from ..images import Header
from ..sampling import Sampling
from ..tasks import Pixels, Task, check_one_pass, check_size, get_task
from ..tasks.base import check_same_size
from .console import Console
from .masking import Masking, no_mask
from .options import Restoration
from .output import Scale, report_undone, reported, scaled
from .plan import Job, Plan


def check_settings(
    config: Config,
    sampling: Sampling,
    given: Restoration,
    masking: Masking | None,
    scale: Scale | None,
    command: str,
) -> tuple[Task, Sampling]:
    """The task of a model with these settings, and the settings, with M filled in for sheets, which
    compare candidates. CaflowError (exit 2) if the model does not support one.
    """
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
    if given.grid or given.uncertainty:
        sampling = replace(sampling, candidates=filled.candidates)
    return task.made_consistent(filled.consistent), sampling


def drawn_size(task: Task, image: Pixels, scale: Scale | None) -> Extent:
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
    for job in plan.jobs:
        with reported(job, console, alone=len(plan.jobs) == 1):
            header = None if job.skipped else _fitting_header(job)
            fields: dict[str, object] = {}
            if header is not None:
                image = np.broadcast_to(np.uint8(0), (*header.size, 3))
                height, width = drawn_size(task, image, scale)
                if job.interval:
                    check_one_pass((height, width))
                if task.needs_mask and job.mask is None and header.opaque:
                    raise no_mask(job.name)
                if not task.needs_mask:  # otherwise it depends on the hole
                    m = sampling.of(config, (height, width)).candidates
                    megapixels = height * width / 1e6
                    console.note(
                        f"{job.name}: would draw {width}×{height}, {megapixels:.3g} megapixels, "
                        f"{m} candidate{'s' * (m != 1)}"
                    )
                    fields = {"megapixels": megapixels, "candidates": m}
            report_undone(job, console, **fields)


def _fitting_header(job: Job) -> Header | None:
    """The header of a job's image; None for stdin. CaflowError (exit 1) if a file cannot be read,
    or if the mask or the hints have another size.
    """
    header = job.source.header()
    for what, source in (("the mask is", job.mask), ("the hints are", job.hints)):
        other = None if source is None else source.header()
        if header is not None and other is not None:
            check_same_size(what, other.size, header.size)
    return header

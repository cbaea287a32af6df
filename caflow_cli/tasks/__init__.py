"""Tasks: how a user's image becomes a condition, a sample an image, and a result a score."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import numpy as np

from ..errors import check_usage, usage_error
from .base import Part, Pixels, Place, Task, as_read, grey, pad, resize
from .colorize import Colorize, saturate
from .degradation import compress, shrink_as_photo
from .holes import MaskHoles, central_hole
from .inpaint import HoleWindow, Inpaint
from .paired import Paired
from .superres import SuperRes

if TYPE_CHECKING:
    from torch import Tensor

    from ..config import Config

__all__ = [
    "TASKS",
    "Colorize",
    "HoleWindow",
    "Inpaint",
    "MaskHoles",
    "Paired",
    "Part",
    "Pixels",
    "Place",
    "SuperRes",
    "Task",
    "as_read",
    "central_hole",
    "compress",
    "get_task",
    "grey",
    "held_out_conditions",
    "pad",
    "resize",
    "saturate",
    "shrink_as_photo",
    "task_named",
]

TASKS: dict[str, type[Task]] = {one.name: one for one in (SuperRes, Colorize, Inpaint, Paired)}


def task_named(name: str) -> type[Task]:
    """The task class with that name, which has the task's defaults; else CaflowError (exit 2)."""
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1, cutoff=0)[0]
        raise usage_error(f"unknown task {name!r}", f"--task {near}")
    return TASKS[name]


def get_task(config: Config) -> Task:
    """The task of a model's config.

    Raises:
        CaflowError: (exit 2) there is no such task, or it does not support these channel numbers.
    """
    name, flow = config.task.name, config.flow
    kind = task_named(name)
    wanted = " or ".join(map(str, kind.channels))
    check_usage(
        flow.cond_channels in kind.channels and flow.target_channels == 3,
        f"{name} does not support flow.cond_channels {flow.cond_channels} and flow.target_channels "
        f"{flow.target_channels}",
        f"set flow.cond_channels to {wanted}, flow.target_channels to 3",
    )
    return kind.of(config)


def held_out_conditions(task: Task, targets: Tensor) -> Tensor:
    """Compute `held_out_condition` for all images: uint8 (N, 3, H, W) to (N, C, H, W)."""
    images = enumerate(targets.permute(0, 2, 3, 1).numpy())
    conditions = np.stack([task.held_out_condition(image, index) for index, image in images])
    return targets.new_tensor(np.ascontiguousarray(conditions.transpose(0, 3, 1, 2)))

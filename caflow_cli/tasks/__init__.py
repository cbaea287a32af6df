"""Tasks: how a user's image becomes a condition, a sample an image, and a result a score."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from ..config import PRESETS, FlowConfig, TaskConfig, require
from ..errors import check_usage, usage_error
from .base import ONE_PASS, Example, Part, Place, Task, as_read, gray, resize
from .chroma import saturate
from .colorize import Colorize
from .degradation import shrink_as_photo, shrink_as_web
from .fields import Fields
from .holes import central_hole
from .inpaint import HoleWindow, Inpaint
from .paired import Paired
from .sizes import check_size, pad
from .superres import SuperRes

if TYPE_CHECKING:
    from torch import Tensor

    from ..config import Config

__all__ = [
    "ONE_PASS",
    "TASKS",
    "Colorize",
    "Example",
    "Fields",
    "HoleWindow",
    "Inpaint",
    "Paired",
    "Part",
    "Place",
    "SuperRes",
    "Task",
    "as_read",
    "central_hole",
    "check_size",
    "check_task",
    "get_task",
    "gray",
    "held_out_conditions",
    "pad",
    "preset",
    "resize",
    "saturate",
    "shrink_as_photo",
    "shrink_as_web",
    "task_named",
]

# The one registration of tasks, by name.
TASKS: dict[str, type[Task]] = {
    SuperRes.name: SuperRes,
    Colorize.name: Colorize,
    Inpaint.name: Inpaint,
    Paired.name: Paired,
}
# Fields of TaskConfig that a task must list in its `options`.
CHECKED = (
    "degrade",
    "native",
    "gray",
    "consistent",
    "values",
)
_DEFAULT = TaskConfig()


def task_named(name: str) -> type[Task]:
    """The task class with that name, which has the task's defaults; else CaflowError (exit 2)."""
    if name not in TASKS:
        raise usage_error(f"unknown task {name!r}", f"--task {' or '.join(TASKS)}")
    return TASKS[name]


def check_task(config: TaskConfig) -> None:
    """Raise CaflowError (exit 2) unless there is such a task, with the fields that are set."""
    require(config.name in TASKS, "task.name", config.name, " or ".join(TASKS))
    task = TASKS[config.name]
    for field in CHECKED:
        value = getattr(config, field)
        unset = getattr(_DEFAULT, field)
        wanted = f"{str(unset).lower()}: {task.name} has no such option"
        require(value == unset or field in task.options, f"task.{field}", value, wanted)


def get_task(config: Config) -> Task:
    """The task of a model's config.

    Raises:
        CaflowError: (exit 2) there is no such task, or it does not support these channel numbers.
    """
    check_task(config.task)
    name = config.task.name
    flow = config.flow
    kind = Fields if config.task.values else TASKS[name]
    wanted = " or ".join(map(str, kind.channels))
    check_usage(
        flow.cond_channels in kind.channels and flow.target_channels == kind.target_channels,
        f"{name} does not support flow.cond_channels {flow.cond_channels} and flow.target_channels "
        f"{flow.target_channels}",
        f"set flow.cond_channels to {wanted}, flow.target_channels to {kind.target_channels}",
    )
    return kind.of(config)


def preset(name: str, task: str = "superres") -> FlowConfig:
    """The architecture with that name; `compact` is adapted to a task.

    For an unknown name, a CaflowError (exit 2) lists all.
    """
    if name not in PRESETS:
        raise usage_error(f"unknown preset {name!r}", f"--preset {' or '.join(PRESETS)}")
    kind = task_named(task)
    if name != "compact" or not kind.compact:
        return PRESETS[name]
    guided = {**kind.compact, "spread": 64, "scale_bound": 1.0}
    return dataclasses.replace(PRESETS[name], cond_channels=kind.channels[0], **guided)


def held_out_conditions(task: Task, targets: Tensor) -> Tensor:
    """Compute the conditions of validation images, the same on every call, by their index.

    uint8 (N, 3, H, W) to (N, C, H, W).
    """
    import torch  # imported here, so that the tasks' defaults need no torch

    conditions = []
    for index, image in enumerate(targets.permute(0, 2, 3, 1).numpy()):
        generator = torch.Generator().manual_seed(index)
        condition = task.training_condition(image, generator)
        conditions.append(torch.from_numpy(condition))
    return torch.stack(conditions).permute(0, 3, 1, 2).contiguous()

"""The model of a command: its header, whether it takes fields, and its weights."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from ..errors import CaflowError, check_usage

if TYPE_CHECKING:
    from ..checkpoint import CheckpointInfo
    from ..hub.resolve import Resolved
    from ..model import CAFlow


def load_model(model: str | Resolved, device: str) -> CAFlow:
    """Load a model, named or found.

    CaflowError: (exit 2) the device is missing; (exit 3) weights.
    """
    from ..devices import keep_memory, select_device
    from ..hub.resolve import load

    target = select_device(device)
    keep_memory()
    return load(model).to(target)


def info_of(model: Resolved, task: str | None) -> CheckpointInfo:
    """Read the header of a model's file; CaflowError (exit 2) if it is for another task."""
    from ..tasks import TASKS

    info = model.info
    its = info.config.task.name
    check_usage(
        task in (None, its),
        f"model {model.id!r} is for {its}, not {task}",
        f"caflow {TASKS[its].command}, or another --model",
    )
    return info


def unit_of_model(model: str | None, *, local: bool = False) -> str | None:
    """The unit of a named model of fields; None of others, or if it cannot be read, which is
    reported in its turn."""
    if model is None:
        return None
    from ..hub.resolve import resolve

    with suppress(CaflowError):
        values = resolve(model, local=local).info.config.task.values
        return None if values is None else values.unit
    return None

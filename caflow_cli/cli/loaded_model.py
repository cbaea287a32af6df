"""A model that a command uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import EXIT_USAGE, CaflowError

if TYPE_CHECKING:
    from ..model import CAFlow
    from .console import Console

__all__ = ["load_model"]


def load_model(
    name: str | None,
    device: str,
    console: Console,
    task: str | None = None,
    default: str | None = None,
) -> CAFlow:
    """Load a model for a command, after the checks that need no weights.

    Args:
        name: As typed. None: `default`, else the task's default.
        device: As typed.
        console: `-q` hides the progress bar of a download.
        task: The task that the model must have; None: any task.
        default: The model of the protocol, if there is one.

    Raises:
        CaflowError: Device (2), weights (3), or a model of another task (2).
    """
    from ..hub.client import hide_progress
    from ..hub.resolve import default_model, load, resolve

    if console.quiet:
        hide_progress()
    resolved = resolve(name or default or default_model(task or "superres").id)

    from ..devices import keep_memory, select_device
    from ..model.files import read_info

    target = select_device(device)
    keep_memory()
    trained_for = read_info(resolved.path).config.task.name
    if task is not None and trained_for != task:
        raise CaflowError(
            f"model {resolved.id!r} is for {trained_for}, not {task}",
            f"caflow {'sample --cond' if trained_for == 'paired' else trained_for}, "
            "or another --model",
            EXIT_USAGE,
        )
    return load(resolved).to(target)

"""A model that a command uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import EXIT_USAGE, CaflowError
from .environment import model_of_environment
from .typed import from_file

if TYPE_CHECKING:
    from ..inference.loaded_model import LoadedModel
    from .console import Console

__all__ = ["behind_environment", "load_model", "named_model"]


def behind_environment(name: str | None, task: str | None) -> str | None:
    """The value of `--model`, or the environment's model where it comes from the user's file.

    Raises:
        CaflowError: (exit 3) as `model_of_environment`.
    """
    if name is None or not from_file("model"):
        return name
    return model_of_environment(task) or name


def named_model(name: str | None, task: str | None) -> str | None:
    """The model that is named for a task: as typed, else by the environment, else by the user's
    file; None: none is.

    Raises:
        CaflowError: (exit 3) as `model_of_environment`.
    """
    from .user_config import model_of_config

    return name or model_of_environment(task) or model_of_config(task or "superres")


def load_model(
    name: str | None,
    device: str,
    console: Console,
    task: str | None = None,
    default: str | None = None,
) -> LoadedModel:
    """Load a model for a command, after the checks that need no weights.

    Args:
        name: As typed. None: what `named_model` finds, else `default`, else the task's default.
        device: As typed.
        console: Gets a note if the Hub could not be reached. `-q` hides the progress bar of a
            download.
        task: The task that the model must have; None: any task.
        default: The model of the protocol, if there is one.

    Raises:
        CaflowError: Device (2), weights (3), or a model of another task (2).
    """
    from ..hub.client import hide_progress
    from ..hub.resolve import check_name, default_model, resolve
    from .changed_default import note_changed_default

    name = named_model(name, task) or default
    if name is not None:
        check_name(name)

    from ..devices import keep_memory, select_device
    from ..inference.loaded_model import LoadedModel, task_of_file

    target = select_device(device)
    keep_memory()
    if console.quiet:
        hide_progress()
    if name is None:
        entry = default_model(task or "superres")
        note_changed_default(entry, console)
        name = entry.id
    resolved = resolve(name)
    if resolved.unreachable:
        console.note(f"{resolved.id}: from the cache, because {resolved.unreachable}")
    trained_for = task_of_file(resolved.path, resolved.id)
    if task is not None and trained_for != task:
        raise CaflowError(
            f"model {resolved.id!r} is for {trained_for}, not {task}",
            f"caflow {'sample --cond' if trained_for == 'paired' else trained_for}, "
            "or another --model",
            EXIT_USAGE,
        )
    return LoadedModel.read(resolved.path, resolved.id, resolved.sha256, target)

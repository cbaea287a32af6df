"""Models that the environment names: one for each task, and one for whichever task it fits."""

from __future__ import annotations

import os

from ..config import FILLS

__all__ = ["model_of_environment", "named_in_environment"]


def named_in_environment(task: str | None) -> str | None:
    """The name in CAFLOW_MODEL_SUPERRES (or of another task), else in CAFLOW_MODEL, unchecked."""
    own = None if task is None else os.environ.get(f"CAFLOW_MODEL_{task.upper()}")
    return own or os.environ.get("CAFLOW_MODEL") or None


def model_of_environment(task: str | None) -> str | None:
    """The model for a task where `--model` names none; None: the environment names none for it.

    A model that CAFLOW_MODEL names for another task does not stop this one.

    Args:
        task: None: any. CAFLOW_MODEL_SUPERRES goes first then, because superres is the default.

    Raises:
        CaflowError: (exit 3) CAFLOW_MODEL names what cannot be found.
    """
    name = named_in_environment(task or "superres")
    if task is None or name is None or os.environ.get(f"CAFLOW_MODEL_{task.upper()}"):
        return name
    if name in FILLS:
        return name if task == "inpaint" else None

    from ..checkpoint import read_info
    from ..hub.resolve import resolve

    return name if read_info(resolve(name).path).config.task.name == task else None

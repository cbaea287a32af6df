"""Tasks: what a condition is, and how draw and score relate to a user's picture."""

from __future__ import annotations

import difflib

from ..errors import EXIT_USAGE, CaflowError
from .base import Picture, Task, pad
from .superres import SuperRes

__all__ = ["TASKS", "Picture", "SuperRes", "Task", "get_task", "pad"]

TASKS: dict[str, type[SuperRes]] = {"superres": SuperRes}


def get_task(name: str, *, factor: int = 4) -> Task:
    """The task of that name.

    Args:
        name: A key of `TASKS`.
        factor: How many times larger superres makes a picture; other tasks have no use for it.

    Raises:
        CaflowError: (exit 2) no such task; the hint has the nearest name.
    """
    if name not in TASKS:
        near = difflib.get_close_matches(name, TASKS, n=1, cutoff=0)[0]
        raise CaflowError(f"unknown task {name!r}", f"--task {near}", EXIT_USAGE)
    return TASKS[name](factor)

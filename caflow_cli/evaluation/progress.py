"""The progress of an evaluation, as a caller sees it."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["Progress", "ProgressCount"]

Progress = Callable[[int, int], None]  # pictures done, and in all; 0 in all: nobody knows


class ProgressCount:
    """Counts pictures, and tells the caller after each, if there is one to tell."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def __call__(self, count: int = 1) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, self._total)

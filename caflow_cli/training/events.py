"""Events of a run, written to `metrics.jsonl`, to the caller's `report`, and to a tracker."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..errors import CaflowError
from ..images import atomic_write
from .tracker import Tracker

__all__ = ["METRICS", "Event", "EventLog", "last_step", "read_events"]

Event = dict[str, Any]  # one line of metrics.jsonl: "event" and its figures

METRICS = "metrics.jsonl"


class EventLog:
    """Writes events on the main process. Numbers that are not finite become null in JSON."""

    def __init__(
        self, out: Path, accelerator: Accelerator, report: Callable[[Event], None] | None
    ) -> None:
        self._path, self._accelerator, self._report = out / METRICS, accelerator, report
        self._tracker: Tracker | None = None

    def track(self, tracker: Tracker) -> None:
        """From now on, tell a tracker the figures too."""
        self._tracker = tracker

    def write(self, event: str, step: int, **figures: Any) -> None:
        if not self._accelerator.is_main_process:
            return
        line = {"event": event, "step": step, **figures}
        line = {
            k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in line.items()
        }
        try:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise CaflowError(
                f"cannot write {str(self._path)!r}: {error.strerror}",
                "free space there, and go on with --resume",
            ) from error
        if self._tracker is not None and event in ("step", "validation"):
            self._tracker.figures(line, step)
        if self._report is not None:
            self._report(line)

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that will be repeated, and a last line that a kill cut short."""
        kept = [e for e in read_events(self._path.parent) if e["step"] <= step]
        atomic_write(self._path, "".join(json.dumps(e) + "\n" for e in kept).encode())


def read_events(out: Path) -> list[Event]:
    """The events of a run so far."""
    path = out / METRICS
    events = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            events.append(json.loads(line))
        except ValueError:
            continue
    return events


def last_step(out: Path) -> int:
    """The step of the last event of a run; 0: there is none."""
    return int(read_events(out)[-1]["step"]) if read_events(out) else 0

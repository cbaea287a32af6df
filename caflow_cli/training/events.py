"""Events of a run: to `metrics.jsonl`, to the caller's `report`, and to a tracker."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate import Accelerator

from ..errors import EXIT_USAGE, CaflowError
from ..images import atomic_write

__all__ = ["METRICS", "Event", "EventLog", "check_tracker", "read_events"]

Event = dict[str, Any]  # one line of metrics.jsonl: "event" and its figures

METRICS = "metrics.jsonl"


class EventLog:
    """Writes events on the main process. JSON has no NaN: what is not finite becomes null."""

    def __init__(
        self, out: Path, accelerator: Accelerator, report: Callable[[Event], None] | None
    ) -> None:
        self._path, self._accelerator, self._report = out / METRICS, accelerator, report

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
        if self._accelerator.trackers and event in ("step", "validation"):
            numbers = {k: v for k, v in line.items() if isinstance(v, int | float) and k != "step"}
            self._accelerator.log(numbers, step=step)
        if self._report is not None:
            self._report(line)

    def forget_after(self, step: int) -> None:
        """Drop the lines of steps that will be made again, and a line that a kill cut short."""
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


def check_tracker(name: str | None) -> None:
    """CaflowError (exit 2) where the tracker's package is not installed."""
    from accelerate.utils import is_tensorboard_available

    if name == "tensorboard" and not is_tensorboard_available():
        raise CaflowError(
            "tracker is 'tensorboard', which is not installed",
            "pip install tensorboard, or leave tracker out",
            EXIT_USAGE,
        )

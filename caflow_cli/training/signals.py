"""Ctrl-C and SIGTERM during a run."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType

from ..errors import EXIT_INTERRUPTED, CaflowError

__all__ = ["EXIT_TERMINATED", "Signals", "Stopped"]

EXIT_TERMINATED = 143  # 128 + SIGTERM, as shells report it


class Stopped(CaflowError):
    """A run was told to stop: its state is written, and `--resume` goes on with it."""


class Signals:
    """A context in which the first SIGINT or SIGTERM is noted, not obeyed.

    The run finishes its step, writes its state and stops. A second Ctrl-C raises
    `KeyboardInterrupt` at once. Outside of the main thread signals are left alone.
    """

    _HANDLED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: signal.Signals | None = None
        self._before: dict[signal.Signals, object] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._before = {s: signal.signal(s, self._note) for s in self._HANDLED}
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            # None: installed by something that is not Python, and not ours to restore.
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.received is signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        # A launcher passes Ctrl-C on as SIGTERM: the person's word comes first.
        if self.received is None or number == signal.SIGINT:
            self.received = signal.Signals(number)

    def flags(self) -> list[float]:
        """One number a signal, 1 if it came. By their sums all processes stop at one step."""
        return [float(self.received is s) for s in self._HANDLED]

    @classmethod
    def stopped(cls, flags: list[float], step: int, out: str) -> Stopped | None:
        """The error to raise where a signal came to any process; None: none came."""
        hint = f"caflow train --out {out} --resume"
        if flags[0]:
            return Stopped(
                f"interrupted after step {step}; the state is saved", hint, EXIT_INTERRUPTED
            )
        if flags[1]:
            return Stopped(
                f"stopped by SIGTERM after step {step}; the state is saved", hint, EXIT_TERMINATED
            )
        return None

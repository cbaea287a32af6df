"""The processes of a run: what they share, and the signals that stop them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Sequence
from types import FrameType, TracebackType

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..devices import float64_device, select_device, use_device
from ..errors import EXIT_INTERRUPTED, CaflowError
from .config import RunConfig

__all__ = ["Signals", "Stopped", "make_accelerator", "on_main_process", "sum_over_processes"]

_EXIT_TERMINATED = 143  # 128 + SIGTERM, as shells report it


def make_accelerator(config: RunConfig) -> Accelerator:
    """Set up the device and the processes of a run."""
    device = select_device(config.device)
    if config.device.startswith("cuda:"):  # with "cuda" a launcher gives each process its own
        use_device(device)
    return Accelerator(
        mixed_precision="no",
        cpu=device.type == "cpu",
        log_with=config.tracker,
        project_dir=config.out,
    )


def sum_over_processes(accelerator: Accelerator, values: Sequence[float]) -> list[float]:
    """Sum over all processes; each gets the same result. All of them must call it."""
    if accelerator.num_processes == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=float64_device(accelerator.device))
    total: list[float] = accelerator.reduce(tensor, reduction="sum").tolist()
    return total


def on_main_process(accelerator: Accelerator, function: Callable[[], object]) -> None:
    """Call `function` on the main process while the others wait.

    A `CaflowError` in it is raised on every process, so that, for example, a full disk does not
    leave the others waiting forever.
    """
    failure: CaflowError | None = None
    if accelerator.is_main_process:
        try:
            function()
        except CaflowError as error:
            failure = error
    if accelerator.num_processes > 1:
        sent = [None if failure is None else (failure.message, failure.hint, failure.exit_code)]
        broadcast_object_list(sent)
        if failure is None and sent[0] is not None:
            failure = CaflowError(*sent[0])
    if failure is not None:
        raise failure


class Stopped(CaflowError):
    """A signal stopped a run. Its state is written, and `--resume` goes on from it."""


class Signals:
    """A context in which the first SIGINT or SIGTERM is only noted.

    The run finishes its step, writes its state and stops. A second Ctrl-C raises
    `KeyboardInterrupt` at once. Outside of the main thread, signals are not handled.
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
        # A launcher passes Ctrl-C on as SIGTERM: the user's signal comes first.
        if self.received is None or number == signal.SIGINT:
            self.received = signal.Signals(number)

    def flags(self) -> list[float]:
        """One number for each signal, 1 if it came. Their sums stop all processes at one step."""
        return [float(self.received is s) for s in self._HANDLED]

    @classmethod
    def stopped(cls, flags: list[float], step: int, out: str) -> Stopped | None:
        """The error to raise if a signal came to any process; None if none came."""
        interrupted, terminated = flags
        if not interrupted and not terminated:
            return None
        how, code = (
            ("interrupted", EXIT_INTERRUPTED)
            if interrupted
            else ("stopped by SIGTERM", _EXIT_TERMINATED)
        )
        return Stopped(
            f"{how} after step {step}; the state is saved",
            f"caflow train --out {out} --resume",
            code,
        )

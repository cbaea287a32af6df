"""The processes of a run: what they share, and the signals that stop them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..devices import float64_device, select_device
from ..errors import CaflowError
from .config import RunConfig

__all__ = ["Stopped", "make_accelerator", "noted_signals", "on_main_process", "sum_over_processes"]


def make_accelerator(config: RunConfig) -> Accelerator:
    """Set up the device and the processes of a run."""
    device = select_device(config.device)
    if config.device.startswith("cuda:"):  # with "cuda" a launcher gives each process its own
        torch.accelerator.set_device_index(device)
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

    @classmethod
    def by(cls, flags: list[float], step: int, out: str) -> Stopped | None:
        """The error to raise if a signal came to any process; None if none came.

        Args:
            flags: Sums over processes of what `noted_signals` yields.
            step: The last step.
            out: The run's folder.
        """
        if not any(flags):
            return None
        number = _SIGNALS[0] if flags[0] else _SIGNALS[1]  # the user's first
        how = "interrupted" if number == signal.SIGINT else "stopped by SIGTERM"
        return cls(
            f"{how} after step {step}; the state is saved",
            f"caflow train --out {out} --resume",
            128 + number,  # as shells report it
        )


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def noted_signals() -> Iterator[Callable[[], list[float]]]:
    """Only note the first SIGINT or SIGTERM: the run finishes its step and writes its state.

    A second Ctrl-C raises `KeyboardInterrupt` at once. Outside of the main thread, signals are not
    handled.

    Yields:
        A function: one number for each signal, 1 if it came. Their sums over the processes stop all
        at one step.
    """
    received: int | None = None

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if received == number == signal.SIGINT:
            raise KeyboardInterrupt
        # A launcher passes Ctrl-C on as SIGTERM: the user's signal comes first.
        if received is None or number == signal.SIGINT:
            received = number

    before: dict[signal.Signals, Any] = {}
    if threading.current_thread() is threading.main_thread():
        before = {number: signal.signal(number, note) for number in _SIGNALS}
    try:
        yield lambda: [float(received == number) for number in _SIGNALS]
    finally:
        for number, handler in before.items():
            # None: installed by something that is not Python, and not ours to restore.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

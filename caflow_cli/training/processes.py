"""The processes of a run: what they share, and the signals that stop them."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from types import FrameType
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from ..devices import float64_device, select_device
from ..errors import CaflowError, check_usage
from .config import RunConfig


def make_accelerator(config: RunConfig) -> Accelerator:
    """Set up the device and the processes of a run. CaflowError (exit 2) without its tracker."""
    tracker = config.tracker
    check_usage(
        tracker is None or find_spec(tracker) is not None,
        f"tracker is {tracker!r}, which is not installed",
        f"pip install {tracker}, or leave tracker out",
    )
    device = select_device(config.device)
    if config.device.startswith("cuda:"):  # with "cuda" a launcher gives each process its own
        torch.accelerator.set_device_index(device)
    cpu = device.type == "cpu"
    return Accelerator(mixed_precision="no", cpu=cpu, log_with=tracker, project_dir=config.out)


def sum_over_processes(accelerator: Accelerator, values: Sequence[float]) -> list[float]:
    """Sum over all processes; each gets the same result. All of them must call it."""
    if accelerator.num_processes == 1:
        return list(values)
    tensor = torch.tensor(values, dtype=torch.float64, device=float64_device(accelerator.device))
    total: list[float] = accelerator.reduce(tensor, reduction="sum").tolist()
    return total


def on_main_process(accelerator: Accelerator, function: Callable[[], object]) -> None:
    """Call `function` on the main process while the others wait.

    A `CaflowError` in it is raised on every process: a full disk leaves nobody waiting.
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
        """The error to raise after a step of the run in `out`, if a signal came to any process.

        `flags` are sums over processes of what `noted_signals` yields.
        """
        for (number, how), flag in zip(_SIGNALS.items(), flags, strict=True):
            if flag:
                return cls(
                    f"{how} after step {step}; the state is saved",
                    f"caflow train --out {out} --resume",
                    128 + number,  # as shells report it
                )
        return None


_SIGNALS = {signal.SIGINT: "interrupted", signal.SIGTERM: "stopped by SIGTERM"}  # the user's first


@contextmanager
def noted_signals() -> Iterator[Callable[[], list[float]]]:
    """Only note the first SIGINT or SIGTERM: the run finishes its step and writes its state.

    A second Ctrl-C raises `KeyboardInterrupt` at once. Outside of the main thread, signals are not
    handled. Yields a function: one number for each signal, 1 if it came.
    """
    received: int | None = None

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal received
        if received == number == signal.SIGINT:
            raise KeyboardInterrupt
        # A launcher passes Ctrl-C on as SIGTERM: the user's signal comes first.
        if received is None or number == signal.SIGINT:
            received = number

    in_main = threading.current_thread() is threading.main_thread()
    before: dict[int, Any] = {n: signal.signal(n, note) for n in _SIGNALS if in_main}
    try:
        yield lambda: [float(received == number) for number in _SIGNALS]
    finally:
        for number, handler in before.items():
            # None: installed by something that is not Python, and not ours to restore.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

"""What `caflow train` says of a run: lines of progress, and at its end a table and a sentence."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..evaluation import ChosenTemperature
    from ..training.log import Event

_FIRST = "the first steps"
FEW = 20  # validation images on which the temperature is chosen
FEW_TO_CALIBRATE = 50  # images; with fewer, a calibration of the start is better than their own
# Figures of events on the terminal.
_RUNNING = {"running_bits_per_dim": "{} bits/dim", "running_loss": "loss {}"}
_VALIDATION = {
    "val_bits_per_dim": "{} bits/dim",
    "train_bits_per_dim": "training images {}",
    "val_psnr": "{} dB",
    "train_psnr": "training images {}",
    "val_image_loss": "samples {}",
}
_GRID = 0.05  # share of fine detail that repeats every 4 pixels; 0.02 by chance
_FLAT = 0.005  # a change of validation bits/dim that is none; for PSNR ten times as much, in dB


# --- during the run ------------------------------------------------------------------------------


@dataclass
class Display:
    """Shows the events of a run."""

    console: Console
    progress: Progress
    # Whether a calibration of the start is there, which few images do not replace; None: the model
    # cannot have intervals.
    calibrates: bool | None = None
    examples: str = "images"  # or "fields"
    doing: str = "reading images"  # for `pulse`

    def __post_init__(self) -> None:
        self._bar = self.progress.add_task(self.doing, total=1.0, figures="")

    def show(self, event: Event) -> None:
        kind = event["event"]
        step = f"step {event.get('step')}"
        if kind == "data":
            self.progress.update(self._bar, description="training")
            self.doing = _FIRST
            self._describe_data(event)
        elif kind == "step":
            figures = f"{event['images_per_second']:.1f} images/s  {_text(event, _RUNNING)}"
            self.progress.update(self._bar, completed=event["progress"], figures=figures)
            is_first = self.doing == _FIRST
            self.doing = f"{step}  {event['progress']:.1%}  {figures}"
            self.console.heartbeat(self.doing, now=is_first)
        elif kind == "start":
            self.console.note(f"{step}  the model to start from {_text(event, _VALIDATION)}")
        elif kind == "validation":
            self.console.note(f"{step}  validation {_text(event, _VALIDATION)}")
        elif kind == "note":
            self.console.note(event["text"])

    def _describe_data(self, event: Event) -> None:
        if event["skipped"]:
            names = ", ".join(event["skipped_names"])
            self.console.note(
                f"skipped images that are not read ({event['skipped']}), such as {names}"
            )
        calibrate = f" and {event['calibrate']} to calibrate it" * event["halved"]
        self.console.note(
            f"{event['train']} training {self.examples}; held out: {event['choose']} to choose the "
            f"model{calibrate}, {event['test']} to test it"
        )
        if event["choose"] < FEW and not event["halved"]:
            what = self.examples
            both = f", and the same {what} choose the model and calibrate it"
            self.console.note(
                f"few validation {what}, fewer than {FEW}: metrics are noisy"
                f"{'' if self.calibrates is None else both}; put more into val/"
            )
        if self.calibrates is not None:
            self.console.note(*few_to_calibrate(event["calibrate"], self.calibrates))


def few_to_calibrate(images: int, start: bool) -> list[str]:
    """What is to be said of the images that calibrate intervals, if they are few."""
    if images >= FEW_TO_CALIBRATE:
        return []
    then = "intervals (--interval) will be wide, and differ much by which images these are"
    if images < 9:
        then = "there will be no intervals (--interval)"
    if start:
        then = "intervals (--interval) keep the calibration of the model that the run starts from"
    text = f"fewer than {FEW_TO_CALIBRATE} images calibrate, so {then}"
    return [f"{text}; put {2 * FEW_TO_CALIBRATE} or more into val/"]


@contextmanager
def pulse(console: Console, text: Callable[[], str]) -> Iterator[None]:
    """Write what is being done every half a minute, if nothing else was: a step, a validation or
    reading a set may take longer."""
    ended = threading.Event()

    def beat() -> None:
        while not ended.wait(max(0.1, console.pause / 30)):
            console.heartbeat(text())

    thread = threading.Thread(target=beat, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _text(event: Event, texts: dict[str, str]) -> str:
    """The figures of an event, each in its text; null is a figure that was not finite."""
    figures = []
    for name, text in texts.items():
        if name in event:
            value = event[name]
            figures.append(text.format("-" if value is None else f"{value:.4f}"))
    return "  ".join(figures)


# --- at its end ----------------------------------------------------------------------------------


def table(
    choice: ChosenTemperature,
    bits: float | None,
    start: tuple[str, ChosenTemperature | None, float | None] | None,
) -> list[str]:
    """The best model, the one that the run started from, and the baseline, as lines of text.

    Args:
        choice: Of the best model.
        bits: Its bits/dim on validation images.
        start: Name, measurements and bits/dim of the other model.
    """
    rows = [["", "τ", "RMSE", "LPIPS", "bits/dim"]]
    rows.append(["the model", str(choice.tau), *_figures(choice.rmse, choice.lpips, bits)])
    if start is not None:
        name, other, other_bits = start
        rmse = None if other is None else other.rmse
        lpips = None if other is None else other.lpips
        tau = "" if other is None else str(other.tau)
        rows.append([f"start: {name}", tau, *_figures(rmse, lpips, other_bits)])
    if choice.baseline_rmse is not None:
        baseline = _figures(choice.baseline_rmse, choice.baseline_lpips, None)
        rows.append([choice.baseline, "", *baseline])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [f"validation images ({choice.images}), one sample each:"]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def _figures(rmse: float | None, lpips: float | None, bits: float | None) -> list[str]:
    return [
        "-" if rmse is None else f"{rmse:.2f}",
        "-" if lpips is None else f"{lpips:.3f}",
        "-" if bits is None else f"{bits:.4f}",
    ]


def verdict(
    choice: ChosenTemperature, events: Sequence[Event], start: ChosenTemperature | None = None
) -> str:
    """One sentence: whether the model is better than its baseline, and than the one that the run
    started from; whether its samples have a grid; and whether it still learns."""
    if choice.rmse is None:
        return f"samples diverge at τ {choice.tau}: train longer (--resume --minutes M)"
    learns = trend(events)
    if choice.baseline_rmse is None:
        return learns
    better = {"RMSE": choice.rmse < choice.baseline_rmse}
    if choice.lpips is not None and choice.baseline_lpips is not None:
        better["LPIPS"] = choice.lpips < choice.baseline_lpips
    by = [name for name, is_better in better.items() if is_better]
    others = [name for name, is_better in better.items() if not is_better]
    text = f"single samples are farther from the truth than {choice.baseline}"
    if by:
        text = f"single samples are closer to the truth than {choice.baseline} by {', '.join(by)}"
        text += f", but not by {', '.join(others)}" if others else ""
    grid = ""
    if choice.checkerboard is not None and choice.checkerboard > _GRID:
        share = f"{choice.checkerboard:.0%} of their fine detail"
        grid = f"; they have a grid: {share} repeats every 4 pixels (checkerboard)"
    return f"{text}{_against(choice, start)}{grid}; {learns}"


def _against(choice: ChosenTemperature, start: ChosenTemperature | None) -> str:
    """By what a model is worse than the one that its run started from."""
    if start is None or choice.rmse is None or start.rmse is None:
        return ""
    worse = ["RMSE"] if choice.rmse > start.rmse else []
    if choice.lpips is not None and start.lpips is not None and choice.lpips > start.lpips:
        worse.append("LPIPS")
    return f", and farther than those of the start by {', '.join(worse)}" if worse else ""


def trend(events: Sequence[Event]) -> str:
    """Whether validation still improved in the last third of its measurements; if so, how to go on
    for as long again."""
    name = "bits/dim"
    key = "val_bits_per_dim"
    sign = 1.0
    flat = _FLAT
    measured = [event for event in events if event["event"] == "validation"]
    if measured and key not in measured[-1]:
        name = "PSNR"
        key = "val_psnr"
        sign = -1.0
        flat = 10 * _FLAT
    values = [sign * event[key] for event in measured if event.get(key) is not None]
    if len(values) < 2:
        return f"too few validations to tell whether {name} still improve"
    last = max(1, len(values) // 3)
    best_before = min(values[:-last])
    best_late = min(values[-last:])
    if best_before - best_late > flat:
        spent = max(1, math.ceil(events[-1].get("elapsed_s", 0) / 60))
        more = f"{spent} minute{'s' * (spent > 1)} more"
        return f"still learning by {name}: {more}, --resume --minutes {2 * spent}"
    if values[-1] - best_before > flat:
        return f"{name} on validation images got worse at the end: the best model is an earlier one"
    return f"{name} on validation images no longer improved in the last third"

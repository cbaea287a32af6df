"""The display of a run: a progress bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..evaluation import Choice
    from ..training import RunSummary

__all__ = ["Display", "describe_choice", "describe_preview", "describe_summary"]

_PAUSE = 30.0  # seconds between lines, where there is no bar
_FEW = 20  # validation images


class Display:
    """Turns events of a run into progress.

    Args:
        console: Takes the lines.
        progress: With a column for `figures`.
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._bar = progress.add_task("reading images", total=1.0, figures="")
        self._last_line = 0.0
        self._start: tuple[float, float] | None = None  # time and progress at the first step

    def __call__(self, event: dict[str, Any]) -> None:
        kind, step = event["event"], f"step {event.get('step')}"
        if kind == "data":
            self._progress.update(self._bar, description="training")
            if event["skipped"]:
                names = ", ".join(event["skipped_names"])
                more = ", ..." if event["skipped"] > len(event["skipped_names"]) else ""
                self._say(f"skipped damaged images ({event['skipped']}): {names}{more}")
            self._say(f"{event['train']} training images, {event['val']} validation images")
            if event["val"] < _FEW:
                self._say(
                    "few validation images, whose figures vary by chance: put at least "
                    f"{_FEW} into a folder val/"
                )
        elif kind == "step":
            self._show_step(event)
        elif kind == "validation":
            loss = event.get("val_picture_loss", ...)
            self._say(
                f"{step}  validation {_number(event['val_bits_per_dim'])} bits/dim  "
                f"training images {_number(event['train_bits_per_dim'])}"
                + ("" if loss is ... else f"  samples {_number(loss)}")
            )
        elif kind == "rollback":
            self._say(
                f"{step}: unstable; back to the last good state with {event['lr_scale']:g} times "
                "the learning rate"
            )
        elif kind == "note":
            self._say(event["text"])

    def _show_step(self, event: dict[str, Any]) -> None:
        now, done = time.monotonic(), event["progress"]
        if "running_loss" in event:
            running = f"loss {_number(event['running_loss'])}"
        else:
            running = f"{_number(event['running_bits_per_dim'])} bits/dim"
        figures = f"{event['images_per_second']:.1f} images/s  {running}"
        self._progress.update(self._bar, completed=done, figures=figures)
        began, first = self._start = self._start or (now, done)
        if self._console.live or now - self._last_line < _PAUSE:
            return
        self._last_line = now
        left = ""
        if done > first:
            left = f"  {_duration((now - began) * (1 - done) / (done - first) / 60)} left"
        self._say(f"step {event['step']}  {done:.1%}  {figures}{left}")

    def _say(self, text: str) -> None:
        if self._console.live:  # above the bar
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            self._console.note(text)


def describe_summary(summary: RunSummary) -> str:
    """One line on how a run ended."""
    loss = summary.val_picture_loss
    return (
        f"{summary.images} images in {_duration(summary.minutes)} "
        f"({summary.images_per_second:.1f} a second); bits/dim: validation "
        f"{summary.val_bits_per_dim:.4f} (best {summary.best_val_bits_per_dim:.4f}), training "
        f"images {summary.train_bits_per_dim:.4f}, gap {summary.gap_bits_per_dim:.4f}; "
        f"{summary.skipped_steps} steps skipped"
        + ("" if loss is None else f"; samples of validation images {loss:.4f}")
    )


def describe_choice(choice: Choice) -> str:
    """One line on the chosen temperature, and on whether the model is of use."""
    if choice.rmse is None:
        return (
            f"samples diverge at τ {choice.tau}: the model needs more training "
            "(--resume --minutes M)"
        )
    found = (
        f"validation images at τ {choice.tau}, one sample each ({choice.images}): "
        f"RMSE {choice.rmse:.2f}, {choice.baseline} {choice.baseline_rmse:.2f}"
    )
    if choice.useful:
        return found
    return f"{found}: not better than without a model yet; --resume --minutes M trains on"


def describe_preview(figures: dict[str, Any]) -> list[str]:
    """Lines of `--dry-run`."""
    images, counts = figures["pictures"], figures["parameters"]
    parts = ", ".join(f"{n} {count:,}" for n, count in counts.items() if n != "total" and count)
    return [
        f"data        {images['train']:,} train, {images['val']:,} val",
        f"parameters  {counts['total']:,} ({parts})",
    ]


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"  # None: nothing finite yet

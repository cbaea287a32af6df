"""The display of a run: a progress bar on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from .console import Console

if TYPE_CHECKING:
    from rich.progress import Progress

    from ..evaluation.verdict import Verdict
    from ..training import RunSummary
    from ..training.dry_run import RunEstimate

__all__ = ["Display", "describe_estimate", "describe_summary", "describe_verdict"]

_PAUSE = 30.0  # seconds between lines, where there is no bar
_FEW = 20  # validation pictures


class Display:
    """Turns events of a run into progress.

    Args:
        console: Takes the lines.
        progress: With columns for `figures`.
    """

    def __init__(self, console: Console, progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._bar = progress.add_task("reading pictures", total=1.0, figures="")
        self._last_line = 0.0
        self._start: tuple[float, float] | None = None  # time, progress

    def __call__(self, event: dict[str, Any]) -> None:
        show = getattr(self, "_" + str(event["event"]), None)
        if show is not None:
            show(event)

    def _say(self, text: str) -> None:
        # Above the bar, where there is one.
        if self._console.live:
            self._progress.console.print(text, markup=False, highlight=False)
        else:
            self._console.note(text)

    def _data(self, event: dict[str, Any]) -> None:
        self._progress.update(self._bar, description="training")
        if event["skipped"]:
            names = ", ".join(event["skipped_names"])
            more = ", ..." if event["skipped"] > len(event["skipped_names"]) else ""
            self._say(f"damaged pictures left out ({event['skipped']}): {names}{more}")
        self._say(f"{event['train']} pictures to learn from, {event['val']} to validate on")
        if event["val"] < _FEW:
            self._say(
                "few pictures to validate on, whose figures vary by chance: a folder val/ with "
                f"{_FEW} or more makes them sound"
            )

    def _step(self, event: dict[str, Any]) -> None:
        now = time.monotonic()
        running = (
            f"loss {_number(event['running_loss'])}"
            if "running_loss" in event
            else f"{_number(event['running_bits_per_dim'])} bits/dim"
        )
        figures = f"{event['images_per_second']:.1f} images/s  {running}"
        self._progress.update(self._bar, completed=event["progress"], figures=figures)
        if self._start is None:
            self._start = now, event["progress"]
        if not self._console.live and now - self._last_line >= _PAUSE:
            self._last_line = now
            self._say(
                f"step {event['step']}  {event['progress']:.1%}  {figures}"
                f"{self._left(now, event['progress'])}"
            )

    def _left(self, now: float, progress: float) -> str:
        began, first = self._start or (now, progress)
        if progress <= first:
            return ""
        seconds = (now - began) * (1 - progress) / (progress - first)
        return f"  {_duration(seconds / 60)} left"

    def _validation(self, event: dict[str, Any]) -> None:
        self._say(
            f"step {event['step']}  validation {_number(event['val_bits_per_dim'])} bits/dim  "
            f"training pictures {_number(event['train_bits_per_dim'])}{_of_draws(event)}"
        )

    def _rollback(self, event: dict[str, Any]) -> None:
        self._say(
            f"step {event['step']}: unstable; back to the last good state with "
            f"{event['lr_scale']:g} times the learning rate"
        )

    def _note(self, event: dict[str, Any]) -> None:
        self._say(event["text"])


def describe_summary(summary: RunSummary) -> str:
    """One line on how a run ended."""
    return (
        f"{summary.images} images in {_duration(summary.minutes)} "
        f"({summary.images_per_second:.1f} a second); bits/dim: validation "
        f"{summary.val_bits_per_dim:.4f} (best {summary.best_val_bits_per_dim:.4f}), training "
        f"pictures {summary.train_bits_per_dim:.4f}, gap {summary.gap_bits_per_dim:.4f}; "
        f"{summary.skipped_steps} steps skipped"
        + (
            f"; draws of validation {summary.val_picture_loss:.4f}"
            if summary.val_picture_loss is not None
            else ""
        )
    )


def _of_draws(event: dict[str, Any]) -> str:
    if "val_picture_loss" not in event:
        return ""
    return f"  draws {_number(event['val_picture_loss'])}"


def describe_verdict(verdict: Verdict) -> str:
    """One line on whether the model is of use."""
    base = f"{verdict.baseline} {verdict.baseline_rmse:.2f}"
    if verdict.rmse is None:
        return (
            f"at τ {verdict.tau} draws of this model run away: it needs more training "
            "(--resume --minutes M)"
        )
    found = (
        f"validation pictures at τ {verdict.tau}, one draw each ({verdict.pictures}): "
        f"RMSE {verdict.rmse:.2f}, {base}"
    )
    if verdict.useful:
        return found
    return f"{found}: not better than without a model yet; --resume --minutes M trains on"


def describe_estimate(estimate: RunEstimate) -> list[str]:
    """Lines of `--dry-run`."""
    counts = estimate.pictures
    parts = ", ".join(f"{n} {c:,}" for n, c in estimate.parameters.items() if n != "total" and c)
    return [
        f"data        {counts['train']:,} train, {counts['val']:,} val, {counts['test']:,} test",
        f"parameters  {estimate.parameters['total']:,} ({parts})",
        f"run         {estimate.steps:,} steps, {estimate.images:,} images, "
        f"{estimate.epochs:.1f} epochs",
        f"time        {_duration(estimate.minutes)} at {estimate.images_per_second:.1f} images/s "
        f"on {estimate.device}",
        f"memory      {estimate.memory_gb:.1f} GiB",
    ]


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{60 * minutes:.0f} s"
    if minutes < 120:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f} h" if minutes < 48 * 60 else f"{minutes / 1440:.1f} days"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"  # None: nothing finite yet

"""Trackers: the figures and sample grids of a run for TensorBoard, Weights & Biases or Trackio.

A run without one sends and writes nothing for them. TensorBoard and Trackio write on this machine;
Weights & Biases sends to its server, unless `WANDB_MODE=offline` is set.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from accelerate import Accelerator

from ..errors import EXIT_USAGE, CaflowError
from ..images import atomic_write, make_folder
from .config import RunConfig

__all__ = ["Tracker", "check_tracker"]

_PROJECT = "caflow"
_WANDB_ID = ".wandb-id"
_HINTS = {
    "wandb": "wandb login, or WANDB_MODE=offline; or leave tracker out",
    "trackio": "TRACKIO_DIR names a folder that can be written; or leave tracker out",
    "tensorboard": "pip install --upgrade tensorboard, or leave tracker out",
}


def check_tracker(name: str | None) -> None:
    """CaflowError (exit 2) if the tracker's package is not installed."""
    if name is not None and find_spec(name) is None:
        raise CaflowError(
            f"tracker is {name!r}, which is not installed",
            f"pip install {name}, or leave tracker out",
            EXIT_USAGE,
        )


class Tracker:
    """The tracker of a run, through `accelerate`; nothing if the config names none.

    A tracker that fails once the run has begun is left alone from then on: the run goes on.

    Args:
        config: The run's.
        accelerator: Made with `log_with=config.tracker`.
        note: Takes a line on a tracker that has failed; the run's recorder sets it.
    """

    def __init__(
        self,
        config: RunConfig,
        accelerator: Accelerator,
        note: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._config, self._accelerator, self.note = config, accelerator, note
        self._on = False

    def begin(self) -> None:
        """Start it.

        Raises:
            CaflowError: (exit 2) it does not start, because it has no account, say.
        """
        name = self._config.tracker
        if name is None:
            return
        out = Path(self._config.out)
        run = {"name": out.resolve().name, "resume": "allow"}
        kept = out / _WANDB_ID  # by which a run that goes on is one with what it was
        own = kept.read_text(encoding="utf-8") if kept.is_file() else uuid4().hex
        options = {"wandb": {**run, "id": own, "dir": str(out)}, "trackio": run}.get(name)
        # TensorBoard's files lie in a folder of the project's name.
        project, values = (name, None) if options is None else (_PROJECT, _flat(self._config))
        try:
            with _off_stdout():
                self._accelerator.init_trackers(
                    project, values, {} if options is None else {name: options}
                )
        except Exception as error:  # whatever a foreign package raises
            raise CaflowError(
                f"tracker {name} does not start: {_one_line(error)}", _HINTS[name], EXIT_USAGE
            ) from error
        if name == "wandb" and self._accelerator.is_main_process:
            make_folder(out)
            atomic_write(kept, own.encode())
        self._on = True

    def figures(self, figures: Mapping[str, Any], step: int) -> None:
        """Record the numbers among them."""
        numbers = {k: v for k, v in figures.items() if isinstance(v, int | float) and k != "step"}
        self._each(lambda tracker: tracker.log(numbers, step=step))

    def grid(self, picture: np.ndarray, step: int) -> None:
        """Record a grid of samples, uint8 (H, W, 3)."""

        def log(tracker: Any) -> None:
            if tracker.name == "trackio":  # of which accelerate knows no pictures
                import trackio

                tracker.log({"samples": trackio.Image(picture)}, step=step)
            elif tracker.name == "tensorboard":
                tracker.log_images({"samples": picture[None]}, step=step, dataformats="NHWC")
            else:
                tracker.log_images({"samples": [picture]}, step=step)

        self._each(log)

    def end(self) -> None:
        """End it, however the run ended. More than once is once."""

        def finish(tracker: Any) -> None:
            if tracker.name == "trackio" and self._accelerator.is_main_process:
                import trackio

                trackio.finish()  # else it prints to stdout as the process ends
            else:
                tracker.finish()

        self._each(finish)
        self._on = False

    def _each(self, use: Callable[[Any], None]) -> None:
        if not self._on:
            return
        try:
            with _off_stdout():
                for tracker in self._accelerator.trackers:
                    use(tracker)
        except Exception as error:  # whatever a foreign package raises
            self._on = False
            self.note(f"tracker {self._config.tracker} fails, and is left out: {_one_line(error)}")


@contextlib.contextmanager
def _off_stdout() -> Iterator[None]:
    """Send what a package prints to stderr: stdout has results alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


def _flat(config: RunConfig) -> dict[str, Any]:
    """The config in one level, without what only this machine knows."""
    flat: dict[str, Any] = {}
    for key, value in config.to_dict().items():
        if isinstance(value, dict):
            flat |= {f"{key}.{name}": _plain(one) for name, one in value.items()}
        elif key not in ("out", "init_from", "perceptual_weights", "masks", "data"):
            flat[key] = _plain(value)
    return {**flat, "data": Path(config.data).name}


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def _one_line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]

"""The folder of a run: its lock, and the files that people open."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout
from torch import Tensor

from ..errors import EXIT_USAGE, CaflowError
from ..images import atomic_write, make_folder, remove_leftovers, write_png
from ..model import CAFlow
from ..sampling import Sampling
from .config import RunConfig, to_toml
from .curve import draw_curve
from .dataset import CACHE
from .events import METRICS, read_events
from .samples import sample_grid

__all__ = ["RunFolder"]

_GRID_IMAGES, _GRID_CANDIDATES = 6, 4


class RunFolder:
    """The files of a run. The main process writes each whole or not at all."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.state = path / "state"
        self._lock = FileLock(path / ".lock")

    def open(self, resume: bool) -> None:
        """Create the folder, and lock it until `close`.

        Raises:
            CaflowError: (exit 2) it holds a run already, is in use, or cannot be written to.
        """
        self._lock_out_others()
        # Behind the lock: another process may have made a whole run just before.
        try:
            self.check(resume)
        except CaflowError:
            self.close()
            raise
        self._remove_leftovers()

    def check(self, resume: bool) -> None:
        """Refuse a new run where there is one: CaflowError (exit 2). Nothing is written."""
        if not resume and self._holds_a_run():
            raise CaflowError(
                f"{str(self.path)!r} holds a run already",
                "add --resume, or choose another --out",
                EXIT_USAGE,
            )

    def _lock_out_others(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise CaflowError(
                f"another process is training in {str(self.path)!r}",
                "stop it, or choose another --out",
                EXIT_USAGE,
            ) from error
        except OSError as error:
            raise CaflowError(
                f"cannot write to {str(self.path)!r}: {error.strerror}",
                "choose another --out",
                EXIT_USAGE,
            ) from error

    def _holds_a_run(self) -> bool:
        """Whether there is a run that can go on: one with a state or a model."""
        return (self.path / METRICS).exists() and (
            any(self.state.glob("step-*")) or any(self.path.glob("*.safetensors"))
        )

    def _remove_leftovers(self) -> None:
        """Remove temporary files that a killed run left."""
        for folder in (self.path, self.path / "samples"):
            remove_leftovers(folder)
        for pattern in (".*.safetensors.*.tmp", f"{CACHE}/.*.tmp", "state/.step-*.tmp"):
            for left in self.path.glob(pattern):
                if left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)
                else:
                    left.unlink(missing_ok=True)

    def starts_again(self, save_every: int) -> bool:
        """Whether the run was killed before its first state, so that it must start again."""
        if any(self.state.glob("step-*")):
            return False
        events = read_events(self.path)
        # Where a state was written and is gone, its models are all that is left of a run.
        return all(e["event"] != "end" and e["step"] <= save_every for e in events)

    def close(self) -> None:
        """Unlock the folder. A run that never began leaves nothing behind."""
        if not self._lock.is_locked:
            return
        began = (self.path / METRICS).exists()
        with contextlib.suppress(OSError):
            if not began:
                # While the lock is held: once it is released, the file may be another run's.
                (self.path / ".lock").unlink()
        self._lock.release()
        with contextlib.suppress(OSError):
            if not began:
                self.path.rmdir()  # only if empty

    def begin(self, config: RunConfig) -> None:
        atomic_write(self.path / "config.toml", to_toml(config).encode())

    def end(self) -> None:
        shutil.rmtree(self.path / CACHE, ignore_errors=True)

    def save_model(self, name: str, model: CAFlow, record: dict[str, Any]) -> None:
        model.save(self.path / f"{name}.safetensors", record)

    def draw_samples(
        self, step: int, model: CAFlow, targets: Tensor, conditions: Tensor
    ) -> np.ndarray:
        """Write a grid of the first pictures: condition, candidates by rank, truth; return it."""
        make_folder(self.path / "samples")
        few = targets[:_GRID_IMAGES], conditions[:_GRID_IMAGES]
        tau = Sampling().of(model.config).temperature
        grid = sample_grid(model, *few, tau, _GRID_CANDIDATES)
        write_png(self.path / "samples" / f"step-{step:08d}.png", grid)
        return grid

    def draw_curve(self) -> None:
        write_png(self.path / "curve.png", draw_curve(read_events(self.path)))

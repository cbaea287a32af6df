"""The time and memory that large pictures will take, said before the work and by `--dry-run`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from ..errors import EXIT_FAILED, CaflowError
from .picture_progress import duration

if TYPE_CHECKING:
    from ..config import Config
    from ..inference.estimate import Estimate
    from ..sampling import Sampling
    from ..tasks import Picture
    from .output_size import OutputSize
    from .plan import Job, Plan

__all__ = ["Planned", "estimate_fields", "estimate_text", "is_large"]

_LARGE = 2_000_000  # pixels, read or drawn, above which an estimate is worth its time
_ENLARGED = 64  # times as many pixels as are read: no model draws more


def is_large(read: tuple[int, int], drawn: tuple[int, int]) -> bool:
    """Whether a picture is said the estimate of: heights and widths, as read and as drawn."""
    return max(height * width for height, width in (read, drawn)) > _LARGE


def estimate_text(work: Estimate, seconds: float) -> str:
    """A text for people: `the model draws 96x64 pixels, 1 candidate: about 6 s and 0.5 GB`."""
    windows = f"{work.windows} windows of " if work.windows > 1 else ""
    what = f"the model draws {windows}{'x'.join(map(str, work.drawn))} pixels"
    if work.tiles > 1:
        what = f"{what} in {work.tiles} tiles"
    candidates = "1 candidate" if work.candidates == 1 else f"{work.candidates} candidates"
    return f"{what}, {candidates}: about {duration(seconds)} and {work.memory / 1e9:.1f} GB"


def estimate_fields(work: Estimate) -> Mapping[str, object]:
    """The estimate of `--dry-run`, as JSON states it."""
    return {
        "drawn": work.drawn,
        "tiles": work.tiles,
        "windows": work.windows,
        "candidates": work.candidates,
        "seconds": round(work.seconds(), 1),
        "memory_gb": round(work.memory / 1e9, 2),
    }


class _Holed(NamedTuple):
    """A picture, uint8 (H, W, 3), and its mask, uint8 (H, W)."""

    image: Picture
    mask: Picture | None


class _Known(NamedTuple):
    """The arguments of `estimate`."""

    config: Config
    image: tuple[int, int]
    size: tuple[int, int]
    windows: int
    sampling: Sampling


@dataclass(frozen=True)
class Planned:
    """The estimates of jobs whose model is not loaded, by the constant rate of one core.

    Args:
        planned: The jobs.
        name: Of the model; None: it is not known.
        sampling: As typed.
        size: Of what is written; None: as drawn.
    """

    planned: Plan
    name: str | None
    sampling: Sampling
    size: OutputSize | None = None

    def of(self, job: Job) -> tuple[Estimate | None, str | None]:
        """The estimate for a large picture, and what will not come out of a hole, for people.

        None of both for stdin, and where the model is not on this machine; no estimate for a small
        picture. Only pictures with a hole are decoded, once, with their masks.

        Raises:
            CaflowError: (exit 1) the model would draw too many pixels, the mask does not fit, or
                the picture is as large already as it would be written.
        """
        read = self._stored_size(job)
        self._check_fit(job, read)
        hole = self._read_hole(job)
        return self._estimate(job, read, hole), None if hole is None else self._note(*hole)

    def _estimate(
        self, job: Job, read: tuple[int, int] | None, hole: _Holed | None
    ) -> Estimate | None:
        known = self._known(read, hole)
        if known is None:
            return None
        from ..inference.estimate import estimate

        try:
            return estimate(*known)
        except CaflowError as error:
            message = f"{job.name}: {error.message}"
            raise CaflowError(message, error.hint, EXIT_FAILED) from error

    def check_scale(self) -> None:
        """CaflowError (exit 2) for a size that the model cannot reach, if it is on this machine."""
        if self.size is None:
            return
        try:
            factor = self._config.task.factor
        except CaflowError:  # the work itself will say why
            return
        self.size.check(factor)

    def _check_fit(self, job: Job, read: tuple[int, int] | None) -> None:
        if self.size is not None and read is not None:
            try:
                self.size.scale_of(read)
            except CaflowError as error:
                raise CaflowError(f"{job.name}: {error.message}", error.hint) from error

    def _note(self, image: Picture, mask: Picture | None) -> str | None:
        from ..tasks.picture_notes import picture_note

        try:
            return picture_note(self._config.task, image, mask)
        except CaflowError:  # the model is not here
            return None

    def _read_hole(self, job: Job) -> _Holed | None:
        """The picture and the mask of a job; None: it has no mask, or is stdin, read once.

        Raises:
            CaflowError: (exit 1) one cannot be read, or they do not fit each other.
        """
        from ..tasks import Inpaint

        named = [job.source] if self.planned.fills_alpha else [job.source, job.mask]
        if job.skipped or any(one is None or one.path is None or one.problem for one in named):
            return None
        try:
            picture = self.planned.read(job)
            mask = self.planned.read_mask(job, picture)
            Inpaint().hole(picture.rgb, mask)
        except CaflowError as error:
            raise CaflowError(error.message, error.hint, EXIT_FAILED) from error
        return _Holed(picture.rgb, mask)

    def _known(self, read: tuple[int, int] | None, hole: _Holed | None) -> _Known | None:
        """The arguments of `estimate`, for a large picture."""
        if self.name is None or read is None or read[0] * read[1] * _ENLARGED <= _LARGE:
            return None
        try:
            return self._known_of(read, hole)
        except CaflowError:  # the work itself will say why
            return None

    def _stored_size(self, job: Job) -> tuple[int, int] | None:
        """Height and width by the header; None for stdin, and for what is not read."""
        from ..images import stored_size

        path = job.source.path
        if path is None or job.source.problem is not None or job.skipped:
            return None
        try:
            return stored_size(path.read_bytes(), job.name)
        except (OSError, CaflowError):  # the work itself will say why
            return None

    def _known_of(self, read: tuple[int, int], hole: _Holed | None) -> _Known | None:
        import numpy as np

        from ..tasks import get_task

        config = self._config
        task, sampling = get_task(config), self.sampling.of(config)
        image = np.broadcast_to(np.uint8(0), (*read, 3))  # of that size, and of no memory
        if not is_large(read, task.model_size(image)):
            return None
        windows = 1
        if task.needs_mask:
            if hole is None:  # on stdin
                return None
            windows = len(task.parts(*hole))
        return _Known(config, read, task.model_size(image), windows, sampling)

    @cached_property
    def _config(self) -> Config:
        """That of the model. CaflowError if it is not on this machine."""
        from ..checkpoint import read_info
        from ..hub.resolve import resolve

        if self.name is None:
            raise CaflowError("no model is known", "--model ID")
        return read_info(resolve(self.name, local=True).path).config

"""The problem that a task derives from a true picture: an input and a baseline."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..config import TaskConfig
from ..data import Reader
from ..data.sets import check_one_size
from ..errors import CaflowError
from ..tasks import Colorize, Inpaint, Paired, Picture, SuperRes, Task
from ..tasks.base import grey, resize
from ..tasks.holes import central_hole

__all__ = ["BASELINES", "Problem", "inconsistency", "pose", "pose_at", "seam", "side_of"]

BASELINES = {
    "superres": "bicubic",
    "colorize": "grey copy",
    "inpaint": "mean fill",
    "paired": "another target",
}


@dataclass(frozen=True, eq=False)
class Problem:
    """An input for a task, with its true result and a baseline."""

    index: int  # r: candidate k draws from seed S + 1,000,003 r + k
    name: str
    input: Picture  # what a user would have
    mask: Picture | None
    truth: Picture
    baseline: Picture | None  # what can be had without a model

    @property
    def hole(self) -> np.ndarray | None:
        """The hole, bool (H, W), true where the picture is to be filled."""
        return None if self.mask is None else self.mask >= 128


def pose(
    task: Task, pictures: Sequence[Picture], index: int, name: str, other: Picture | None = None
) -> Problem:
    """Derive the problem from one example of a data set.

    For superres, the input is shrunk by Pillow BICUBIC, and the baseline enlarges it again. For
    colorize, the input is Pillow's grey, and so is the baseline. For inpaint, the central 25 % is
    masked, and the baseline fills it with the mean colour of the rest. For paired, the set holds
    the input, and the baseline is a real picture that belongs to another input: what looks right
    and says nothing about this one.

    Args:
        pictures: The truth, or condition and truth of a pair; uint8 (H, W, 3).
        other: The truth of another pair; None: there is none, and no baseline. Resized by Pillow
            BICUBIC if it differs in size.

    Raises:
        CaflowError: (exit 1) the task takes a pair as it is, and its pictures differ in size.
    """
    truth = pictures[-1]
    mask: Picture | None = None
    baseline: Picture | None = None
    if isinstance(task, SuperRes):
        given = task.degrade(truth)
        height, width = truth.shape[:2]
        baseline = task.condition(given)[:height, :width]
    elif isinstance(task, Colorize):
        given = np.repeat(grey(truth)[..., None], 3, axis=2)
        baseline = given
    elif isinstance(task, Inpaint):
        hole = central_hole(*truth.shape[:2])
        mask = np.where(hole, np.uint8(255), np.uint8(0))
        given = np.where(hole[..., None], np.uint8(128), truth)
        fill = np.rint(truth[~hole].mean(0)).astype(np.uint8)
        baseline = np.where(hole[..., None], fill, truth)
    elif isinstance(task, Paired):
        given = pictures[0]
        if task.native:  # no reader has brought both to one size
            check_one_size([(given.shape[0], given.shape[1]), truth.shape[:2]], name)
        if other is not None:
            height, width = truth.shape[:2]
            baseline = other if other.shape == truth.shape else resize(other, height, width)
    else:
        raise CaflowError(f"no evaluation of {task.name}", "--task superres")
    return Problem(index, name, given, mask, truth, baseline)


def pose_at(task: Task, reader: Reader, index: int) -> Problem:
    """Pose the problem of an example of a set, whatever others of it are measured.

    Raises:
        CaflowError: It cannot be read.
    """
    pictures, name = reader.read(index), reader.names[index]
    other: Picture | None = None
    count = len(reader.names)
    if isinstance(task, Paired) and count > 1:
        with contextlib.suppress(CaflowError):  # a failure of the next pair, not of this one
            other = reader.read((index + 1) % count)[-1]
    return pose(task, pictures, index, name, other)


def side_of(task: TaskConfig) -> int | None:
    """The side to which pictures of a set are brought; None: a model takes them as they are."""
    return None if task.native else task.size


def inconsistency(task: Task, problem: Problem, candidate: Picture) -> float | None:
    """The RMSE, in levels, between the input and the input recomputed from a candidate.

    None for paired, whose input cannot be recomputed.
    """
    if isinstance(task, SuperRes):
        found, given = task.degrade(candidate), problem.input
    elif isinstance(task, Colorize):
        found, given = grey(candidate), grey(problem.input)
    elif problem.hole is not None:
        found, given = candidate[~problem.hole], problem.input[~problem.hole]
    else:
        return None
    return float(np.sqrt(np.mean(np.square(found.astype(np.float64) - given))))


def seam(problem: Problem, candidate: Picture) -> float | None:
    """The step across the hole's border, divided by the same step in the truth.

    The step is the mean of |p - q| over channels and over the pairs p, q of neighbouring pixels of
    which one is in the hole. 1 is like the truth; above 1 an edge is visible; below 1 the border is
    blurred. None without a hole, or if the truth has no step.
    """
    if problem.hole is None:
        return None
    truth = _step(problem.truth, problem.hole)
    return _step(candidate, problem.hole) / truth if truth > 0 else None


def _step(picture: Picture, hole: np.ndarray) -> float:
    values = picture.astype(np.float64)
    across = [np.abs(np.diff(values, axis=axis))[np.diff(hole, axis=axis)] for axis in (0, 1)]
    steps = np.concatenate(across)
    return float(steps.mean()) if steps.size else 0.0

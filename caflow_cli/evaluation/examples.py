"""Inputs derived from true images, and baselines to compare with."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..config import TaskConfig
from ..data.examples import Examples, check_one_size
from ..errors import EXIT_WEIGHTS, CaflowError
from ..tasks import Colorize, Inpaint, Paired, Pixels, SuperRes, Task
from ..tasks.base import grey, resize
from ..tasks.holes import central_hole

__all__ = [
    "Example",
    "check_baselines",
    "damage",
    "inconsistency",
    "make_example",
    "mask_index",
    "restore_simply",
    "seam",
    "side_of",
]

_FILLS = {"telea": "INPAINT_TELEA", "navier-stokes": "INPAINT_NS"}  # of `cv2.inpaint`
_RADIUS = 3  # pixels around each that a fill reads, as in OpenCV's own examples
_WHITE = 128  # a mask's values from here up are the hole


@dataclass(frozen=True, eq=False)
class Example:
    """An input for a task, with its true result."""

    index: int  # r: candidate k draws from seed S + 1,000,003 r + k
    name: str
    input: Pixels  # what a user would have
    mask: Pixels | None
    truth: Pixels
    other: Pixels | None = None  # of a paired task: a real image that belongs to another input

    @property
    def hole(self) -> npt.NDArray[np.bool_] | None:
        """The hole, bool (H, W), true where the image is to be filled."""
        return None if self.mask is None else self.mask >= _WHITE


def make_example(
    task: Task,
    reader: Examples,
    index: int,
    mask_of: Callable[[int, int], Pixels] | None = None,
) -> Example:
    """Derive the example of an image of a set, whatever others of it are measured.

    For superres, the input is shrunk by Pillow BICUBIC; a side that is no multiple of the factor is
    cut first. For colorize, the input is Pillow's grey. For inpaint, the central 25 % is masked.
    For paired, the set holds the input.

    Args:
        task: The model's.
        reader: The set.
        index: The image's place in the set.
        mask_of: For inpaint: makes the mask for an image of that height and width.

    Raises:
        CaflowError: (exit 1) it cannot be read; it is too small; or the task takes a pair as it is,
            and its images differ in size.
    """
    images, name = reader.read(index), reader.names[index]
    truth = images[-1]
    height, width = truth.shape[:2]
    if isinstance(task, SuperRes):
        height, width = height // task.factor, width // task.factor
        if not height * width:
            raise CaflowError(
                f"{name!r} is smaller than {task.factor}x{task.factor}", "leave it out of --data"
            )
        truth = np.ascontiguousarray(truth[: task.factor * height, : task.factor * width])
        return Example(index, name, resize(truth, height, width), None, truth)
    if isinstance(task, Colorize):
        return Example(index, name, np.repeat(grey(truth)[..., None], 3, axis=2), None, truth)
    if isinstance(task, Inpaint):
        mask = np.where(central_hole(height, width), np.uint8(255), np.uint8(0))
        if mask_of is not None:
            mask = mask_of(height, width)
        given = np.where((mask >= _WHITE)[..., None], np.uint8(128), truth)
        return Example(index, name, given, mask, truth)
    assert isinstance(task, Paired)
    if task.native:  # no reader has brought both to one size
        check_one_size([(images[0].shape[0], images[0].shape[1]), truth.shape[:2]], name)
    other, count = None, len(reader.names)
    if count > 1:
        with contextlib.suppress(CaflowError):  # a failure of the next pair, not of this one
            other = reader.read((index + 1) % count)[-1]
    return Example(index, name, images[0], None, truth, other)


def side_of(task: TaskConfig) -> int | None:
    """The side to which images of a set are brought; None: a model takes them as they are."""
    return None if task.native else task.size


def restore_simply(baseline: str, example: Example) -> Pixels | None:
    """The result of a baseline for an input. None: there is no other pair.

    `bicubic` enlarges, `grey copy` is the input, `mean fill` fills the hole with the mean colour of
    the rest, `telea` and `navier-stokes` by OpenCV. `mismatched target` is a real image of another
    input, resized to this size: it looks right, and tells nothing of this one.
    """
    height, width = example.truth.shape[:2]
    if baseline == "bicubic":
        return resize(example.input, height, width)
    if baseline == "grey copy":
        return example.input
    if baseline == "mismatched target":
        other = example.other
        if other is None or other.shape == example.truth.shape:
            return other
        return resize(other, height, width)
    hole = example.hole
    assert hole is not None
    if baseline == "mean fill":
        filled: Any = np.rint(example.input[~hole].mean(0)).astype(np.uint8)
    else:
        cv2 = _opencv()
        method = getattr(cv2, _FILLS[baseline])
        mask = np.where(hole, np.uint8(255), np.uint8(0))
        filled = cv2.inpaint(np.ascontiguousarray(example.input), mask, _RADIUS, method)
    return np.where(hole[..., None], filled, example.input)


def check_baselines(names: Sequence[str]) -> None:
    """CaflowError (exit 3) if baselines need OpenCV, and it is not installed."""
    if set(names) & set(_FILLS):
        _opencv()


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise CaflowError(
            f"{' and '.join(_FILLS)} are OpenCV's, which is not installed",
            "pip install 'caflow-cli[classical]'",
            EXIT_WEIGHTS,
        ) from error
    return cv2


def mask_index(image: int, images: int, masks: int) -> int:
    """The place of an image's mask, both in order of name.

    Masks are spread evenly over all images of the set, whatever part of it is measured. If there
    are fewer masks than images, they are used again.

    Examples:
        >>> from caflow_cli.evaluation.examples import mask_index
        >>> [mask_index(k, 4, 4) for k in range(4)], [mask_index(k, 4, 9) for k in range(4)]
        ([0, 1, 2, 3], [0, 2, 4, 6])
    """
    return image * masks // images if masks > images else image % masks


def damage(mask: Pixels, height: int, width: int, seed: int, index: int) -> Pixels:
    """Tile a mask and cut a part of it out: uint8 (height, width), 255 in the holes, else 0.

    The corner of the part follows from `seed` and `index` by SHA-256, so that no library's
    generator can change it. If nothing in the part is white, the mask's first white pixel is
    brought to its middle.

    Args:
        mask: uint8 (H, W) or (H, W, 3), 128 and up where a hole is.
        height, width: The image's.
        seed: The evaluation's.
        index: The image's place in the set.

    Raises:
        CaflowError: Nothing in the mask is white.
    """
    white = mask.reshape(*mask.shape[:2], -1)[..., 0] >= _WHITE
    if not white.any():
        raise CaflowError("a mask is empty: nothing in it is white", "remove it from --masks")

    def cut(top: int, left: int) -> npt.NDArray[np.bool_]:
        rows = (top % white.shape[0] + np.arange(height)) % white.shape[0]
        columns = (left % white.shape[1] + np.arange(width)) % white.shape[1]
        return white[np.ix_(rows, columns)]

    digest = hashlib.sha256(f"{seed}:{index}".encode()).digest()
    part = cut(int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:16], "big"))
    if not part.any():
        row, column = (int(line[0]) for line in np.nonzero(white))
        part = cut(row - height // 2, column - width // 2)
    return np.where(part, np.uint8(255), np.uint8(0))


def inconsistency(task: Task, example: Example, candidate: Pixels) -> float | None:
    """The RMSE, in levels, between the input and the input recomputed from a candidate.

    None for paired, whose input cannot be recomputed.
    """
    if isinstance(task, SuperRes):
        found, given = task.degrade(candidate), example.input
    elif isinstance(task, Colorize):
        found, given = grey(candidate), grey(example.input)
    elif example.hole is not None:
        found, given = candidate[~example.hole], example.input[~example.hole]
    else:
        return None
    return float(np.sqrt(np.mean(np.square(found.astype(np.float64) - given))))


def seam(example: Example, candidate: Pixels) -> float | None:
    """The step across the hole's border, divided by the same step in the truth.

    The step is the mean of |p - q| over channels and over the pairs p, q of neighbouring pixels of
    which one is in the hole. 1 is like the truth; above 1 an edge is visible; below 1 the border is
    blurred. None without a hole, or if the truth has no step.
    """
    hole = example.hole
    if hole is None:
        return None

    def step(image: Pixels) -> float:
        values = image.astype(np.float64)
        across = [np.abs(np.diff(values, axis=axis))[np.diff(hole, axis=axis)] for axis in (0, 1)]
        steps = np.concatenate(across)
        return float(steps.mean()) if steps.size else 0.0

    truth = step(example.truth)
    return step(candidate) / truth if truth > 0 else None

"""The problems of the benchmarks, from whole pictures, and what can be had without a model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..config import FILLS
from ..errors import CaflowError
from ..tasks import Picture
from ..tasks.base import grey, resize
from ..tasks.classical import fill
from ..tasks.holes import central_hole
from .benchmarks import FACTOR, Benchmark
from .problems import Problem

__all__ = ["baseline", "pose_whole"]


def pose_whole(
    benchmark: Benchmark, truth: Picture, index: int, name: str, mask: Picture | None = None
) -> Problem:
    """Derive the input of a benchmark from a true picture, at the picture's own size.

    Args:
        truth: uint8 (H, W, 3). For superres, its right and bottom edges are cut to multiples of 4.
        mask: For damage: uint8 (H, W), white in the holes. Default for inpaint: the central 25 %.

    Raises:
        CaflowError: The picture is too small.
    """
    height, width = truth.shape[:2]
    if benchmark.task == "superres":
        height, width = height // FACTOR, width // FACTOR
        if not height * width:
            raise CaflowError(
                f"{name!r} is smaller than {FACTOR}x{FACTOR}", "leave it out of --data"
            )
        truth = np.ascontiguousarray(truth[: FACTOR * height, : FACTOR * width])
        return Problem(index, name, resize(truth, height, width), None, truth, None)
    if benchmark.task == "colorize":
        return Problem(index, name, np.repeat(grey(truth)[..., None], 3, 2), None, truth, None)
    if mask is None:
        mask = np.where(central_hole(height, width), np.uint8(255), np.uint8(0))
    hole = (mask >= 128)[..., None]
    return Problem(index, name, np.where(hole, np.uint8(128), truth), mask, truth, None)


def baseline(name: str, problem: Problem) -> Picture:
    """Restore a picture without a model: by enlarging, by its grey, or by filling its hole."""
    return _BASELINES[name](problem)


def _bicubic(problem: Problem) -> Picture:
    return resize(problem.input, *problem.truth.shape[:2])


def _grey_copy(problem: Problem) -> Picture:
    return problem.input


def _mean_fill(problem: Problem) -> Picture:
    assert problem.hole is not None
    mean = np.rint(problem.input[~problem.hole].mean(0)).astype(np.uint8)
    return np.where(problem.hole[..., None], mean, problem.input)


def _classical(name: str) -> Callable[[Problem], Picture]:
    def filled(problem: Problem) -> Picture:
        assert problem.mask is not None
        return fill(name, problem.input, problem.mask)

    return filled


_BASELINES: dict[str, Callable[[Problem], Picture]] = {
    "bicubic": _bicubic,
    "grey copy": _grey_copy,
    "mean fill": _mean_fill,
    **{name: _classical(name) for name in FILLS},
}

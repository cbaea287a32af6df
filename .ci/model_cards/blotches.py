"""Blotches: chroma that varies where the luminance is even."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from caflow_cli.tasks import Picture

_SIDE = 8  # of a window
_STEP = 4  # from one window to the next
_EVEN = 4.0  # levels: the largest standard deviation of luminance in an even window
# BT.601: Y, Cb, Cr of red, green and blue.
_YCC = np.array([[0.299, 0.587, 0.114], [-0.168736, -0.331264, 0.5], [0.5, -0.418688, -0.081312]])


def blotches(pairs: Iterable[tuple[Picture, Picture]]) -> float | None:
    """The variance of chroma in even windows, relative to that of the truths.

    A window has 8x8 pixels, and is even where the luminance of the truth has a standard deviation
    of at most 4 levels in it. Its variance of chroma is var(Cb) + var(Cr). Windows of all pictures
    are pooled: sum over the candidates / sum over the truths. 1 is like the truth; far above 1
    there are patches of colour on walls.

    Args:
        pairs: Candidate and truth, uint8 (H, W, 3).

    Returns:
        None without an even window, or if the truths have no chroma there.
    """
    found = of_truth = 0.0
    for candidate, truth in pairs:
        even = _variances(truth)[..., 0] <= _EVEN**2
        found += float(_variances(candidate)[..., 1:][even].sum())
        of_truth += float(_variances(truth)[..., 1:][even].sum())
    return found / of_truth if of_truth else None


def _variances(picture: Picture) -> npt.NDArray[np.float64]:
    """Of Y, Cb, Cr in each window: (rows, columns, 3)."""
    channels = picture.astype(np.float64) @ _YCC.T
    windows = np.lib.stride_tricks.sliding_window_view(channels, (_SIDE, _SIDE), axis=(0, 1))
    result: npt.NDArray[np.float64] = windows[::_STEP, ::_STEP].var((-2, -1))
    return result

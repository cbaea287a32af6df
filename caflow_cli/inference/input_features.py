"""Measurements of an input before any work: sharpness, blocks, noise, ground, colour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..tasks import Picture

__all__ = ["FEATURES", "input_features"]

FEATURES = (
    "contrast",  # log of the deviation of the grey, in levels
    "brightness",  # mean of the grey, 0 to 1
    "edges",  # log of the mean difference of neighbours
    "detail",  # log of the mean Laplacian, by the mean difference: noise and aliasing raise it
    "diagonal",  # the same of the mixed second difference
    "noise",  # log of the median Laplacian: what there is on even ground
    "sparse",  # log of the mean by the median difference: few strong edges, as of drawings
    "even",  # share of neighbours that are equal
    "doubled",  # share of 2x2 squares of one value each, by their best of four phases
    "blocks",  # log of the mean difference across the borders of 8x8 blocks, by that within
    "colour",  # log of the mean distance from grey
    "colour_edges",  # log of the mean difference of chroma, by that of grey
    "side",  # log2 of the shorter side
)
_MOST = 256  # pixels of a side that are looked at, in the middle
_FLOOR = 0.05  # levels, below which a mean is as good as none
_BLOCK = 8  # of JPEG

_Floats = npt.NDArray[np.float64]


def input_features(image: Picture) -> _Floats:
    """Compute `FEATURES` of an input.

    Args:
        image: uint8 (H, W, 1 or 3). At most 256x256 pixels in its middle are looked at.

    Returns:
        float64 (13,).
    """
    side = min(image.shape[:2])
    top, left = (max(0, (length - _MOST) // 2) for length in image.shape[:2])
    part = image[top : top + _MOST, left : left + _MOST].astype(np.float64)
    grey = part.mean(2)
    chroma = part - grey[..., None]
    across, down = _differences(grey)
    edges = _mean([across, down])
    laplacian = np.abs(_laplacian(grey))
    mixed = np.abs(np.diff(np.diff(grey, axis=0), axis=1))
    steps = np.concatenate([across.ravel(), down.ravel()])
    coloured = _mean([one for k in range(part.shape[2]) for one in _differences(chroma[..., k])])
    values = (
        _log(grey.std()),
        grey.mean() / 255,
        _log(edges),
        _log(_mean([laplacian])) - _log(edges),
        _log(_mean([mixed])) - _log(edges),
        _log(float(np.median(laplacian)) if laplacian.size else 0.0),
        _log(edges) - _log(float(np.median(steps)) if steps.size else 0.0),
        float((steps == 0).mean()) if steps.size else 1.0,
        _doubled(grey),
        _blocks(across, 1) + _blocks(down, 0),
        _log(np.abs(chroma).mean()),
        _log(coloured) - _log(edges),
        np.log2(side),
    )
    return np.array(values, np.float64)


def _differences(grey: _Floats) -> tuple[_Floats, _Floats]:
    return np.abs(np.diff(grey, axis=1)), np.abs(np.diff(grey, axis=0))


def _laplacian(grey: _Floats) -> _Floats:
    middle = grey[1:-1, 1:-1]
    return 4 * middle - grey[:-2, 1:-1] - grey[2:, 1:-1] - grey[1:-1, :-2] - grey[1:-1, 2:]


def _doubled(grey: _Floats) -> float:
    """Pictures that were enlarged by the nearest pixel have many such squares in one phase."""
    shares = []
    for top in (0, 1):
        for left in (0, 1):
            part = grey[top:, left:]
            height, width = (length // 2 * 2 for length in part.shape)
            squares = part[:height, :width].reshape(height // 2, 2, width // 2, 2)
            spread = squares.max((1, 3)) - squares.min((1, 3)) if squares.size else np.ones(1)
            shares.append(float((spread == 0).mean()))
    return max(shares)


def _blocks(steps: _Floats, axis: int) -> float:
    """How much stronger steps are at every eighth place than elsewhere, at the best phase."""
    profile = steps.mean(1 - axis)
    if len(profile) < 2 * _BLOCK:
        return 0.0
    phases = np.array([profile[k::_BLOCK].mean() for k in range(_BLOCK)])
    best = int(phases.argmax())
    return _log(phases[best]) - _log(float(np.delete(phases, best).mean()))


def _mean(parts: list[_Floats]) -> float:
    values = np.concatenate([part.ravel() for part in parts])
    return float(values.mean()) if values.size else 0.0


def _log(value: float) -> float:
    return float(np.log(value + _FLOOR))

"""Fills of holes by OpenCV, to compare models with: deterministic, and without a likelihood."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..config import FILLS
from ..errors import EXIT_WEIGHTS, CaflowError
from .base import Picture

__all__ = ["RADIUS", "fill", "has_opencv", "opencv_version"]

RADIUS = 3  # pixels around each that are looked at, as in OpenCV's own examples
_WHITE = 128  # a mask's values from here up are the hole


def fill(name: str, image: Picture, mask: Picture) -> Picture:
    """Fill the hole of a picture, and keep all other pixels bit for bit.

    Args:
        name: One of `config.FILLS`.
        image: uint8 (H, W, 3).
        mask: uint8 (H, W), 128 and up where the picture is to be filled.

    Raises:
        CaflowError: OpenCV is not installed (exit 3), the mask has another size, or it leaves
            nothing to fill or nothing to fill from.
    """
    height, width = image.shape[:2]
    if mask.shape[:2] != (height, width):
        raise CaflowError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]}, the picture {width}x{height}",
            f"give a mask of {width}x{height}, white where the picture is to be filled",
        )
    hole = mask >= _WHITE
    if not hole.any():
        raise CaflowError(
            "the mask is empty: nothing in it is white",
            "paint what is to be filled white, all else black",
        )
    if hole.all():
        raise CaflowError(
            "the mask is white everywhere: nothing is known", "paint what is known black"
        )
    cv2 = _opencv()
    filled = cv2.inpaint(
        np.ascontiguousarray(image),
        np.where(hole, np.uint8(255), np.uint8(0)),
        RADIUS,
        getattr(cv2, FILLS[name]),
    )
    return np.where(hole[..., None], filled, image)


def opencv_version() -> str:
    """OpenCV's version. CaflowError (exit 3) if it is not installed."""
    return str(_opencv().__version__)


def has_opencv() -> bool:
    """Whether OpenCV is installed."""
    try:
        _opencv()
    except CaflowError:
        return False
    return True


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise CaflowError(
            f"{' and '.join(FILLS)} are OpenCV's, which is not installed",
            "pip install 'caflow-cli[classical]'",
            EXIT_WEIGHTS,
        ) from error
    return cv2

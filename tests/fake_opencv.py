"""A module in OpenCV's place, for tests of everything around it: holes become gray."""

from __future__ import annotations

import types

import numpy as np

LEVELS = {1: 100, 0: 140}  # by the constant of the method


def fake_opencv() -> types.ModuleType:
    module = types.ModuleType("cv2")
    module.__version__ = "0.fake"
    module.INPAINT_TELEA, module.INPAINT_NS = 1, 0

    def inpaint(image: np.ndarray, mask: np.ndarray, radius: float, method: int) -> np.ndarray:
        assert image.dtype == mask.dtype == np.uint8
        assert image.flags.c_contiguous
        assert set(np.unique(mask)) <= {0, 255}
        assert radius == 3
        return np.where((mask > 0)[..., None], np.uint8(LEVELS[method]), image)

    module.inpaint = inpaint
    return module

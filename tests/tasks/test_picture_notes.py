"""Notes about a picture before the work."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_masks import box

from caflow_cli.config import TaskConfig
from caflow_cli.tasks.picture_notes import picture_note

GREY = np.full((120, 120, 3), 90, np.uint8)


def mask(side: int) -> np.ndarray:
    return np.where(box(120, 120, 20, 20, side, side), np.uint8(255), np.uint8(0))


def test_colours_that_are_dropped_are_said():
    red = GREY.copy()
    red[:20, :, 0] = 200
    toned = GREY + np.array([12, 0, 0], np.uint8)
    task = TaskConfig("colorize")
    assert "colours are dropped" in picture_note(task, red, None)
    assert picture_note(task, toned, None) is None
    assert picture_note(TaskConfig("superres"), red, None) is None


@pytest.mark.parametrize(("rim", "side", "said"), [(24, 33, True), (24, 32, False), (0, 60, False)])
def test_a_hole_too_wide_for_detail_is_said(rim, side, said):
    note = picture_note(TaskConfig("inpaint", rim=rim), GREY, mask(side))
    assert (note is not None and "expect a blur" in note) == said

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from caflow_cli.config import FILLS
from caflow_cli.errors import CaflowError
from caflow_cli.tasks.classical import fill, has_opencv, opencv_version

RAMP = np.add.outer(np.arange(24) * 3, np.arange(32) * 4)[..., None] + np.array([0, 30, 60])
RAMP = RAMP.clip(0, 255).astype(np.uint8)
HOLE = np.zeros((24, 32), np.uint8)
HOLE[8:14, 10:20] = 255


def test_each_fill_is_opencvs_and_keeps_what_is_known(opencv_in_name):
    for name, level in (("telea", 100), ("navier-stokes", 140)):
        grey = HOLE // 255 * 200  # from 128 up is white
        found = fill(name, RAMP[::-1], grey[::-1])  # of a view with negative strides
        expected = np.where(HOLE[..., None] > 0, np.uint8(level), RAMP)
        assert np.array_equal(found[::-1], expected)
    assert opencv_version() == "0.fake"
    assert has_opencv()


@pytest.mark.parametrize("name", FILLS)
def test_a_ramp_is_continued(name):
    pytest.importorskip("cv2")
    found = fill(name, RAMP, HOLE)
    hole = HOLE > 0
    assert np.array_equal(found[~hole], RAMP[~hole])
    error = np.abs(found.astype(int) - RAMP)[hole].mean()
    mean = np.abs(RAMP[~hole].mean(0) - RAMP[hole]).mean()
    assert error < mean / 2
    assert np.array_equal(found, fill(name, RAMP, HOLE))


def test_masks_that_leave_nothing_to_do_are_refused(opencv_in_name):
    for mask, message in (
        (HOLE[:, :9], "the mask is 9x24, the picture 32x24"),
        (np.full_like(HOLE, 127), "empty"),
        (np.full_like(HOLE, 128), "white everywhere"),
    ):
        with pytest.raises(CaflowError, match=message):
            fill("telea", RAMP, mask)


def test_without_opencv_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    assert not has_opencv()
    with pytest.raises(CaflowError, match="not installed") as caught:
        fill("telea", RAMP, HOLE)
    assert caught.value.hint == "pip install 'caflow-cli[classical]'"
    assert caught.value.exit_code == 3


def test_the_extra_is_there():
    project = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    assert 'classical = ["opencv-python-headless' in project

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.benchmarks import BENCHMARKS, CENTRE
from caflow_cli.evaluation.whole_pictures import baseline, pose_whole

PICTURE = np.random.default_rng(0).integers(0, 256, (30, 45, 3), np.uint8)


def test_sr4_cuts_to_multiples_of_four_and_shrinks_with_antialiasing():
    problem = pose_whole(BENCHMARKS["sr4"], PICTURE, 3, "x")
    assert np.array_equal(problem.truth, PICTURE[:28, :44])
    image = Image.fromarray(PICTURE[:28, :44]).resize((11, 7), Image.Resampling.BICUBIC)
    assert np.array_equal(problem.input, np.asarray(image))
    enlarged = image.resize((44, 28), Image.Resampling.BICUBIC)
    assert np.array_equal(baseline("bicubic", problem), np.asarray(enlarged))
    assert (problem.index, problem.name, problem.mask) == (3, "x", None)
    with pytest.raises(CaflowError, match="'x' is smaller than 4x4"):
        pose_whole(BENCHMARKS["sr4"], PICTURE[:3], 0, "x")


def test_colour_is_taken_away_as_pillow_does():
    problem = pose_whole(BENCHMARKS["colour"], PICTURE, 0, "x")
    grey = np.asarray(Image.fromarray(PICTURE).convert("L"))
    assert (problem.input == grey[..., None]).all()
    assert np.array_equal(baseline("grey copy", problem), problem.input)
    assert np.array_equal(problem.truth, PICTURE)


def test_a_hole_shows_nothing_of_the_truth(opencv_in_name):
    mask = np.zeros((30, 45), np.uint8)
    mask[3:9, 20:22] = 255
    problem = pose_whole(BENCHMARKS["repair"], PICTURE, 0, "x", mask)
    hole = mask > 0
    assert (problem.input[hole] == 128).all()
    assert np.array_equal(problem.input[~hole], PICTURE[~hole])
    assert (baseline("telea", problem)[hole] == 100).all()
    assert (baseline("navier-stokes", problem)[hole] == 140).all()


def test_without_a_mask_the_central_quarter_is_the_hole():
    problem = pose_whole(CENTRE, PICTURE, 0, "x")
    assert problem.hole.mean() == pytest.approx(0.25, abs=0.02)
    filled = baseline("mean fill", problem)
    mean = np.rint(PICTURE[~problem.hole].mean(0))
    assert (filled[problem.hole] == mean).all()
    assert np.array_equal(filled[~problem.hole], PICTURE[~problem.hole])

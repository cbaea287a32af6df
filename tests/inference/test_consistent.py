"""Back-projection: what comes out shrinks to what went in."""

from __future__ import annotations

import os
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli import load
from caflow_cli.assets import example_path
from caflow_cli.flows import to_uint8
from caflow_cli.images import read_image
from caflow_cli.inference.consistent import back_project, consistency
from caflow_cli.inference.score import to_batch
from caflow_cli.tasks import SuperRes

TASK = SuperRes(4)


def drawn(pictures: list[np.ndarray], tau: float) -> np.ndarray:
    model = load("faces-superres-x4")
    conditions = to_batch([TASK.condition(picture) for picture in pictures])
    points = model.sample(conditions, tau, 1, seed=range(len(pictures)))[:, 0]
    return to_uint8(points).permute(0, 2, 3, 1).contiguous().numpy()


def test_a_draw_of_a_face_becomes_consistent_and_stays_near():
    face = read_image(example_path("face"))
    before = drawn([face], 0.9)[0]
    after = back_project(face, before, TASK)
    assert consistency(face, before, TASK) > 3
    assert consistency(face, after, TASK) <= 1
    reduced = np.array(Image.fromarray(after).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.abs(reduced.astype(int) - face).max() <= 1
    assert 0 < np.abs(after.astype(float) - before).mean() < 4
    assert np.array_equal(back_project(face, after, TASK), after)


def test_where_no_picture_is_consistent_the_nearest_is_returned():
    """Bicubic reduction overshoots at edges; a checkerboard of 0 and 255 asks for more than RGB."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 255
    grey = np.full((32, 32, 3), 128, np.uint8)
    nearest = back_project(image, grey, TASK)
    assert 1 < consistency(image, nearest, TASK) < consistency(image, grey, TASK)


@pytest.mark.skipif("CAFLOW_TEST_DATA" not in os.environ, reason="CAFLOW_TEST_DATA is not set")
def test_every_fourth_test_face_becomes_consistent():
    with zipfile.ZipFile(Path(os.environ["CAFLOW_TEST_DATA"]) / "faces64.zip") as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("test/"))[::4]
        faces = [read_image(BytesIO(archive.read(name)), name=name) for name in names]
    assert len(faces) == 25
    reduced = [TASK.degrade(face) for face in faces]
    worst = [
        consistency(image, back_project(image, draw, TASK), TASK)
        for image, draw in zip(reduced, drawn(reduced, 0.8), strict=True)
    ]
    assert max(worst) <= 1

"""What is measured of an input before any work."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.images import read_image
from caflow_cli.inference.input_features import FEATURES, input_features

ROOM = read_image(example_path("room_64"))


def measured(image: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURES, input_features(image), strict=True))


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 9, 3), (2, 2, 1), (5, 300, 3), (400, 17, 1)])
def test_pictures_of_any_size_have_finite_features(shape):
    for image in (np.zeros(shape, np.uint8), np.random.default_rng(0).integers(0, 256, shape)):
        values = input_features(image.astype(np.uint8))
        assert values.shape == (len(FEATURES),)
        assert np.isfinite(values).all()


def test_noise_is_seen_as_detail():
    noisy = ROOM + np.random.default_rng(0).normal(0, 12, ROOM.shape)
    before, after = measured(ROOM), measured(noisy.round().clip(0, 255).astype(np.uint8))
    assert after["detail"] > before["detail"] + 0.05
    assert after["noise"] > before["noise"] + 0.5


def test_blurring_takes_edges_and_detail():
    blurred = np.asarray(Image.fromarray(ROOM).resize((16, 16)).resize((64, 64)))
    before, after = measured(ROOM), measured(blurred)
    assert after["edges"] < before["edges"] - 0.2
    assert after["detail"] < before["detail"] - 0.5


@pytest.mark.parametrize("corner", [0, 3])
def test_blocks_of_jpeg_are_seen_wherever_they_begin(corner):
    stream = io.BytesIO()
    Image.fromarray(ROOM).save(stream, "JPEG", quality=15)
    compressed = np.asarray(Image.open(stream))[corner:, corner:]
    assert measured(compressed)["blocks"] > measured(ROOM[corner:, corner:])["blocks"] + 0.5


def test_doubled_pixels_are_seen_in_either_phase():
    doubled = ROOM.repeat(2, 0).repeat(2, 1)
    for first in (0, 1):
        assert measured(doubled[first:, first:])["doubled"] == 1
    assert measured(ROOM)["doubled"] < 0.3


def test_a_drawing_is_even_and_has_few_strong_edges():
    streets = measured(read_image(example_path("map")))
    assert streets["even"] > 0.5 > measured(ROOM)["even"]
    assert streets["sparse"] > measured(ROOM)["sparse"]


def test_only_the_middle_of_a_large_picture_counts():
    large = np.zeros((600, 500, 3), np.uint8)
    large[172:428, 122:378] = ROOM.repeat(4, 0).repeat(4, 1)
    inner = measured(large[172:428, 122:378])
    outer = measured(large)
    assert {name: outer[name] for name in FEATURES[:-1]} == {n: inner[n] for n in FEATURES[:-1]}
    assert outer["side"] == np.log2(500)

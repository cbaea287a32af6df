"""Estimates of large pictures."""

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.inference.estimate import estimate, measured_rate
from caflow_cli.inference.tiling import plan_tiles
from caflow_cli.sampling import Sampling

SIZE = (6000, 8000)


def of(task="superres", image=(1500, 2000), size=SIZE, windows=1, **sampling):
    config = helpers.task_config(task)
    return estimate(config, image, size, windows, Sampling(**{"candidates": 1, **sampling}))


def test_time_is_that_of_all_tiles_and_grows_with_candidates():
    work, tiles = of(), plan_tiles(SIZE, 16)
    assert work.drawn == (8000, 6000)
    assert work.tiles == len(tiles)
    assert work.pixels == len(tiles) * tiles.shape[0] * tiles.shape[1]
    assert work.seconds(4.0) == pytest.approx(4e-6 * work.pixels + work.apart)
    assert of(candidates=10).pixels == 10 * work.pixels
    assert of(rank="typical").pixels == 33 * work.pixels
    assert of(noise_samples=3).pixels == 2 * work.pixels
    one = of(size=(512, 512))
    assert of(size=(512, 512), refine=5).pixels == 11 * one.pixels
    assert of("inpaint", size=(64, 64), windows=7).pixels == 7 * 64 * 64


def test_memory_grows_with_the_picture_and_a_piece_with_the_batch():
    assert 1e9 < of().memory < 2.5e9
    assert of(candidates=2).memory - of().memory == pytest.approx(3 * 48e6)
    small = of(size=(256, 256), candidates=4)
    assert of(size=(256, 256), candidates=4, batch_size=1).memory < small.memory


def test_what_is_refused_has_no_estimate():
    with pytest.raises(CaflowError, match="megapixels"):
        of(image=(3000, 4000), size=(12000, 16000))


@pytest.mark.parametrize("size", [(32, 48), SIZE])
def test_the_rate_is_measured_on_no_more_than_a_small_picture(small_model, monkeypatch, size):
    seen = []
    own = type(small_model).decode

    def decode(self, latents, cond, **how):
        points, log_prob = own(self, latents, cond, **how)
        seen.append(points.shape)
        return points, log_prob

    monkeypatch.setattr(type(small_model), "decode", decode)
    work = replace(of(candidates=3), drawn=(size[1], size[0]))
    assert measured_rate(small_model, work) > 0
    count = 3 if size == (32, 48) else 1
    assert seen == [(count, 3, min(256, size[0]), min(256, size[1]))] * 2

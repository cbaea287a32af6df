"""A CUDA device gives the CPU's results. Without a device these tests are skipped."""

import copy

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.restoration import restore

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
SIZE = 32


@pytest.fixture(scope="module")
def on_card(small_model):
    return copy.deepcopy(small_model).to("cuda")


def apart(a, b):
    return (a.cpu().floor().clamp(0, 255) - b.cpu().floor().clamp(0, 255)).abs()


def test_scores_agree(small_model, on_card):
    target, cond = helpers.image_pair(small_model, 8, SIZE)
    for k in (1, 3):
        score = on_card.log_prob(target, cond, k)
        assert score.device.type == "cuda"
        assert score.dtype == torch.float64
        near = small_model.log_prob(target, cond, k)
        torch.testing.assert_close(score.cpu(), near, rtol=0, atol=1e-2)


def test_draws_agree(small_model, on_card):
    _, cond = helpers.image_pair(small_model, 4, SIZE)
    near = small_model.sample(cond, 0.8, candidates=16, seed=5)
    differences = apart(near, on_card.sample(cond, 0.8, candidates=16, seed=5))
    assert differences.max() <= 1
    assert (differences > 0).double().mean() <= 1e-4


def test_ranked_candidates_agree(small_model, on_card):
    image = np.full((8, 8, 3), 120, np.uint8)
    near, far = (restore(model, image, 0.8, 4) for model in (small_model, on_card))
    for a, b in zip(near.ranked, far.ranked, strict=True):
        assert a.k == b.k
        assert np.abs(a.image.astype(int) - b.image).max() <= 1
        # Of images that may differ by a level here and there.
        assert a.score.log_likelihood == pytest.approx(b.score.log_likelihood, abs=0.05)


def test_the_batch_size_bounds_memory(on_card):
    image = np.full((16, 16, 3), 120, np.uint8)
    peaks = []
    for candidates in (4, 64):
        restore(on_card, image, 0.8, candidates, batch_size=4)
        torch.cuda.reset_peak_memory_stats()
        restore(on_card, image, 0.8, candidates, batch_size=4)
        peaks.append(torch.cuda.max_memory_allocated())
    assert peaks[1] <= 1.05 * peaks[0]
    torch.cuda.reset_peak_memory_stats()
    restore(on_card, image, 0.8, 64, batch_size=64)
    assert torch.cuda.max_memory_allocated() > peaks[0]

"""Samples and scores of every bundled model, at length, at temperatures from 0 to 1.2.

What is written comes back as the same 8 bits, nothing is non-finite, and float32 scores are within
0.02 nats of float64, in the same order. The suite's few of each are in tests/model/test_bundled.py.
"""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest
import torch

from caflow_cli.assets import example_path
from caflow_cli.flows import to_uint8
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.hub.resolve import load
from caflow_cli.images import read_image
from caflow_cli.tasks import get_task, held_out_conditions

from .. import helpers
from .counts import SOAK, count

TAUS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2)
EXAMPLES = {"superres": "face_64", "inpaint": "face_64", "colorize": "room_64", "paired": "map"}
pytestmark = pytest.mark.skipif(SOAK not in os.environ, reason="at length only")


@pytest.fixture(scope="module", params=sorted(load_manifest()))
def model(request):
    return load(request.param)


def conditions(model, number: int) -> torch.Tensor:
    """Windows of an example image, every second mirrored, as the task's conditions."""
    task, size = get_task(model.config), model.config.task.size
    image, rng = read_image(example_path(EXAMPLES[task.name])), np.random.default_rng(0)
    if min(image.shape[:2]) < size * 5 // 4:
        image = np.pad(image, ((size // 8, size // 8), (size // 8, size // 8), (0, 0)), "reflect")
    rows = []
    for k in range(number):
        top, left = (rng.integers(0, side - size + 1) for side in image.shape[:2])
        window = image[top : top + size, left : left + size]
        rows.append(window[:, ::-1] if k % 2 else window)
    targets = torch.from_numpy(np.stack(rows).transpose(0, 3, 1, 2).copy())
    return held_out_conditions(task, targets) if task.derives_condition else targets


def test_samples_come_back_as_the_same_8_bits(model):
    conds, batch = conditions(model, 8), 2
    for number in range(count(3, 700)):
        tau = TAUS[number % len(TAUS)]
        cond = conds[[(batch * number + k) % len(conds) for k in range(batch)]]
        encoding = model.encode_condition(cond)
        draws = model.sample(encoding, tau, 1, seed=range(batch * number, batch * number + batch))
        assert draws.isfinite().all()
        written = helpers.settled(get_task(model.config), cond, to_uint8(draws[:, 0]))
        latents, forward = model.encode(written, encoding)
        back, backward = model.decode(latents, encoding)
        for value in (*latents, back, forward, backward):
            assert value.isfinite().all()
        assert torch.equal(to_uint8(back), written), (tau, number)
        torch.testing.assert_close(forward, backward, rtol=0, atol=0.01)


def test_float32_scores_are_float64_scores_in_the_same_order(model):
    conds, wide = conditions(model, 4), copy.deepcopy(model).double()
    for number in range(count(1, 20)):
        cond = conds[[number % len(conds)]]
        images = to_uint8(model.sample(cond, 0.7, 10, seed=1_000_003 * number)[0])
        narrow, exact = (m.log_prob(images, cond) for m in (model, wide))
        assert (narrow - exact).abs().max() < 0.02
        gaps = exact[:, None] - exact[None]
        apart = gaps.abs() >= 0.1  # nearer ones may change places
        assert torch.equal(gaps[apart].sign(), (narrow[:, None] - narrow[None])[apart].sign())

"""The bundled models, on real images: invertible, finite, and the same in float32 and float64."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import pytest
import torch
from helpers import settled
from soak.counts import SOAK, count

from caflow_cli.assets import example_path
from caflow_cli.data.examples import open_split
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.hub.resolve import load
from caflow_cli.images import read_image
from caflow_cli.layers import to_stored
from caflow_cli.model import bits_per_dim
from caflow_cli.tasks import get_task, held_out_conditions

COUNT = 2
TAUS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0, 1.2) if SOAK in os.environ else (0.5, 1.2)
# In the suite one of each anchor and guide: commands of other tests run the remaining ones.
NAMES = ("bedrooms-colorize", "faces-superres-x4", "photos-inpaint")
DATA = {"superres": "faces64.zip", "inpaint": "faces64.zip", "colorize": "bedrooms64.zip"}


@pytest.fixture(scope="module", params=sorted(load_manifest()) if SOAK in os.environ else NAMES)
def model(request):
    return load(request.param)


@pytest.fixture(scope="module")
def pairs(model):
    """Images that the model did not see, their conditions, and what it reads of these, once."""
    targets, conditions = held_out(model)
    return targets, conditions, model.encode_condition(conditions)


def held_out(model):
    task = get_task(model.config)
    if task.role == "pairs":  # no set of maps is at hand: parts of the example, and draws
        streets = torch.from_numpy(read_image(example_path("map"))).permute(2, 0, 1)
        corners = [(0, 0), (120, 10)]
        conditions = torch.stack([streets[:, y : y + 64, x : x + 64] for y, x in corners])
        return to_stored(model.sample(conditions, 0.9, 1, seed=range(90, 92))[:, 0], 1), conditions
    if "CAFLOW_TEST_DATA" not in os.environ:
        pytest.skip("CAFLOW_TEST_DATA is not set")
    path = Path(os.environ["CAFLOW_TEST_DATA"]) / DATA[task.name]
    with open_split(path, "test", 64, seed=0) as examples:
        rows = [k * len(examples) // COUNT for k in range(COUNT)]
        images = [torch.from_numpy(examples.read(row)[0].copy()) for row in rows]
    targets = torch.stack(images).permute(0, 3, 1, 2)
    return targets, held_out_conditions(task, targets)


def assert_round_trip(model, images, condition):
    latents, forward = model.encode(images, condition)
    v, backward = model.decode(latents, condition)
    assert torch.equal(to_stored(v, 1).cpu(), images)
    for value in (*latents, v, forward, backward):
        assert bool(torch.isfinite(value).all())


def test_test_images_come_back_and_are_scored_alike_in_float64(model, pairs):
    targets, conditions, read = pairs
    assert_round_trip(model, targets, read)
    score = model.log_prob(targets, read)
    wide = copy.deepcopy(model).double().log_prob(targets[:1], conditions[:1])
    assert float((score[:1] - wide).abs().max()) < 0.02
    assert float(bits_per_dim(score.mean(), 3 * 64 * 64)) < 4.5  # of a degraded input 4.04


@pytest.mark.soak
@pytest.mark.parametrize("tau", TAUS)
def test_samples_come_back_as_the_same_8_bits(model, pairs, tau):
    """As written, and raw, but for hot raw colors, which may contradict their luminance."""
    _, conditions, read = pairs
    for first in range(0, COUNT * count(1, 100), COUNT):
        draws = model.sample(read, tau, 1, seed=range(first, first + COUNT))[:, 0]
        assert bool(torch.isfinite(draws).all())
        raw = to_stored(draws, 1)
        written = settled(get_task(model.config), conditions, raw)
        assert_round_trip(model, written, read)
        hot_color = tau > 0.8 and model.config.flow.anchor == "luminance"
        if SOAK not in os.environ and not hot_color and not torch.equal(written, raw):
            assert_round_trip(model, raw, read)


@pytest.mark.soak
@pytest.mark.skipif(SOAK not in os.environ, reason="slow")
def test_float32_scores_are_float64_scores_in_the_same_order(model, pairs):
    cond, wide = pairs[1][:1], copy.deepcopy(model).double()
    for number in range(count(1, 20)):
        images = to_stored(model.sample(cond, 0.7, 10, seed=1_000_003 * number)[0], 1)
        narrow, exact = (m.log_prob(images, cond) for m in (model, wide))
        assert (narrow - exact).abs().max() < 0.02
        gaps = exact[:, None] - exact[None]
        apart = gaps.abs() >= 0.1  # nearer ones may change places
        assert torch.equal(gaps[apart].sign(), (narrow[:, None] - narrow[None])[apart].sign())

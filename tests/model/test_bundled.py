"""The bundled models, on real pictures: invertible, finite, and the same in float32 and float64."""

from __future__ import annotations

import copy
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import settled

from caflow_cli.assets import example_path
from caflow_cli.data.examples import open_split
from caflow_cli.flows import to_uint8
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.hub.resolve import load
from caflow_cli.images import read_image
from caflow_cli.inference import Request, Sampler, task_of
from caflow_cli.model import bits_per_dim
from caflow_cli.tasks import get_task, held_out_conditions

COUNT = 2
DATA = {"superres": "faces64.zip", "inpaint": "faces64.zip", "colorize": "bedrooms64.zip"}


@pytest.fixture(scope="module", params=sorted(load_manifest()))
def model(request):
    return load(request.param)


@pytest.fixture(scope="module")
def pairs(model):
    """Pictures that the model did not see, their conditions, and what it reads of these, once."""
    targets, conditions = held_out(model)
    return targets, conditions, model.encode_condition(conditions)


def held_out(model):
    task = get_task(model.config)
    if not task.derives_condition:  # no set of maps is at hand: parts of the example, and draws
        streets = torch.from_numpy(read_image(example_path("map"))).permute(2, 0, 1)
        corners = [(0, 0), (120, 10)]
        conditions = torch.stack([streets[:, y : y + 64, x : x + 64] for y, x in corners])
        return to_uint8(model.sample(conditions, 0.9, 1, seed=range(90, 92))[:, 0]), conditions
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
    assert torch.equal(to_uint8(v).cpu(), images)
    for value in (*latents, v, forward, backward):
        assert bool(torch.isfinite(value).all())


def test_test_images_come_back_and_are_scored_alike_in_float64(model, pairs):
    targets, conditions, read = pairs
    assert_round_trip(model, targets, read)
    score = model.log_prob(targets, read)
    wide = copy.deepcopy(model).double().log_prob(targets[:1], conditions[:1])
    assert float((score[:1] - wide).abs().max()) < 0.02
    assert float(bits_per_dim(score.mean(), 3 * 64 * 64)) < 4.0


@pytest.mark.parametrize("tau", [0.5, 1.2])
def test_samples_come_back_as_the_same_8_bits(model, pairs, tau):
    """As they are written, and raw.

    But for hot raw ones behind an anchored luminance, which may contradict their condition:
    docs/robustness.md counts what becomes of these.
    """
    _, conditions, read = pairs
    draws = model.sample(read, tau, 1, seed=range(COUNT))[:, 0]
    assert bool(torch.isfinite(draws).all())
    raw = to_uint8(draws)
    written = settled(get_task(model.config), conditions, raw)
    assert_round_trip(model, written, read)
    hot_colour = tau > 0.8 and model.config.flow.anchor == "luminance"
    if not hot_colour and not torch.equal(written, raw):
        assert_round_trip(model, raw, read)


def test_a_draw_does_not_depend_on_how_many_are_drawn_at_once():
    model = load("faces-superres-x4")
    request = Request.of(task_of(model), read_image(example_path("face")))
    ways = (Sampler(model, [request], batch_size=n).batches(1.0, range(4), [0]) for n in (4, 1, 3))
    whole, *more = ([one for batch in way for one in batch] for way in ways)
    for a, *others in zip(whole, *more, strict=True):
        for b in others:
            apart = np.abs(a.image.astype(int) - b.image.astype(int))
            assert apart.max() <= 1
            assert (apart > 0).mean() <= 1e-4
            assert a.score.log_likelihood == pytest.approx(b.score.log_likelihood, abs=1e-2)

"""`mps`, as far as it can be tested without one: on a device that refuses float64."""

import copy

import far_device
import helpers
import numpy as np
import pytest
import torch

from caflow_cli.inference import restore
from caflow_cli.inference.maps import log_prob_map
from caflow_cli.training.optim import use_bf16

SIZE = 16
VARIANTS = [
    {},
    {"conditional": "shared", "trunk": (8, 6), "hidden": (8, 12)},
    {"conditional": "dual-glow"},
    {"dequantization": "variational"},
    {"cond_channels": 4, "anchor": "pixels", "guide": (4, 5, 6)},
    {
        **{"cond_channels": 4, "anchor": "fill", "guide": (4, 5, 6)},
        "guide_views": 4,
    },
    {"cond_channels": 1, "anchor": "luminance"},
]


@pytest.fixture
def device():
    with far_device.far_device() as device:
        yield device


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda flow: str(flow) or "default")
def model(request):
    config = helpers.small_config(scales=2, t_steps=1, **request.param)
    return helpers.data_like_model(config, seed=3, size=SIZE)


def test_the_device_refuses_float64_and_mixing(device):
    x = torch.ones(3).to(device)
    assert x.device.type == far_device.FAR
    assert (x + 1).cpu().tolist() == [2, 2, 2]
    for refused in (
        lambda: x.double(),
        lambda: x.sum(dtype=torch.float64),
        lambda: torch.zeros(2, dtype=torch.float64, device=device),
        lambda: torch.ones(3, dtype=torch.float64).to(device),
        lambda: x.to("cpu", torch.float64),
        lambda: x + torch.ones(3),
    ):
        with pytest.raises(RuntimeError, match=r"float64|two devices"):
            refused()


def test_scores_and_samples_need_no_float64_there(model):
    target, cond = helpers.image_pair(model, 2, SIZE)
    kwargs = {"tau": 0.8, "candidates": 2, "seed": 5}
    scores, points = model.log_prob(target, cond, 2), model.sample(cond, **kwargs)
    charted = log_prob_map(model, target, cond)
    with far_device.far_device() as device:
        far = copy.deepcopy(model).to(device)
        assert far.device.type == far_device.FAR
        score = far.log_prob(target, cond, 2)
        drawn = far.sample(cond, **kwargs)
        chart = log_prob_map(far, target, cond)
        latents, at_centres = far.encode(target, cond)
        back, log_prob = far.decode(latents, cond)
        assert drawn.device.type == back.device.type == far_device.FAR
        drawn, back = drawn.cpu(), back.cpu()
    assert score.dtype == chart.dtype == at_centres.dtype == log_prob.dtype == torch.float64
    assert score.device.type == chart.device.type == "cpu"
    torch.testing.assert_close(score, scores, rtol=0, atol=1e-2)
    torch.testing.assert_close(chart, charted, rtol=0, atol=1e-2)
    torch.testing.assert_close(log_prob, at_centres, rtol=0, atol=0.05)
    torch.testing.assert_close(drawn, points, rtol=0, atol=0.02)
    assert torch.equal(back.floor().to(torch.uint8), target)


def test_a_picture_is_restored_there(small_model):
    image = helpers.smooth_image(1, 3, 8, seed=4)[0].permute(1, 2, 0).numpy()
    near = restore(small_model, image, 0.8, 3)
    with far_device.far_device() as device:
        far = restore(copy.deepcopy(small_model).to(device), image, 0.8, 3)
    for a, b in zip(near.ranked, far.ranked, strict=True):
        assert a.k == b.k
        assert a.score.log_likelihood == pytest.approx(b.score.log_likelihood, abs=1e-2)
        assert np.abs(a.image.astype(int) - b.image).max() <= 1
    np.testing.assert_allclose(near.statistics, far.statistics, rtol=1e-3)


def test_gradients_need_no_float64_there(model):
    target, cond = helpers.image_pair(model, 2, SIZE)
    noise = helpers.first_noise(target.shape[1:], 2, normal=model.Q is not None)

    def gradient(copied, *batch, bf16=True):
        use_bf16(copied.train(), bf16)  # which such a device does without
        for layer in copied.modules():
            if hasattr(layer, "_known_initialized"):
                layer.initialized.fill_(False)
                layer._known_initialized = False
        terms = copied(*batch)
        (-terms.log_prob - 0.01 * terms.cond_log_prob).sum().backward()
        return [p.grad for p in copied.parameters()]

    batch = (target.float(), cond + 0.5, noise)
    near = copy.deepcopy(model)
    gradients = gradient(near, *batch, bf16=False)
    with far_device.far_device() as device:
        far = gradient(copy.deepcopy(model).to(device), *(x.to(device) for x in batch))
        far = [g.cpu() for g in far]
    for own, other in zip(gradients, far, strict=True):
        torch.testing.assert_close(other, own, rtol=1e-2, atol=1e-3 * float(own.abs().max()) + 1e-6)

"""The guide at the small image's size: what it reads, what it predicts, how it learns."""

import dataclasses

import helpers
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from caflow_cli.config import FlowConfig
from caflow_cli.flows import Anchor
from caflow_cli.guides import Compact, recover_small
from caflow_cli.guides.small import kernel

FLOW = FlowConfig(anchor="enlarged", guide=6, guide_net="compact", guide_blocks=2)


def small_image(height, width, seed=0):
    """An image with edges, uint8 (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(10, 246, (height // 4 + 1, width // 4 + 1, 3), dtype=np.uint8)
    return np.array(Image.fromarray(coarse).resize((width, height), Image.Resampling.BILINEAR))


def enlarged(small, factor):
    """Pillow's BICUBIC, as floats (1, 3, H, W) on the 8-bit scale."""
    height, width = small.shape[:2]
    image = Image.fromarray(small).resize(
        (factor * width, factor * height), Image.Resampling.BICUBIC
    )
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float()


def as_tensor(small):
    return torch.from_numpy(small).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize(("factor", "share"), [(2, 0.85), (4, 0.95), (8, 0.95)])
def test_the_small_image_comes_back_from_its_enlargement(factor, share):
    small = small_image(48, 64)
    noise = torch.rand((1, 3, 48 * factor, 64 * factor), generator=helpers.generator(1))
    found = recover_small(enlarged(small, factor) + 0.999 * noise, factor)
    apart = (found - as_tensor(small)).abs()
    assert (apart == 0).float().mean() > share
    assert apart.max() <= 3
    assert torch.equal(found, found.round())


def test_the_kernel_is_symmetric_and_keeps_constants():
    for factor in (2, 4, 8):
        taps = kernel(factor)
        np.testing.assert_allclose(taps, taps[::-1], atol=1e-12)
        assert taps.sum() == pytest.approx(1, abs=1e-12)
    level = torch.full((1, 3, 32, 32), 137.0)
    assert torch.equal(recover_small(level, 4), torch.full((1, 3, 8, 8), 137.0))


def test_a_fresh_net_repeats_pixels():
    x = torch.rand((2, 3, 8, 12), generator=helpers.generator(2))
    net = helpers.seeded(lambda: Compact(3, 6, 2, 4), 1)
    expected = F.interpolate(x, scale_factor=4.0, mode="nearest")
    assert torch.equal(net(x), expected)


@pytest.mark.parametrize("views", [1, 8])
def test_the_anchor_predicts_the_image_of_the_net(views):
    """The mean m is `logit(255 clamp(net(small / 255), 0, 1) + 1/2) - logit(w_y + 1/2)`."""
    flow = dataclasses.replace(FLOW, guide=6, guide_blocks=3, guide_views=views, spread=4)
    anchor = helpers.randomize(helpers.seeded(lambda: Anchor(flow), 1), last=2.0).double()
    y = enlarged(small_image(16, 16), 4).double() + 0.5
    expected = 255 * anchor.guide(recover_small(y, 4) / 255) + 0.5
    image = anchor.expect(y)
    if views == 1:
        torch.testing.assert_close(image, expected)
    assert (image < 0).any() or (image > 256).any()
    cond = anchor.read(y)
    torch.testing.assert_close(anchor.predict(cond), image.clamp(0.5, 255.5))
    noisy = anchor.read(y.floor() + 0.9)
    assert torch.equal(cond.mean, noisy.mean)


def test_the_loss_reaches_values_beyond_the_range():
    """The gradient is that of the unclamped prediction, so the guide can come back from there."""
    anchor = helpers.seeded(lambda: Anchor(FLOW), 1)
    with torch.no_grad():
        anchor.guide.head.bias.fill_(2.0)
    y = enlarged(small_image(8, 8), 4) + 0.5
    anchor.expect(y).mean().backward()
    assert anchor.guide.head.bias.grad.abs().min() > 0

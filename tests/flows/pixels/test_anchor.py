"""The anchor and its guide (that they invert: `test_walk`)."""

import helpers
import pytest
import torch

from caflow_cli.flows import Anchor, AnchorCondition, FilledPixels, Logit
from caflow_cli.layers import Guide, Spread

BATCH, BOUND = 2, 2.0


@pytest.mark.parametrize("kind", ["none", "enlarged"])
@torch.no_grad()
def test_the_predicted_image_is_where_h_is_0(kind):
    y = 256 * torch.rand((BATCH, 3, 4, 4), generator=helpers.generator(1), dtype=torch.float64)
    cond = AnchorCondition(y, 0.5 * helpers.normal((BATCH, 3, 4, 4), 2))
    anchor = Anchor(kind, Logit(), 3, bound=BOUND)
    predicted = anchor.predict(cond)
    h, _ = anchor(predicted, cond)
    torch.testing.assert_close(h, torch.zeros_like(h), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_mean_shifts_and_leaves_the_log_determinant():
    y = torch.full((1, 3, 4, 4), 100.0, dtype=torch.float64)
    v = 256 * torch.rand((3, 3, 4, 4), generator=helpers.generator(1), dtype=torch.float64)
    m = helpers.normal((1, 3, 4, 4), 2)
    anchor = Anchor("enlarged", Logit(), 3)
    plain, logdet = anchor(v, AnchorCondition(y, None))
    h, logdet_m = anchor(v, AnchorCondition(y, m))
    torch.testing.assert_close(h, plain - m, rtol=0, atol=0)
    assert torch.equal(logdet, logdet_m)


@torch.no_grad()
def test_a_spread_scales_what_the_mean_leaves_and_the_log_determinant_says_so():
    """exp(s) (map(v; y) - m), with s = bound tanh(raw / bound)."""
    y = torch.full((1, 3, 4, 4), 100.0, dtype=torch.float64)
    v = 256 * torch.rand((3, 3, 4, 4), generator=helpers.generator(1), dtype=torch.float64)
    m, raw = helpers.normal((1, 3, 4, 4), 2), helpers.normal((1, 3, 4, 4), 3)
    anchor = Anchor("enlarged", Logit(), 3, bound=BOUND)
    plain, logdet = anchor(v, AnchorCondition(y, m))
    h, logdet_s = anchor(v, AnchorCondition(y, m, raw))
    s = BOUND * torch.tanh(raw / BOUND)
    torch.testing.assert_close(h, plain * s.exp(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(logdet_s, logdet + s.sum(), rtol=1e-12, atol=1e-9)


@pytest.mark.parametrize(
    ("kind", "channels"), [("pixels", 4), ("fill", 4), ("luminance", 1), ("enlarged", 3)]
)
@torch.no_grad()
def test_a_mean_is_0_where_the_condition_determines_a_value(kind, channels):
    """Known pixels keep the noise of their bins, and the luminance its rounding."""
    guide = helpers.randomise(Guide(channels, (4, 4), 3), 1).double()
    y = 256 * torch.rand((2, channels, 8, 8), generator=helpers.generator(2), dtype=torch.float64)
    predicted = Anchor(kind, Logit(), 3, guide).read(y).mean
    expected = torch.ones_like(predicted, dtype=torch.bool)
    if kind in ("pixels", "fill"):
        expected = (y[:, 3:] >= 128).expand_as(predicted)
    if kind == "luminance":
        expected[:, 1] = False
    assert torch.equal(predicted != 0, expected)
    assert not expected.all() or kind == "enlarged"


@torch.no_grad()
def test_a_spread_reads_the_condition_and_the_predicted_image():
    guide = helpers.randomise(Guide(3, (4, 4), 3), 1).double()
    spread = helpers.randomise(Spread(6, 5, 3), 2).double()
    y = 256 * torch.rand((2, 3, 8, 8), generator=helpers.generator(2), dtype=torch.float64)
    logit = Logit()
    anchor = Anchor("enlarged", logit, 3, guide, spread)
    cond = anchor.read(y)
    both = torch.cat([logit.of(y), logit.of(anchor.predict(cond).clamp(0, 256))], dim=1)
    torch.testing.assert_close(cond.spread, spread(both), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_guide_reads_the_fill_of_a_hole_and_the_predicted_image_begins_with_it():
    y = 256 * torch.rand((2, 4, 8, 8), generator=helpers.generator(2), dtype=torch.float64)
    logit = Logit()
    guide = helpers.randomise(Guide(4, (4, 4), 3), 1).double()
    anchor = Anchor("fill", logit, 3, guide)
    filled, hole = FilledPixels(logit).complete(y), y[:, 3:] >= 128
    cond = anchor.read(y)
    torch.testing.assert_close(cond.mean, guide(logit.of(filled)) * hole, rtol=0, atol=1e-12)
    plain = Anchor("fill", logit, 3)
    predicted = plain.predict(plain.read(y))
    expected = torch.where(hole, filled[:, :3], y[:, :3].floor() + 0.5)
    torch.testing.assert_close(predicted, expected, rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_guide_of_eight_views_turns_with_the_condition():
    guide = helpers.randomise(Guide(3, (4, 4), 3), 1).double()
    y = 256 * torch.rand((2, 3, 8, 16), generator=helpers.generator(2), dtype=torch.float64)
    anchor = Anchor("enlarged", Logit(), 3, guide, views=8)
    predicted, of_turned = anchor.read(y).mean, anchor.read(y.transpose(2, 3).flip(3)).mean
    torch.testing.assert_close(of_turned, predicted.transpose(2, 3).flip(3), rtol=0, atol=1e-12)
    assert (Anchor("enlarged", Logit(), 3, guide).read(y).mean - predicted).abs().max() > 1e-3

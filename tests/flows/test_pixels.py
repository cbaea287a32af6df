"""Pixels and the real line: the logit, known pixels, the anchor and its guide."""

import math

import helpers
import pytest
import torch

from caflow_cli.config import FlowConfig
from caflow_cli.flows import (
    Anchor,
    AnchorCondition,
    FilledPixels,
    KnownImage,
    KnownLuminance,
    KnownPixels,
    Logit,
)
from caflow_cli.flows.fill import harmonic_fill
from caflow_cli.layers import to_stored
from caflow_cli.model import bits_per_dim

CHANNELS = {"pixels": 4, "fill": 4, "luminance": 1, "enlarged": 3}


def anchor_of(kind, **flow):
    """An anchor away from its start."""
    sizes = {"scales": 1, "cond_channels": CHANNELS[kind], "anchor": kind, **flow}
    anchor = helpers.seeded(lambda: Anchor(FlowConfig(**sizes)), 1)
    return helpers.randomize(anchor, 2).double()


def points(*shape, seed=1):
    """Pixels, uniform on [0, 256), in float64."""
    return 256 * torch.rand(shape, generator=helpers.generator(seed), dtype=torch.float64)


@pytest.mark.parametrize("alpha", [0.05, 0.01, 1e-6, 0.3])
def test_logit_stays_finite_to_the_ends_of_the_range(alpha):
    logit = Logit(alpha)
    v = torch.tensor([0.0, 1e-3, 128.0, 255.5, 256 - 2**-16]).reshape(1, 1, 1, 5)
    h, logdet = logit(v)
    back, _ = logit.inverse(h)
    assert h.isfinite().all()
    assert logdet.isfinite().all()
    torch.testing.assert_close(back, v, rtol=0, atol=2e-4)


def test_logit_of_a_saturated_sample_has_a_finite_logdet():
    h = torch.tensor([-400.0, -30.0, 30.0, 400.0]).reshape(1, 1, 1, 4)
    v, logdet = Logit().inverse(h)
    assert v.isfinite().all()
    assert logdet.isfinite().all()
    expected = -860 - 4 * math.log(0.95 / 256)  # log p(1-p) is -|h| out there
    assert float(logdet) == pytest.approx(expected, abs=1e-3)
    assert to_stored(v, 1).flatten().tolist() == [0, 0, 255, 255]


@pytest.mark.parametrize("alpha", [0.05, 0.01, 0.2, 0.5])
def test_a_logistic_base_has_the_bits_of_the_uniform_it_is(alpha):
    """A logistic h makes p uniform on (0, 1), so v has the density (1 - α) / 256 everywhere."""
    v = points(5, 3, 4, 4)
    h, logdet = Logit(alpha)(v)
    base = torch.distributions.TransformedDistribution(
        torch.distributions.Uniform(torch.zeros_like(h), torch.ones_like(h)),
        [torch.distributions.transforms.SigmoidTransform().inv],
    )
    bits = bits_per_dim(base.log_prob(h).flatten(1).sum(1) + logdet, 48)
    expected = torch.full_like(bits, 8 - math.log2(1 - alpha))
    torch.testing.assert_close(bits, expected, rtol=0, atol=1e-9)


def test_an_image_that_is_what_is_known_of_it_is_at_0():
    w = torch.arange(256, dtype=torch.float64).view(1, 1, 16, 16)
    colors = w.expand(2, 3, 16, 16)
    h, logdet = KnownImage()(colors + 0.5, colors + 0.9)  # whatever the condition's noise is
    assert h.abs().max() < 1e-12
    assert torch.equal(logdet, Logit()(colors + 0.5)[1])
    h, _ = KnownLuminance()(colors + 0.5, w)
    assert h.abs().max() < 1e-12


@pytest.mark.parametrize(
    ("kind", "free", "bound"),
    [
        ("pixels", (0, 1, 1, 1), (0, 1, 0, 0)),
        ("fill", (0, 1, 1, 1), (0, 1, 0, 0)),
        ("luminance", (0, 1, 0, 0), (0, 2, 0, 0)),
    ],
)
def test_what_has_a_density_is_what_the_map_can_take(kind, free, bound):
    """Known pixels and green may lie anywhere; all else only where the logit reaches."""
    hole = torch.zeros(1, 4, 2, 2)
    hole[:, 3, 0, 0] = 255
    anchor = anchor_of(kind)
    cond = anchor.read(hole[:, :1] if kind == "luminance" else hole)
    for place, value, supported in (
        (free, 300.0, True),
        (bound, 262.735, True),
        (bound, 263.0, False),
        (free, math.nan, False),
        (bound, math.nan, False),
    ):
        point = torch.full((1, 3, 2, 2), 128.0)
        point[place] = value
        assert anchor.supports(point, cond) == supported


def test_near_an_end_is_where_the_logit_takes_values():
    """A hole's and red's values count; known pixels and green, however far out, do not."""
    v = torch.full((1, 3, 2, 2), 900.0)
    v[0, 0] = torch.tensor([[262.736, 262.7], [-6.736, -6.7]])
    v[0, 2] = 128.0
    hole = torch.zeros(1, 4, 2, 2)
    hole[:, 3, :, 0] = 255
    expected = torch.zeros(1, 3, 2, 2, dtype=torch.bool)
    expected[0, 0, :, 0] = True
    assert torch.equal(KnownLuminance().near_ends(v, hole[:, :1]), expected)
    assert torch.equal(KnownImage().near_ends(v[:, ::2], v), expected[:, ::2])
    expected[0, 1, :, 0] = True  # green is a color like others in a hole
    for anchor in (KnownPixels(), FilledPixels()):
        assert torch.equal(anchor.near_ends(v, hole), expected)


@torch.no_grad()
def test_pixels_outside_of_the_hole_are_what_they_miss_of_the_known_ones():
    v = points(2, 3, 4, 4)
    cond = helpers.with_hole(v.to(torch.uint8)).double() + 0.3
    hole = cond[:, 3:] >= 128
    h, logdet = KnownPixels()(v, cond)
    own, _ = Logit()(v)
    expected = torch.where(hole, own, v - (cond[:, :3].floor() + 0.5))
    torch.testing.assert_close(h, expected, rtol=0, atol=1e-12)
    terms = torch.where(hole, Logit().log_derivative(own), 0.0)
    torch.testing.assert_close(logdet, terms.flatten(1).sum(1), rtol=0, atol=1e-10)


def case():
    v = points(2, 3, 8, 8)
    y = helpers.with_hole(v.to(torch.uint8)).double() + 0.3
    return v, y, y[:, 3:] >= 128


@torch.no_grad()
def test_in_the_hole_it_is_what_the_image_has_beyond_the_fill():
    v, y, hole = case()
    anchor, logit = FilledPixels(), Logit()
    cond = anchor.complete(y)
    assert torch.equal(cond[:, 3:], y[:, 3:])
    assert torch.equal(torch.where(hole, 0, cond[:, :3]), torch.where(hole, 0, y[:, :3]))
    h, logdet = anchor(v, cond)
    plain, logdet_plain = KnownPixels()(v, y)
    fill = harmonic_fill(y[:, :3].floor() + 0.5, hole)
    expected = torch.where(hole, plain - logit.of(fill), plain)
    torch.testing.assert_close(h, expected, rtol=0, atol=1e-12)
    assert torch.equal(logdet, logdet_plain)


@torch.no_grad()
def test_the_values_of_the_condition_in_the_hole_and_its_noise_have_no_influence():
    _, y, hole = case()
    anchor = FilledPixels()
    other = torch.where(hole, 7.0, y[:, :3].floor() + 0.9)
    first, second = (anchor.complete(torch.cat([x, y[:, 3:]], 1)) for x in (y[:, :3], other))
    assert torch.equal(
        first[:, :3][hole.expand(-1, 3, -1, -1)], second[:, :3][hole.expand(-1, 3, -1, -1)]
    )


def test_colors_of_a_known_luminance_start_with_what_green_misses_of_it():
    logit = Logit(0.05)
    anchor = KnownLuminance()
    gray = torch.tensor([40.0, 128.0, 200.0], dtype=torch.float64).view(1, 1, 1, 3)
    g = gray + 0.5
    slope = logit.log_derivative(logit.of(g)).exp()
    for red, blue in ((0.3, -0.2), (-0.1, 0.4), (0.114, -0.299)):
        green = -(0.299 * red + 0.114 * blue) / 0.587
        v = torch.cat([g + red, g + green, g + blue], dim=1)
        h, _ = anchor(v, gray)
        torch.testing.assert_close(h[:, 1:2], torch.zeros_like(g), rtol=0, atol=1e-12)
        torch.testing.assert_close(h[:, 2:], blue * slope, rtol=1e-2, atol=0)
        missed = -0.587 / 0.299 * green * slope
        torch.testing.assert_close(h[:, :1], missed, rtol=2e-2, atol=2e-5)


BATCH, BOUND = 2, 2.0


@torch.no_grad()
def test_a_mean_shifts_and_a_spread_scales_what_it_leaves():
    """exp(s) (map(v; y) - m), with s = bound tanh(raw / bound); the log-determinant counts s."""
    y = torch.full((1, 3, 4, 4), 100.0, dtype=torch.float64)
    v = points(3, 3, 4, 4)
    m, raw = helpers.normal((1, 3, 4, 4), 2), helpers.normal((1, 3, 4, 4), 3)
    anchor = anchor_of("enlarged", scale_bound=BOUND)
    plain, logdet = anchor(v, AnchorCondition(y, None))
    h, logdet_m = anchor(v, AnchorCondition(y, m))
    torch.testing.assert_close(h, plain - m, rtol=0, atol=0)
    assert torch.equal(logdet, logdet_m)
    h, logdet_s = anchor(v, AnchorCondition(y, m, raw))
    s = BOUND * torch.tanh(raw / BOUND)
    torch.testing.assert_close(h, (plain - m) * s.exp(), rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(logdet_s, logdet + s.sum(), rtol=1e-12, atol=1e-9)


kinds = pytest.mark.parametrize("kind", CHANNELS)


@kinds
@torch.no_grad()
def test_candidates_of_an_image_share_its_condition(kind):
    anchor = anchor_of(kind, guide=(4, 4), guide_net="unet")
    y = points(2, CHANNELS[kind], 8, 8, seed=2)
    v = points(4, 3, 8, 8)
    shared, own = anchor.read(y), anchor.read(y.repeat_interleave(2, dim=0))
    torch.testing.assert_close(anchor(v, shared), anchor(v, own))
    torch.testing.assert_close(anchor.inverse(v / 64, shared), anchor.inverse(v / 64, own))


@kinds
@torch.no_grad()
def test_a_mean_is_0_where_the_condition_determines_a_value(kind):
    """Known pixels keep the noise of their bins, and the luminance its rounding."""
    y = points(2, CHANNELS[kind], 8, 8, seed=2)
    predicted = anchor_of(kind, guide=(4, 4), guide_net="unet").read(y).mean
    expected = torch.ones_like(predicted, dtype=torch.bool)
    if kind in ("pixels", "fill"):
        expected = (y[:, 3:] >= 128).expand_as(predicted)
    if kind == "luminance":
        expected[:, 1] = False
    assert torch.equal(predicted != 0, expected)
    assert not expected.all() or kind == "enlarged"


@torch.no_grad()
def test_a_spread_reads_the_condition_and_the_predicted_image():
    y = points(2, 3, 8, 8, seed=2)
    logit = Logit()
    anchor = anchor_of("enlarged", guide=(4, 4), guide_net="unet", spread=5)
    cond = anchor.read(y)
    both = torch.cat([logit.of(y), logit.of(anchor.predict(cond).clamp(0, 256))], dim=1)
    torch.testing.assert_close(cond.spread, anchor.spread(both), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_guide_reads_the_fill_of_a_hole_and_the_predicted_image_begins_with_it():
    y = points(2, 4, 8, 8, seed=2)
    logit = Logit()
    anchor = anchor_of("fill", guide=(4, 4), guide_net="unet")
    filled, hole = FilledPixels().complete(y), y[:, 3:] >= 128
    cond = anchor.read(y)
    mean = anchor.guide(logit.of(filled)) * hole
    torch.testing.assert_close(cond.mean, mean, rtol=0, atol=1e-12)
    plain = anchor_of("fill")
    predicted = plain.predict(plain.read(y))
    expected = torch.where(hole, filled[:, :3], y[:, :3].floor() + 0.5)
    torch.testing.assert_close(predicted, expected, rtol=0, atol=1e-10)

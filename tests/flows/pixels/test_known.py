"""Maps of pixels that a condition determines (that they invert: `test_walk`)."""

import math

import helpers
import torch

from caflow_cli.flows import FilledPixels, KnownImage, KnownLuminance, KnownPixels, Logit
from caflow_cli.flows.pixels.fill import harmonic_fill


def test_an_image_that_is_its_enlarged_version_is_at_0():
    w = torch.arange(256, dtype=torch.float64).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    h, logdet = KnownImage(Logit(0.05))(w + 0.5, w + 0.9)  # whatever the condition's noise is
    assert h.abs().max() < 1e-12
    _, expected = Logit(0.05)(w + 0.5)
    assert torch.equal(logdet, expected)


def test_what_has_a_density_is_what_the_map_can_take():
    """Known pixels and green may lie anywhere; all else only where the logit reaches."""
    v = torch.full((1, 3, 2, 2), 128.0)
    hole = torch.zeros(1, 4, 2, 2)
    hole[:, 3, 0, 0] = 255
    for anchor, cond, free, bound in (
        (KnownPixels(Logit()), hole, (0, 1, 1, 1), (0, 1, 0, 0)),
        (KnownLuminance(Logit()), hole[:, :1], (0, 1, 0, 0), (0, 2, 0, 0)),
    ):
        for place, value, supported in (
            (free, 300.0, True),
            (bound, 300.0, False),
            (free, math.nan, False),
            (bound, math.nan, False),
        ):
            point = v.clone()
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
    assert torch.equal(KnownLuminance(Logit()).near_ends(v, hole[:, :1]), expected[:, ::2])
    assert torch.equal(KnownImage(Logit()).near_ends(v[:, ::2], v), expected[:, ::2])
    expected[0, 1, :, 0] = True  # green is a colour like others in a hole
    assert torch.equal(KnownPixels(Logit()).near_ends(v, hole), expected)


@torch.no_grad()
def test_pixels_outside_of_the_hole_are_what_they_miss_of_the_known_ones():
    v = 256 * torch.rand((2, 3, 4, 4), generator=helpers.generator(1), dtype=torch.float64)
    cond = helpers.with_hole(v.to(torch.uint8)).double() + 0.3
    hole = cond[:, 3:] >= 128
    h, logdet = KnownPixels(Logit())(v, cond)
    own, _ = Logit()(v)
    expected = torch.where(hole, own, v - (cond[:, :3].floor() + 0.5))
    torch.testing.assert_close(h, expected, rtol=0, atol=1e-12)
    terms = torch.where(hole, Logit().log_derivative(own), 0.0)
    torch.testing.assert_close(logdet, terms.flatten(1).sum(1), rtol=0, atol=1e-10)


def case():
    v = 256 * torch.rand((2, 3, 8, 8), generator=helpers.generator(1), dtype=torch.float64)
    y = helpers.with_hole(v.to(torch.uint8)).double() + 0.3
    return v, y, y[:, 3:] >= 128


@torch.no_grad()
def test_in_the_hole_it_is_what_the_image_has_beyond_the_fill():
    v, y, hole = case()
    anchor, logit = FilledPixels(Logit()), Logit()
    cond = anchor.complete(y)
    assert torch.equal(cond[:, 3:], y[:, 3:])
    assert torch.equal(torch.where(hole, 0, cond[:, :3]), torch.where(hole, 0, y[:, :3]))
    h, logdet = anchor(v, cond)
    plain, logdet_plain = KnownPixels(logit)(v, y)
    fill = harmonic_fill(y[:, :3].floor() + 0.5, hole)
    expected = torch.where(hole, plain - logit.of(fill), plain)
    torch.testing.assert_close(h, expected, rtol=0, atol=1e-12)
    assert torch.equal(logdet, logdet_plain)


@torch.no_grad()
def test_the_values_of_the_condition_in_the_hole_and_its_noise_have_no_influence():
    _, y, hole = case()
    anchor = FilledPixels(Logit())
    other = torch.where(hole, 7.0, y[:, :3].floor() + 0.9)
    first, second = (anchor.complete(torch.cat([x, y[:, 3:]], 1)) for x in (y[:, :3], other))
    assert torch.equal(
        first[:, :3][hole.expand(-1, 3, -1, -1)], second[:, :3][hole.expand(-1, 3, -1, -1)]
    )


@torch.no_grad()
def test_what_has_a_density_and_what_is_near_an_end_is_as_without_a_fill():
    v, y, _ = case()
    v[0, 0, 4, 4], v[0, 0, 0, 0] = 262.735, 900.0
    anchor, cond = FilledPixels(Logit()), FilledPixels(Logit()).complete(y)
    assert anchor.supports(v, cond)
    near = anchor.near_ends(v, cond)
    assert near.sum() == 1
    assert near[0, 0, 4, 4]
    v[0, 0, 4, 4] = 263.0
    assert not anchor.supports(v, cond)


def test_colours_of_a_known_luminance_start_with_what_green_misses_of_it():
    logit = Logit(0.05)
    anchor = KnownLuminance(logit)
    grey = torch.tensor([40.0, 128.0, 200.0], dtype=torch.float64).view(1, 1, 1, 3)
    g = grey + 0.5
    slope = logit.log_derivative(logit.of(g)).exp()
    for red, blue in ((0.3, -0.2), (-0.1, 0.4), (0.114, -0.299)):
        green = -(0.299 * red + 0.114 * blue) / 0.587
        v = torch.cat([g + red, g + green, g + blue], dim=1)
        h, _ = anchor(v, grey)
        torch.testing.assert_close(h[:, 1:2], torch.zeros_like(g), rtol=0, atol=1e-12)
        torch.testing.assert_close(h[:, 2:], blue * slope, rtol=1e-2, atol=0)
        missed = -0.587 / 0.299 * green * slope
        torch.testing.assert_close(h[:, :1], missed, rtol=2e-2, atol=2e-5)


def test_grey_pixels_of_a_grey_image_are_at_0():
    grey = torch.arange(256, dtype=torch.float64).view(1, 1, 16, 16)
    h, _ = KnownLuminance(Logit(0.05))((grey + 0.5).expand(1, 3, 16, 16), grey)
    assert h.abs().max() < 1e-12

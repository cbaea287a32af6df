"""The anchor of holes, and what has a density behind an anchor."""

import math

import helpers
import torch

from caflow_cli.flows import KnownImage, KnownLuminance, KnownPixels, Logit


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

"""The anchor of holes that are filled first."""

import helpers
import torch

from caflow_cli.flows import FilledPixels, KnownPixels, Logit
from caflow_cli.flows.pixels.fill import harmonic_fill


def case():
    v = 256 * torch.rand((2, 3, 8, 8), generator=helpers.generator(1), dtype=torch.float64)
    y = helpers.with_hole(v.to(torch.uint8)).double() + 0.3
    return v, y, y[:, 3:] >= 128


@torch.no_grad()
def test_in_the_hole_it_is_what_the_picture_has_beyond_the_fill():
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

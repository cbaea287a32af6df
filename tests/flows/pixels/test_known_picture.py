"""The anchor of enlarging (that it inverts: `test_walk`)."""

import torch

from caflow_cli.flows import KnownImage, Logit


def test_a_picture_that_is_its_enlarged_version_is_at_0():
    w = torch.arange(256, dtype=torch.float64).view(1, 1, 16, 16).expand(2, 3, 16, 16)
    h, logdet = KnownImage(Logit(0.05))(w + 0.5, w + 0.9)  # whatever the condition's noise is
    assert h.abs().max() < 1e-12
    _, expected = Logit(0.05)(w + 0.5)
    assert torch.equal(logdet, expected)


def test_it_is_the_difference_of_logits():
    logit = Logit(0.1)
    generator = torch.Generator().manual_seed(1)
    v = 256 * torch.rand(4, 3, 2, 2, generator=generator, dtype=torch.float64)
    y = torch.randint(256, (2, 3, 2, 2), generator=generator).double()
    h, _ = KnownImage(logit)(v, y + 0.25)
    expected = logit.of(v) - logit.of(y + 0.5).repeat_interleave(2, 0)
    torch.testing.assert_close(h, expected, rtol=0, atol=1e-12)

"""What anchors make of a picture that fits its condition (that they invert: `test_walk`)."""

import torch

from caflow_cli.flows import KnownLuminance, Logit


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


def test_grey_pixels_of_a_grey_picture_are_at_0():
    grey = torch.arange(256, dtype=torch.float64).view(1, 1, 16, 16)
    h, _ = KnownLuminance(Logit(0.05))((grey + 0.5).expand(1, 3, 16, 16), grey)
    assert h.abs().max() < 1e-12

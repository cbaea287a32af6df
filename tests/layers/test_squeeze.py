"""Space to channels and back."""

import helpers
import torch

from caflow_cli.layers import Squeeze


def test_squeeze_keeps_every_value_and_its_neighbourhood():
    x = torch.arange(2 * 4 * 6.0).reshape(1, 2, 4, 6)
    y, _ = Squeeze()(x)
    assert sorted(y.flatten().tolist()) == sorted(x.flatten().tolist())
    assert set(y[0, :, 1, 2].tolist()) == set(x[0, :, 2:4, 4:6].flatten().tolist())


def test_there_and_back():
    x = helpers.normal((3, 2, 4, 6), 1)
    y, logdet = Squeeze()(x)
    assert y.shape == (3, 8, 2, 3)
    back, logdet_back = Squeeze().inverse(y)
    assert torch.equal(back, x)
    for term in (logdet, logdet_back):
        assert torch.equal(term, torch.zeros(3, dtype=torch.float64))

"""Convolutions that round an image alone as in a batch, and their inference form."""

import helpers
import pytest
import torch
import torch.nn.functional as F

from caflow_cli.layers import FixedConv
from caflow_cli.layers.conv import conv2d


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_alone_is_rounded_as_in_a_batch(size, dtype):
    x = helpers.normal((3, 24, 4, 4), 1, dtype)
    weight, bias = helpers.normal((48, 24, size, size), 2, dtype), helpers.normal((48,), 3, dtype)
    together = conv2d(x, weight, bias, size // 2)
    torch.testing.assert_close(together, F.conv2d(x, weight, bias, padding=size // 2))
    for k in range(3):
        assert torch.equal(conv2d(x[k : k + 1], weight, bias, size // 2), together[k : k + 1])


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@torch.no_grad()
def test_the_inference_form_is_the_convolution(size, biased, dtype):
    weight = helpers.normal((5, 4, size, size), 2, dtype)
    bias = helpers.normal((5,), 3, dtype) if biased else None
    fixed = FixedConv(weight, bias)
    for batch, height in ((2, 6), (1, 6), (3, 5), (2, 6)):  # other shapes take turns
        x = helpers.normal((batch, 4, height, 7), batch, dtype)
        expected = F.conv2d(x, weight, bias, padding=size // 2)
        torch.testing.assert_close(fixed(x), expected, rtol=0, atol=1e-5)
        torch.testing.assert_close(fixed(x, relu=True), expected.relu(), rtol=0, atol=1e-5)


@torch.no_grad()
def test_the_inference_form_keeps_values_of_its_own():
    """Those of the moment: later changes of the weights are not seen, and nothing of it trains."""
    weight, bias = helpers.normal((5, 4, 3, 3), 2), helpers.normal((5,), 3)
    x = helpers.normal((2, 4, 6, 6), 1)
    fixed = FixedConv(weight, bias)
    before = fixed(x)
    bias += 1
    assert torch.equal(fixed(x), before)
    assert not list(fixed.parameters())
    assert not fixed.state_dict()
    assert not fixed.training

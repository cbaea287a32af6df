"""Convolutions: rounded alike in any batch, with gradients that are written out."""

import helpers
import pytest
import torch
import torch.nn.functional as F

from caflow_cli.layers import FixedConv
from caflow_cli.layers.conv import conv2d
from caflow_cli.layers.convolve import convolution


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_image_alone_is_rounded_as_in_a_batch(size, dtype):
    x = helpers.normal((3, 24, 4, 4), 1, dtype)
    weight, bias = helpers.normal((48, 24, size, size), 2, dtype), helpers.normal((48,), 3, dtype)
    together = conv2d(x, weight, bias)
    torch.testing.assert_close(together, F.conv2d(x, weight, bias, padding=size // 2))
    for k in range(3):
        assert torch.equal(conv2d(x[k : k + 1], weight, bias), together[k : k + 1])


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


def values(size, biased=True, dtype=torch.float64):
    x = helpers.normal((3, 4, 3, 5), 1, dtype).contiguous(memory_format=torch.channels_last)
    weight = helpers.normal((6, 4, size, size), 2, dtype)
    return x, weight, helpers.normal((6,), 3, dtype) if biased else None


@pytest.mark.parametrize("size", [1, 3])
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("biased", [True, False])
def test_the_written_out_gradient_is_that_of_autograd(size, relu, biased):
    """1×1 by products of matrices, 3×3 by the library, at images that are not square."""
    inputs = [t if t is None else t.requires_grad_() for t in values(size, biased)]
    wanted = [t for t in inputs if t is not None]
    y = convolution(*inputs, relu=relu)
    expected = F.conv2d(*inputs, padding=size // 2)
    expected = expected.relu() if relu else expected
    torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
    grad = helpers.normal(y.shape, 4)
    for found, stated in zip(
        torch.autograd.grad(y, wanted, grad),
        torch.autograd.grad(expected, wanted, grad),
        strict=True,
    ):
        torch.testing.assert_close(found, stated, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("size", "side"), [(1, 4), (1, 16), (3, 4), (3, 8)])
def test_bfloat16_gradients_are_near_those_of_float64(size, side):
    """Few pixels and many: by products, and by the library."""
    x = helpers.normal((4, 8, side, side), 1, torch.bfloat16)
    x = x.contiguous(memory_format=torch.channels_last).requires_grad_()
    weight = helpers.normal((6, 8, size, size), 2, torch.float32).requires_grad_()
    bias = helpers.normal((6,), 3, torch.float32).requires_grad_()
    y = convolution(x, weight, bias, torch.bfloat16, relu=True)
    grad = helpers.normal(y.shape, 4, torch.bfloat16)
    found = torch.autograd.grad(y, [x, weight, bias], grad)
    assert [g.dtype for g in found] == [torch.bfloat16, torch.float32, torch.float32]
    wide = [t.detach().double().requires_grad_() for t in (x, weight.bfloat16(), bias.bfloat16())]
    mask = (y > 0).double()
    plain = F.conv2d(*wide, padding=size // 2) * mask
    for own, stated in zip(found, torch.autograd.grad(plain, wide, grad.double()), strict=True):
        assert float((own.double() - stated).norm() / stated.norm()) < 0.01

"""Actnorm and the 1×1 convolution as one affine map, composed and folded."""

import helpers
import pytest
import torch

from caflow_cli.layers import ChannelAffine, FoldedAffine, compose


@pytest.mark.parametrize("mode", ["train", "eval"])
@torch.no_grad()
def test_channel_affine_is_actnorm_and_then_the_convolution(mode):
    """One convolution, the same map: in `eval` composed in float64, in `train` in float32."""
    layer = helpers.randomise(helpers.seeded(lambda: ChannelAffine(6), 7), seed=8)
    layer.train(mode == "train")
    x = helpers.normal((2, 6, 4, 4), 9, torch.float32)
    middle, logdet_actnorm = layer.actnorm(x)
    expected, logdet_invconv = layer.invconv(middle)
    y, logdet = layer(x)
    torch.testing.assert_close(y, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logdet, logdet_actnorm + logdet_invconv, rtol=0, atol=1e-5)
    back, logdet_back = layer.inverse(y)
    torch.testing.assert_close(back, x, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=0)


@torch.no_grad()
def test_outside_training_the_affine_map_is_rounded_once():
    """Its rounding error is the same at every pixel and adds up: one of float32, not several."""
    layer = helpers.randomise(helpers.seeded(lambda: ChannelAffine(48), 7), seed=8).eval()
    layer.actnorm.bias.zero_()
    units = torch.eye(48)[:, :, None, None]
    columns = layer(units)[0].flatten(1).T
    exact = layer.invconv.weight() * layer.actnorm.log_scale.double().exp()
    assert torch.equal(columns, exact.float())


def test_composing_many_at_once_is_composing_each():
    """In training, and once the actnorms know their data: values and gradients."""
    layers = [helpers.randomise(ChannelAffine(6), k) for k in range(3)]
    stack = torch.nn.ModuleList(layers).double()
    x = helpers.normal((2, 6, 3, 4), 9)

    def through(maps):
        y, logdet = x, 0.0
        for layer, composed in zip(layers, maps, strict=True):
            y, term = layer(y, composed)
            logdet = logdet + term
        loss = y.square().sum() + logdet.sum()
        return y, logdet, torch.autograd.grad(loss, list(stack.parameters()))

    expected = through([None] * 3)
    maps = compose(layers)
    assert None not in maps
    assert compose([layers[0], ChannelAffine(6)]) == [None] * 2  # one has not seen its first batch
    torch.testing.assert_close(through(maps), expected, rtol=1e-12, atol=1e-12)
    stack.eval()
    assert compose(layers) == [None] * 3


@torch.no_grad()
def test_folded_layers_are_the_layers_one_behind_the_other():
    layers = [helpers.randomise(ChannelAffine(5), k).double().eval() for k in range(3)]
    folded = FoldedAffine(layers)
    x = helpers.normal((2, 5, 3, 4), 9)
    y, logdet = x, torch.zeros(2, dtype=torch.float64)
    for layer in layers:
        y, term = layer(y)
        logdet = logdet + term
    assert (y - x).abs().max() > 0.1
    found, found_logdet = folded(x)
    torch.testing.assert_close(found, y, rtol=0, atol=1e-11)
    torch.testing.assert_close(found_logdet, logdet, rtol=0, atol=1e-11)
    back, logdet_back = folded.inverse(y)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-11)
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=1e-11)


@torch.no_grad()
def test_doubles_through_folded_floats_are_not_rounded():
    """Forward and back in float64, by weights of float32: nothing of float32 is left between."""
    layers = [helpers.randomise(ChannelAffine(48), k).eval() for k in range(2)]
    folded = FoldedAffine(layers)
    x = helpers.normal((2, 48, 3, 3), 9)
    y, _ = folded(x)
    torch.testing.assert_close(folded.inverse(y)[0], x, rtol=0, atol=1e-12)
    rough = folded(x.float())[0]
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, y, rtol=0, atol=1e-4, check_dtype=False)

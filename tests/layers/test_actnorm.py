"""Data-dependent initialization: on the first training batch, once, and never elsewhere."""

import helpers
import pytest
import torch

from caflow_cli.layers import ActNorm, ChannelAffine, InvConv1x1
from caflow_cli.model import CAFlow


def batch(seed=1):
    scale = torch.tensor([0.1, 1.0, 30.0])[:, None, None]
    return helpers.normal((5, 3, 4, 6), seed, torch.float32) * scale + 7 * scale


def state(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def changed(before, module):
    return [name for name, old in before.items() if not torch.equal(old, module.state_dict()[name])]


@torch.no_grad()
def test_first_training_batch_leaves_with_mean_0_and_variance_1():
    """And only that one: what follows changes nothing."""
    layer = ChannelAffine(3).train()
    y, logdet = layer(batch())
    [weight] = InvConv1x1.weights([layer.invconv], torch.float32)
    normal = torch.linalg.solve(weight, y.transpose(1, 3).unsqueeze(-1))
    normal = normal.squeeze(-1).flatten(0, 2)
    torch.testing.assert_close(normal.mean(0), torch.zeros(3), rtol=0, atol=1e-3)
    torch.testing.assert_close(normal.var(0, correction=0), torch.ones(3), rtol=1e-3, atol=0)
    # The log-determinant of that very call is already the initialized one's.
    expected = -24 * batch().double().std((0, 2, 3), correction=0).log().sum()
    torch.testing.assert_close(logdet, expected.expand(5), rtol=1e-4, atol=0)
    before = state(layer)
    layer(3 * batch(2) - 100)
    assert changed(before, layer) == []


@torch.no_grad()
def test_a_module_in_eval_never_initializes():
    layer = ActNorm(3).eval()
    before = state(layer)
    layer.initialize(batch())
    assert changed(before, layer) == []
    layer.train().initialize(batch())
    assert changed(before, layer) == ["bias", "log_scale", "initialized"]


@pytest.mark.parametrize("after_a_step", [False, True])
def test_a_loaded_module_never_initializes(after_a_step):
    source, layer = ActNorm(3).train(), ActNorm(3).train()
    source.initialize(batch())
    if after_a_step:
        layer.initialize(batch(2))
    layer.load_state_dict(ActNorm(3).state_dict())
    assert not layer.is_initialized
    layer.load_state_dict(source.state_dict())
    assert layer.is_initialized
    before = state(source)
    layer.initialize(3 * batch(3) + 100)
    assert changed(before, layer) == []


def test_a_constant_channel_stays_finite():
    layer = ActNorm(3).train()
    layer.initialize(torch.full((2, 3, 4, 4), 0.3))
    assert layer.log_scale.exp().isfinite().all()


@torch.no_grad()
def test_one_training_batch_initializes_the_whole_model_in_order():
    model = helpers.seeded(lambda: CAFlow(helpers.small_config(scales=2)), 1)
    outputs = {}

    def keep(name):
        # Every actnorm is inside a ChannelAffine, whose W is a rotation at the start: its output
        # has mean 0 and, over all channels together, variance 1.
        return lambda module, args, output: outputs.update({name: output[0]})

    for name, child in model.named_modules():
        if isinstance(child, ChannelAffine):
            child.register_forward_hook(keep(name))
    target, cond = helpers.image_pair(model, 3, 16)
    noise = torch.rand(target.shape, generator=helpers.generator(5))
    model.train()(target + noise, cond + noise)
    assert all(child.initialized for child in model.modules() if isinstance(child, ActNorm))
    for name, y in outputs.items():
        torch.testing.assert_close(y.mean((0, 2, 3)), torch.zeros(y.shape[1]), atol=1e-3, rtol=0)
        assert float(y.square().mean()) == pytest.approx(1, abs=1e-2), name

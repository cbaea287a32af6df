"""One scale of a flow: squeeze, transitions, steps; and how a condition reaches the steps."""

import helpers
import pytest
import torch

from caflow_cli.flows import ConditionalScale, Scale

from .closed_form import affine_map, density, gaussian


@torch.no_grad()
@pytest.mark.parametrize("trunk", [0, 7])
def test_every_step_reads_its_own_features(trunk):
    """The condition of a scale is embedded at once: each net gets a part that no other one gets."""
    scale = helpers.randomise(ConditionalScale(8, 3, 2, 3, 5, 2.0, trunk)).double()
    d, l = helpers.normal((2, 3, 4, 4), 1), helpers.normal((2, 2, 4, 4), 2)
    parts = [part for step in scale._conditions(scale.read(d).with_latent(l)) for part in step]
    assert [part.shape[1] for part in parts] == [16, 5] * 3  # scale and bias of 8 channels
    assert len({round(float(part.sum()), 9) for part in parts}) == 6


@torch.no_grad()
def test_injectors_linear_in_the_condition_shift_the_mean_linearly():
    """z = A x + C c + b: fitted at a few conditions, it is the density at others."""
    scale = helpers.randomise(ConditionalScale(4, 1, 0, 2, 4, 2.0), 14).double().eval()
    # Far from the kinks the nets are linear: all hidden values positive. Scales stay constant.
    scale.embed_d.bias.fill_(60.0)
    for step in scale.steps:
        step.injector.net.second.weight.abs_()
        step.injector.net.last.weight[:4] = 0
        step.injector.net.last.bias[4:] -= 60 * step.injector.net.last.weight[4:].sum((1, 2, 3))
        step.coupling.net.last.weight.zero_()
    x, c = helpers.normal((9, 1, 4, 4), 15), helpers.normal((9, 1, 4, 4), 16)

    a, _ = affine_map(lambda p: scale(p, scale.read(0 * p[:1]))[0], x)
    zero = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    shift, b = affine_map(lambda p: scale(zero.expand_as(p), scale.read(p))[0], c)
    assert shift.abs().max() > 0.1
    for x_i, c_i in zip(x, c, strict=True):
        expected = gaussian(a, shift @ c_i.flatten() + b).log_prob(x_i.flatten())
        log_prob = density(scale, x_i[None], scale.read(c_i[None]))[0]
        torch.testing.assert_close(log_prob, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("steps", [0, 1, 3])
def test_in_training_transitions_are_a_part_of_the_first_step(steps):
    """One product of matrices for three maps: same values and gradients, fewer convolutions."""
    scale = helpers.randomise(Scale(8, steps, 5, 2.0), 3).double().train()
    x = helpers.normal((2, 2, 4, 6), 4).requires_grad_()
    values = [x, *scale.parameters()]

    def outcome():
        y, logdet = scale(x)
        gradients = torch.autograd.grad((y * y.detach().cos()).sum() + logdet.sum(), values)
        return y, logdet, *gradients

    together = outcome()
    one_by_one = [*scale.transitions, *scale.steps]
    y, logdet = scale.squeeze(x)
    for layer in one_by_one:
        y, term = layer(y)
        logdet = logdet + term
    expected = y, logdet, *torch.autograd.grad((y * y.detach().cos()).sum() + logdet.sum(), values)
    for found, stated in zip(together, expected, strict=True):
        torch.testing.assert_close(found, stated, rtol=1e-11, atol=1e-10)

    ran = []
    for layer in one_by_one:
        layer.register_forward_hook(lambda layer, *_: ran.append(layer))
    scale(x)
    assert ran == (list(scale.steps) if steps else one_by_one)

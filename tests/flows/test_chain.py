"""Layers one behind the other: values, log-determinants, and what is kept for the gradient."""

import helpers
import pytest
import torch

from caflow_cli.flows.step import Link, forward_through, inverse_through
from caflow_cli.layers import ChannelAffine, Coupling, Injector, Squeeze


def links():
    """Of several kinds, with and without a condition."""
    cond = helpers.normal((2, 6, 2, 3), 5)
    layers = [(Squeeze(), None), (ChannelAffine(8), None), (Coupling(8, 6, 1.5), cond)]
    injector = helpers.randomise(Injector(8, 6, 1.5), 9).double()
    layers += [(injector, injector.read(cond).detach()), (ChannelAffine(8), None)]
    return [Link(helpers.randomise(f, k).double(), c) for k, (f, c) in enumerate(layers)]


@torch.no_grad()
def test_a_chain_is_its_layers_in_turn():
    chain, x = links(), helpers.normal((2, 2, 4, 6), 1)
    expected, terms = x, []
    for layer, cond, _ in chain:
        expected, term = layer(expected, cond)
        terms.append(term)
    y, logdet = forward_through(chain, x)
    assert torch.equal(y, expected)
    torch.testing.assert_close(logdet, sum(terms), rtol=0, atol=1e-12)
    assert logdet.abs().min() > 0.1
    back, logdet_back = inverse_through(chain, y)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-10)
    torch.testing.assert_close(logdet_back, -logdet, rtol=0, atol=1e-10)


@torch.no_grad()
def test_a_chain_of_nothing_is_the_identity():
    x = helpers.normal((2, 2, 4, 6), 1)
    for y, logdet in (forward_through([], x), inverse_through([], x)):
        assert y is x
        assert torch.equal(logdet, torch.zeros(2, dtype=torch.float64))


@pytest.mark.parametrize("recompute", [False, True])
def test_recomputed_layers_have_the_same_gradient(recompute):
    chain, x = links(), helpers.normal((2, 2, 4, 6), 1).requires_grad_()
    runs = []
    chain[2].layer.register_forward_pre_hook(lambda *_: runs.append(1))

    def gradient(again):
        y, logdet = forward_through(chain, x, again)
        (gradient,) = torch.autograd.grad(y.square().sum() + logdet.sum(), x)
        return gradient

    expected = gradient(False)
    runs.clear()
    torch.testing.assert_close(gradient(recompute), expected, rtol=0, atol=1e-12)
    assert len(runs) == 1 + recompute

"""Muon, averaged weights, and the way back from bad steps."""

import copy
import math

import pytest
import torch
from helpers import small_config
from torch import nn

from caflow_cli.model import CAFlow
from caflow_cli.training.optim import EMA, Guard, Muon, has_orthogonal_steps, orthogonal


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("shape", [(3, 16, 24), (2, 24, 16), (1, 12, 12)])
def test_all_singular_values_become_nearly_equal(shape, dtype):
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    # The least singular values of a square matrix take more iterations than the five.
    near = (u.mT @ orthogonal(x, dtype) @ vh.mT).diagonal(dim1=-2, dim2=-1)
    assert near.median() == pytest.approx(1.0, abs=0.3)
    assert near.max() == pytest.approx(1.1, abs=0.15)
    assert (orthogonal(1e-3 * x, dtype) - orthogonal(x, dtype)).abs().max() < 0.05
    assert orthogonal(torch.zeros(shape), dtype).abs().max() == 0


def kernels() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(8, 6, 3, 3), (8, 6, 3, 3), (24, 8, 1, 1), (5,)]
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def grouped(parameters: list[nn.Parameter]) -> list[dict]:
    return [
        {"params": parameters[:3], "orthogonal": True},
        {"params": parameters[3:], "orthogonal": False},
    ]


def give_gradients(parameters: list[nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_muons_steps_are_those_of_the_formula():
    parameters = kernels()
    one = Muon(grouped(parameters), lr=0.1, bf16=False)
    before = copy.deepcopy(parameters)
    mean = torch.zeros(8, 54)
    for seed in (2, 3):
        give_gradients(parameters, seed)
        grad = parameters[1].grad.reshape(8, 54)
        mean = 0.95 * mean + 0.05 * grad
        along = orthogonal((0.95 * mean + 0.05 * grad)[None], torch.float32)[0]
        was = parameters[1].detach().reshape(8, 54).clone()
        one.step()
        moved = was - parameters[1].detach().reshape(8, 54)
        torch.testing.assert_close(moved, 0.1 * 0.2 * 54**0.5 * along, rtol=1e-5, atol=1e-6)
    for parameter, old in zip(parameters[:3], before, strict=False):
        length = (parameter - old).square().mean().sqrt()
        assert 0.5 * 0.02 < length < 2 * 0.02  # of two steps at 0.2 of the rate


def test_other_parameters_take_adams_steps_and_those_without_gradient_stay():
    ours, theirs = kernels(), kernels()
    one, adam = Muon(grouped(ours), lr=0.1), torch.optim.Adam(theirs, lr=0.1)
    for seed in (2, 3):
        give_gradients(ours, seed)
        give_gradients(theirs, seed)
        ours[0].grad = None
        one.step()
        adam.step()
    assert torch.equal(ours[3], theirs[3])
    assert torch.equal(ours[0], kernels()[0])
    assert not torch.equal(ours[1], theirs[1])


@pytest.mark.parametrize(
    ("name", "shape", "orthogonal_steps"),
    [
        ("T.scales.0.steps.1.coupling.net.first.weight", (32, 6, 3, 3), True),
        ("T.scales.0.steps.1.coupling.net.second.weight", (32, 32, 1, 1), True),
        ("T.scales.0.steps.1.coupling.net.last.weight", (12, 32, 3, 3), False),
        ("F.0.functions.1.trunk.blocks.0.first.weight", (64, 64, 3, 3), True),
        ("F.0.functions.1.trunk.injections.weight", (288, 64, 1, 1), False),
        ("F.0.functions.1.embed_l.weight", (64, 48, 3, 3), True),
        ("A.guide.first.weight", (64, 24, 3, 3), False),
        ("T.scales.0.steps.1.affine.invconv.lu", (12, 12), False),
        ("T.scales.0.steps.1.coupling.net.first.bias", (32,), False),
    ],
)
def test_muon_updates_kernels_inside_the_networks_of_flows(name, shape, orthogonal_steps):
    assert has_orthogonal_steps(name, torch.zeros(shape)) is orthogonal_steps


def test_the_average_is_the_recursion_it_claims_to_be():
    model = CAFlow(small_config(scales=1)).train()
    ema, expected = EMA(model, 0.999), None
    parameter, average = next(model.parameters()), next(ema.model.parameters())
    for update in range(5):
        with torch.no_grad():
            parameter.add_(update + 1.0)
        ema.update()
        rate = min(0.999, (1 + update) / (10 + update)) if update else 0.0
        current = parameter.detach().clone()
        expected = current if expected is None else rate * expected + (1 - rate) * current
        torch.testing.assert_close(average, expected)
    assert not ema.model.training
    assert not any(p.requires_grad for p in ema.model.parameters())
    flags = [name for name, _ in ema.model.named_buffers() if name.endswith("initialized")]
    assert not any(ema.model.get_buffer(name) for name in flags)
    x = torch.rand(4, 3, 8, 8) * 255
    model(x, x)
    ema.update()
    assert all(ema.model.get_buffer(name) for name in flags)


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (3.0, math.nan), (4.5, 1.0)]
)
def test_bad_steps_are_skipped_and_counted_and_twenty_in_a_row_are_too_many(loss, norm):
    guard = Guard()
    assert guard.accepts(5.0, 1.0)
    for _ in range(100):
        assert guard.accepts(3.0, 1.0)  # a fall is none
    assert not guard.accepts(loss, norm)
    assert (guard.skipped, guard.bad_in_a_row) == (1, 1)
    assert guard.accepts(3.0, 1.0)
    for _ in range(20):
        assert not guard.gives_up()
        assert not guard.accepts(loss, norm)
    assert guard.gives_up()
    guard.mean = None  # losses of another kind
    assert guard.accepts(9.0, 1.0)
    assert (guard.mean, guard.bad_in_a_row) == (9.0, 0)


def test_losses_that_differ_from_batch_to_batch_are_not_bad_but_a_jump_among_them_is():
    guard = Guard()
    losses = torch.randn(400, generator=torch.Generator().manual_seed(0)) * 1.5 + 4
    assert all(guard.accepts(loss, 1.0) for loss in losses.tolist())
    assert not guard.accepts(25.0, 1.0)

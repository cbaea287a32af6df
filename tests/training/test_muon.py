"""The rule by which kernels of nets learn."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from caflow_cli.training.muon import Muon, has_orthogonal_steps, orthogonal

TYPES = [torch.float32, torch.bfloat16]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(3, 16, 24), (2, 24, 16), (1, 12, 12)])
def test_all_directions_become_as_long_as_each_other(shape, dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator)
    u, _, vh = torch.linalg.svd(x, full_matrices=False)
    # The least singular values of a square matrix take more iterations than the five.
    near = (u.mT @ orthogonal(x, dtype) @ vh.mT).diagonal(dim1=-2, dim2=-1)
    assert (near.median(), near.max()) == (
        pytest.approx(1.0, abs=0.3),
        pytest.approx(1.1, abs=0.15),
    )
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


def test_steps_are_those_of_the_formula():
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


def test_the_others_are_adams_and_what_has_no_gradient_stays():
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


def test_a_copy_of_its_state_goes_on_alike():
    first = kernels()
    one = Muon(grouped(first), lr=0.1)
    give_gradients(first, 2)
    one.step()
    second = copy.deepcopy(first)
    other = Muon(grouped(second), lr=0.1)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for parameters, rule in ((first, one), (second, other)):
        give_gradients(parameters, 3)
        rule.step()
    assert all(map(torch.equal, first, second))


def test_a_kernel_learns_what_it_is_shown():
    generator = torch.Generator().manual_seed(4)
    x, truth = torch.randn(256, 12, generator=generator), torch.randn(8, 12, generator=generator)
    kernel = nn.Parameter(torch.zeros(8, 12))
    one = Muon([{"params": [kernel], "orthogonal": True}], lr=0.2)
    for step in range(200):
        loss = (x @ (kernel - truth).T).square().mean()
        loss.backward()
        one.param_groups[0]["lr"] = 0.2 * (1 - step / 200)
        one.step()
    assert (kernel - truth).abs().max() < 0.02


@pytest.mark.parametrize(
    ("name", "shape", "orthogonal_steps"),
    [
        ("T.scales.0.steps.1.coupling.net.first.weight", (32, 6, 3, 3), True),
        ("T.scales.0.steps.1.coupling.net.second.weight", (32, 32, 1, 1), True),
        ("T.scales.0.steps.1.coupling.net.last.weight", (12, 32, 3, 3), False),
        ("F.0.functions.1.trunk.blocks.0.first.weight", (64, 64, 3, 3), True),
        ("F.0.functions.1.trunk.injections.weight", (288, 64, 1, 1), False),
        ("F.0.functions.1.embed_l.weight", (64, 48, 3, 3), True),
        ("A.spread.first.weight", (64, 24, 3, 3), True),
        ("A.spread.head.weight", (12, 64, 3, 3), False),
        ("A.guide.first.weight", (64, 24, 3, 3), False),
        ("T.scales.0.steps.1.affine.invconv.lu", (12, 12), False),
        ("T.scales.0.steps.1.coupling.net.first.bias", (32,), False),
    ],
)
def test_it_moves_kernels_within_the_nets_of_flows(name, shape, orthogonal_steps):
    assert has_orthogonal_steps(name, torch.zeros(shape)) is orthogonal_steps

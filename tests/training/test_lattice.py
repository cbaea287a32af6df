"""What repeats every four pixels."""

from __future__ import annotations

import pytest
import torch

from caflow_cli.training.config import LATTICE_SIDE
from caflow_cli.training.lattice import lattice


def pattern(amplitude: float, period: int, side: int = 64) -> torch.Tensor:
    cell = torch.randn(period, period, generator=torch.Generator().manual_seed(1))
    cell = amplitude * (cell - cell.mean()) / cell.std(correction=0)
    return cell.repeat(-(-side // period), -(-side // period))[:side, :side].expand(1, 3, -1, -1)


def test_a_grid_counts_as_high_as_it_is():
    assert float(lattice(pattern(0.1, 4))) == pytest.approx(0.1, rel=0.15)
    ratio = float(lattice(pattern(0.2, 4)) / lattice(pattern(0.1, 4)))
    assert ratio == pytest.approx(2, rel=1e-3)
    assert float(lattice(pattern(0.1, 2))) == pytest.approx(
        0.1, rel=0.15
    )  # repeats every four, too


def test_a_grid_whose_sign_depends_on_the_place_is_found():
    """A net may turn its grid around from one part of a picture to the next."""
    x = pattern(0.1, 4).clone()
    x[..., 32:] *= -1
    assert float(lattice(x)) > 0.06


def test_other_detail_counts_as_chance():
    noise = torch.randn(8, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    assert lattice(noise).tolist() == pytest.approx([1 / 7] * 8, rel=0.2)
    assert float(lattice(pattern(0.1, 5))) < 0.03
    assert float(lattice(torch.linspace(0, 1, 64).expand(1, 3, 64, 64))) < 1e-3


def test_even_pictures_have_a_gradient_and_pictures_do_not_mix():
    x = torch.zeros(2, 3, LATTICE_SIDE, LATTICE_SIDE, requires_grad=True)
    moved = x + torch.stack([torch.zeros(3, 32, 32), pattern(0.1, 4, 32)[0]])
    found = lattice(moved)
    found.sum().backward()
    assert torch.isfinite(x.grad).all()
    assert found[0] < 1e-3 < found[1]


def test_a_step_along_the_gradient_takes_the_grid_away_and_little_else():
    noise = 0.1 * torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3))
    x = (noise + pattern(0.1, 4)).requires_grad_()
    for _ in range(200):
        (grad,) = torch.autograd.grad(lattice(x).sum(), x)
        x = (x - 5.0 * grad).detach().requires_grad_()
    assert lattice(x).item() < 0.02
    assert (x - noise).std().item() < 0.6 * 0.1

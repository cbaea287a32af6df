"""Models of values of which only differences count: they are equivariant to an added constant."""

import numpy as np
import pytest
import small_fields
import torch

import caflow_cli as caflow
from caflow_cli.config import Values
from caflow_cli.fields.project import means_of

HEIGHTS = Values("m", "relative", 0, 4000, resolution=2)


@pytest.fixture(scope="module")
def model():
    return small_fields.model_of(HEIGHTS, guide_net="relief")


def heights(seed: int, h: int = 8, w: int = 8) -> np.ndarray:
    """A rough slope in meters, float64 (4 h, 4 w)."""
    rng = np.random.default_rng(seed)
    return 9.0 * np.arange(4 * h)[:, None] + rng.normal(0, 12, (4 * h, 4 * w)).cumsum(1)


def coarse_of(x: np.ndarray) -> torch.Tensor:
    level = means_of(x, 4).repeat(4, 0).repeat(4, 1) / HEIGHTS.resolution
    return torch.from_numpy(np.stack([level, np.zeros_like(level)]))[None]


def test_an_added_constant_moves_the_location_alone(model):
    with torch.no_grad():
        marginals, moved = (model.density.A.expect(coarse_of(heights(1) + c)) for c in (0, 3000))
    moved[:, :1] -= 3000 / HEIGHTS.resolution
    torch.testing.assert_close(moved, marginals, rtol=0, atol=1e-9)


def test_density_and_members_move_with_an_added_constant(model):
    x = heights(2)
    v = torch.from_numpy(x / HEIGHTS.resolution)[None, None]
    noise = model.latent_noise(torch.Generator().manual_seed(3), (32, 32))
    drawn, log_probs = [], []
    for constant in (0.0, -430.0):
        condition, _ = model.density.condition(coarse_of(x + constant))
        log_probs.append(model.density(v + constant / 2, condition)[1])
        drawn.append(model.density.inverse([z[None].double() for z in noise], condition)[0])
    torch.testing.assert_close(log_probs[1], log_probs[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(drawn[1] + 215, drawn[0], rtol=0, atol=1e-6)


def test_a_flat_sea_stays_flat_until_the_guide_has_learned_otherwise():
    flat = small_fields.fresh(HEIGHTS, guide_net="relief").density.A.expect(
        coarse_of(np.full((32, 32), 7.0)).float()
    )
    torch.testing.assert_close(flat[:, 0], torch.full_like(flat[:, 0], 3.5))
    assert (flat[:, 1].exp() * HEIGHTS.resolution < 0.5).all()


def test_every_parameter_learns_from_the_likelihood(model):
    x = heights(4)
    anchor = model.train().density.A
    v = torch.from_numpy(x / HEIGHTS.resolution)[None, None]
    anchor.log_prob_alone(v, anchor.read(coarse_of(x))).sum().backward()
    for name, parameter in anchor.guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
    model.eval()


def test_members_have_exact_means_and_missing_cells(model):
    means = means_of(heights(5) - 300, 4)
    means[2:4, 3] = np.nan
    coarse = small_fields.field(means, "m", 1.0)
    found = caflow.restore(model, coarse, candidates=2)
    drawn = means_of(found.values.astype(np.float64), 4)
    np.testing.assert_allclose(drawn, np.broadcast_to(means, drawn.shape), rtol=0, atol=2e-3)

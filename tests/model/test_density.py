"""The density of the whole model: two directions, a known base, an integral that is 1."""

import math

import helpers
import pytest
import torch

from caflow_cli.flows import standard_normal_log_prob, to_uint8
from caflow_cli.model import CAFlow, bits_per_dim

SIZE = 32


def prior(z):
    return sum(standard_normal_log_prob(z_j) for z_j in z)


@pytest.mark.parametrize("tau", [0.0, 1.2])
def test_a_decoded_latent_encodes_to_itself(small_model64, tau):
    _, cond = helpers.image_pair(small_model64, 3, SIZE)
    shapes = small_model64.latent_shapes((SIZE, SIZE))
    z = [tau * helpers.normal((3, *shape), 5 + k) for k, shape in enumerate(shapes)]
    v, log_prob = small_model64.decode(z, cond)
    back, log_prob_back = small_model64.encode(v, cond)
    for z_j, back_j in zip(z, back, strict=True):
        torch.testing.assert_close(back_j, z_j, rtol=0, atol=1e-7)
    torch.testing.assert_close(log_prob_back, log_prob, rtol=1e-8, atol=0)


@pytest.mark.parametrize("fixture", ["small_model", "small_model64"])
def test_8_bit_images_come_back_exactly(fixture, request):
    model = request.getfixturevalue(fixture)
    target, cond = helpers.image_pair(model, 2, SIZE)
    # All values, the ends of the range among them.
    target[0, 0, :8, :] = torch.arange(256, dtype=torch.uint8).reshape(8, 32)
    z, _ = model.encode(target, cond)
    v, _ = model.decode(z, cond)
    assert torch.equal(to_uint8(v), target)


def test_uint8_is_taken_at_the_centre_of_its_bin(small_model64):
    target, cond = helpers.image_pair(small_model64, 2, SIZE)
    _, log_prob = small_model64.encode(target, cond)
    _, at_centre = small_model64.encode(target.double() + 0.5, cond)
    assert torch.equal(log_prob, at_centre)
    d = small_model64.encode_condition(cond).d
    expected, _ = small_model64.density.R(small_model64.density.logit(cond.double() + 0.5)[0])
    for actual, d_i in zip(d, expected, strict=True):
        torch.testing.assert_close(actual, d_i, rtol=0, atol=1e-12)


def test_a_base_that_is_the_push_forward_of_uniform_pixels_has_8_bits(small_model64):
    """The base density of z is |det dv/dz| / 256^D, by the inverse pass; log p(v) adds
    log|det dz/dv| of the forward pass. They cancel: 8 bits a dimension, whatever the model."""
    target, cond = helpers.image_pair(small_model64, 4, SIZE)
    u = torch.rand(target.shape, generator=helpers.generator(6), dtype=torch.float64)
    dims = 3 * SIZE**2
    z, log_prob = small_model64.encode(target + u, cond)
    assert 1e3 < log_prob.abs().max() < 1e5  # it is well-conditioned,
    assert all(0.05 < t.std() < 20 for t in z)  # as models of these tests are
    forward_logdet = log_prob - prior(z)
    _, log_prob_back = small_model64.decode(z, cond)
    inverse_logdet = -(log_prob_back - prior(z))
    assert forward_logdet.abs().min() > 100
    base = inverse_logdet - dims * math.log(256)
    bits = bits_per_dim(base + forward_logdet, dims)
    torch.testing.assert_close(bits, torch.full_like(bits, 8.0), rtol=0, atol=1e-9)


def test_bits_per_dim():
    assert bits_per_dim(-math.log(256) * 48, 48) == pytest.approx(8)
    tensor = torch.tensor([-math.log(2), 0.0], dtype=torch.float64)
    assert bits_per_dim(tensor, 1).tolist() == [1, 0]


def logit_by_hand(v, alpha):
    p = alpha / 2 + (1 - alpha) * v / 256
    return torch.log(p / (1 - p))


@pytest.mark.parametrize("seed", [1])
def test_the_smallest_model_integrates_to_one(seed):
    """Importance sampling over v with a Student t in logit space, fitted to the model's samples and
    wider than they are. Its density and its change of variables are computed here."""
    config = helpers.small_config(
        scales=1, target_channels=1, cond_channels=1, t_steps=1, hidden=6, f_hidden=6
    )
    model = helpers.seeded(lambda: CAFlow(config), seed)
    model = helpers.randomise(model, seed + 10, last=0.4, affine=0.15).double().eval()
    cond = helpers.smooth_image(1, 1, 4, seed + 20)
    alpha, dims, count, dof = 0.05, 16, 200_000, 12

    shape = model.latent_shapes((4, 4))[0]
    drawn = model.decode([helpers.normal((20_000, *shape), seed + 30)], cond)[0]
    drawn = logit_by_hand(drawn.flatten(1), alpha)
    mean, covariance = drawn.mean(0), 1.3 * torch.cov(drawn.T)
    root = torch.linalg.cholesky(covariance * (dof - 2) / dof)

    gen = helpers.generator(seed + 40)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 40)
        chi = torch.distributions.Chi2(torch.tensor(float(dof), dtype=torch.float64))
        mixing = (dof / chi.sample((count, 1))).sqrt()
    noise = torch.randn((count, dims), generator=gen, dtype=torch.float64) * mixing
    h = mean + noise @ root.T
    proposal = (
        math.lgamma((dof + dims) / 2)
        - math.lgamma(dof / 2)
        - dims / 2 * math.log(dof * math.pi)
        - root.diagonal().log().sum()
        - (dof + dims) / 2 * torch.log1p(noise.square().sum(1) / dof)
    )
    p = torch.sigmoid(h)
    v = (p - alpha / 2) * 256 / (1 - alpha)
    proposal = proposal - torch.log(p * (1 - p) * 256 / (1 - alpha)).sum(1)  # dv/dh

    encoding = model.encode_condition(cond)
    log_prob = torch.cat(
        [model.encode(part.reshape(-1, 1, 4, 4), encoding)[1] for part in v.split(20_000)]
    )
    weights = (log_prob - proposal).exp()
    effective = weights.sum().square() / weights.square().sum() / count
    print(f"integral {weights.mean():.5f}, effective sample size {effective:.1%}")
    assert effective > 0.01
    assert weights.mean().item() == pytest.approx(1, abs=0.02)
    # The model is not the fitted proposal's kind: its scales depend on the picture.
    assert (log_prob - proposal).std() > 0.1


@torch.no_grad()
def test_log_p_of_the_condition_counts_the_predicted_image_that_r_reads():
    config = helpers.small_config(scales=2, guide=4)
    density = helpers.data_like_model(config, seed=6, size=16).double().density
    y = helpers.normal((2, 3, 16, 16), 5).mul(30).add(128)
    _, log_prob = density.condition(y)
    predicted = density.logit.nearest(density.A.predict(density.A.read(y)))
    (h, first), (g, second) = density.logit(y), density.logit(predicted)
    d, logdet = density.R(torch.cat([h, g], dim=1))
    normal = sum(standard_normal_log_prob(d_i) for d_i in d)
    torch.testing.assert_close(log_prob, first + second + logdet + normal)

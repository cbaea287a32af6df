"""The contracts of `log_prob` and `sample`: deterministic, and the same in any batch."""

import helpers
import pytest
import torch


def test_a_batch_scores_as_its_images_do_alone():
    # Its own images set the actnorms: far from what a model fits, |z| and rounding errors grow.
    model = helpers.data_like_model(helpers.small_config(), seed=3, size=32, batch=12)
    target, cond = helpers.image_pair(model, 12, 32, seed=203)
    together = model.log_prob(target, cond)
    alone = torch.cat([model.log_prob(target[b : b + 1], cond[b : b + 1]) for b in range(12)])
    assert together.dtype == torch.float64
    assert together.shape == (12,)
    assert together.std() > 1
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-3)


def test_one_condition_for_neighboring_candidates(small_model64):
    images, candidates = 2, 3
    target, _ = helpers.image_pair(small_model64, images * candidates, 32)
    _, cond = helpers.image_pair(small_model64, images, 32, seed=12)
    repeated = cond.repeat_interleave(candidates, dim=0)
    expected = small_model64.log_prob(target, repeated)
    assert expected.std() > 1
    for given in (cond, small_model64.encode_condition(cond)):
        actual = small_model64.log_prob(target, given)
        torch.testing.assert_close(actual, expected, rtol=0, atol=1e-8)

    z, log_prob = small_model64.encode(target, cond)
    torch.testing.assert_close(
        log_prob, small_model64.encode(target, repeated)[1], rtol=1e-12, atol=0
    )
    v, log_prob_back = small_model64.decode(z, cond)
    torch.testing.assert_close(v, target + torch.tensor(0.5).double(), rtol=0, atol=1e-8)
    torch.testing.assert_close(log_prob_back, log_prob, rtol=1e-9, atol=0)


def test_noise_samples(small_model64):
    target, cond = helpers.image_pair(small_model64, 2, 32)
    four = small_model64.log_prob_samples(target, cond, 4)
    assert four.shape == (4, 2)
    assert four.dtype == torch.float64
    assert torch.equal(small_model64.log_prob_samples(target, cond, 2), four[:2])
    assert torch.equal(small_model64.log_prob(target, cond, 4), four.mean(0))
    assert torch.equal(small_model64.log_prob(target, cond), four[0])
    assert four.std(0).min() > 0.01
    # Draw k is the density at w + u_k, the same u_k for both images.
    for k, u in enumerate(helpers.first_noise((3, 32, 32), 4)):
        _, log_prob = small_model64.encode(target.double() + u.double(), cond)
        torch.testing.assert_close(four[k], log_prob, rtol=1e-12, atol=0)


SIZE = 32


@pytest.fixture(scope="module")
def cond(small_model):
    return helpers.image_pair(small_model, 3, SIZE)[1]


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=0.02)


def test_a_seed_for_each_image(small_model, cond):
    """And the batch does not matter, nor the global generator."""
    seeds = [5, 9, 5]
    together = small_model.sample(cond, candidates=2, seed=seeds)
    torch.rand(3)
    assert torch.equal(small_model.sample(cond, candidates=2, seed=seeds), together)
    for b, seed in enumerate(seeds):
        close(small_model.sample(cond[b : b + 1], candidates=2, seed=seed)[0], together[b])
        close(small_model.sample(cond[b : b + 1], seed=seed + 1)[0, 0], together[b, 1])


def test_order_and_type_of_the_noise(small_model):
    """z_{n-1}^{n-1} first, z_0^0 last, from one float32 CPU generator: part of the contract."""
    noise = small_model.latent_noise(42, (16, 48))
    gen = torch.Generator().manual_seed(42)
    shapes = [(12, 4, 12), (24, 2, 6), (96, 1, 3), (24, 2, 6), (96, 1, 3), (192, 1, 3)]
    assert [tuple(t.shape) for t in noise] == shapes
    for z, shape in zip(noise, shapes, strict=True):
        assert z.dtype == torch.float32
        assert z.device.type == "cpu"
        assert torch.equal(z, torch.randn(shape, generator=gen))

"""Samples: candidate k is generator `seed + k`, whatever else is drawn beside it."""

import helpers
import pytest
import torch

SIZE = 32


@pytest.fixture(scope="module")
def cond(small_model):
    return helpers.image_pair(small_model, 3, SIZE)[1]


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=0, atol=0.02)


def test_shape_type_and_spread(small_model, cond):
    v = small_model.sample(cond, candidates=4)
    assert v.shape == (3, 4, 3, SIZE, SIZE)
    assert v.dtype == torch.float32
    assert v.isfinite().all()
    assert v.std(1).mean() > 1
    assert small_model.sample(cond).shape == (3, 1, 3, SIZE, SIZE)


def test_equal_calls_give_equal_bytes(small_model, cond):
    first = small_model.sample(cond, candidates=2, seed=3)
    torch.rand(3)
    assert torch.equal(first, small_model.sample(cond, candidates=2, seed=3))
    assert not torch.equal(first, small_model.sample(cond, candidates=2, seed=5))


def test_samples_do_not_depend_on_the_batch(small_model, cond):
    together = small_model.sample(cond, candidates=2, seed=4)
    for b in range(3):
        close(small_model.sample(cond[b : b + 1], candidates=2, seed=4)[0], together[b])


def test_a_seed_for_each_image(small_model, cond):
    seeds = [5, 9, 5]
    together = small_model.sample(cond, candidates=2, seed=seeds)
    for b, seed in enumerate(seeds):
        close(small_model.sample(cond[b : b + 1], candidates=2, seed=seed)[0], together[b])
        close(small_model.sample(cond[b : b + 1], seed=seed + 1)[0, 0], together[b, 1])


def test_an_encoded_condition_samples_the_same(small_model, cond):
    encoding = small_model.encode_condition(cond)
    assert torch.equal(small_model.sample(encoding, seed=1), small_model.sample(cond, seed=1))


def test_temperature_0_has_one_candidate(small_model, cond):
    v = small_model.sample(cond, tau=0, candidates=3)
    close(v[:, 1], v[:, 0])
    close(v[:, 2], v[:, 0])
    assert not torch.allclose(v[0], v[1], atol=1)


def test_temperature_is_the_standard_deviation_of_the_latents(small_model64, cond):
    tau = 0.7
    v = small_model64.sample(cond[:1], tau=tau, candidates=2, seed=6)
    for k in range(2):
        z, _ = small_model64.encode(v[:, k], cond[:1])
        for z_j, noise in zip(z, small_model64.latent_noise(6 + k, (SIZE, SIZE)), strict=True):
            torch.testing.assert_close(z_j[0], tau * noise.double(), rtol=0, atol=1e-6)


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

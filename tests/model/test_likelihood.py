"""The likelihood contract of `log_prob`: deterministic, batch-free, the same noise for all."""

import helpers
import pytest
import torch

from caflow_cli.config import Config


@pytest.mark.parametrize("config", [helpers.small_config(), Config()], ids=["small", "default"])
def test_a_batch_scores_as_its_images_do_alone(config):
    # Its own images set the actnorms: far from what a model fits, |z| and rounding errors grow.
    model = helpers.data_like_model(config, seed=3, size=32, batch=12)
    target, cond = helpers.image_pair(model, 12, 32, seed=203)
    together = model.log_prob(target, cond)
    alone = torch.cat([model.log_prob(target[b : b + 1], cond[b : b + 1]) for b in range(12)])
    assert together.dtype == torch.float64
    assert together.shape == (12,)
    assert together.std() > 1
    print(f"batch of 12 - alone: at most {(together - alone).abs().max():.1e} nats")
    torch.testing.assert_close(together, alone, rtol=0, atol=1e-3)


def test_one_condition_for_neighbouring_candidates(small_model64):
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


def test_an_encoded_condition_scores_as_the_condition(small_model):
    target, cond = helpers.image_pair(small_model, 2, 32)
    encoding = small_model.encode_condition(cond)
    assert encoding.size == (32, 32)
    assert small_model.encode_condition(encoding) is encoding
    expected = small_model.log_prob(target, cond)
    assert torch.equal(small_model.log_prob(target, encoding), expected)


def test_the_condition_matters(small_model):
    target, cond = helpers.image_pair(small_model, 2, 32)
    difference = small_model.log_prob(target, cond) - small_model.log_prob(target, cond.flip(0))
    assert difference.abs().min() > 1


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


def test_memory_layout_does_not_matter(small_model):
    target, cond = helpers.image_pair(small_model, 2, 32)
    expected = small_model.log_prob(target, cond)
    last = [t.contiguous(memory_format=torch.channels_last) for t in (target, cond)]
    torch.testing.assert_close(small_model.log_prob(*last), expected, rtol=0, atol=1e-3)
    wide = [torch.cat([t, t], dim=3)[..., :32] for t in (target, cond)]
    torch.testing.assert_close(small_model.log_prob(*wide), expected, rtol=0, atol=1e-3)

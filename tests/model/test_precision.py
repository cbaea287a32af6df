"""float32 is enough for scores, and bfloat16 never reaches one."""

import copy

import helpers
import pytest
import torch

from caflow_cli import devices
from caflow_cli.layers import Conv


def test_float32_scores_are_float64_scores(default_model):
    target, cond = helpers.image_pair(default_model, 2, 64)
    single = default_model.log_prob(target, cond)
    double = helpers.as_double(default_model).log_prob(target, cond)
    print(f"float32 - float64: {(single - double).tolist()} nats of {double.tolist()}")
    assert 1e4 < double.abs().max() < 1e5
    torch.testing.assert_close(single, double, rtol=0, atol=0.02)


def test_float32_directions_agree(default_model):
    target, cond = helpers.image_pair(default_model, 2, 64)
    z, log_prob = default_model.encode(target, cond)
    _, log_prob_back = default_model.decode(z, cond)
    print(f"encode - decode: {(log_prob - log_prob_back).tolist()} nats")
    torch.testing.assert_close(log_prob_back, log_prob, rtol=0, atol=0.05)


@pytest.fixture
def bf16(monkeypatch):
    """Also where the processor has no instructions for it."""
    monkeypatch.setattr(devices, "_WITHOUT_BF16", set())


def test_bf16_touches_training_only(small_model, bf16):
    model = copy.deepcopy(small_model)
    target, cond = helpers.image_pair(model, 2, 32)
    u = torch.rand(target.shape, generator=helpers.generator(1))
    scores, samples = model.log_prob(target, cond), model.sample(cond)
    model.train()
    with torch.no_grad():
        plain = model(target + u, cond + u)

    model.use_bf16()
    assert all(child.bf16 for child in model.modules() if isinstance(child, Conv))
    with torch.no_grad():
        rough = model(target + u, cond + u)
    for before, after in zip(plain, rough, strict=True):
        assert after.dtype == torch.float64
        assert not torch.equal(before, after)
        torch.testing.assert_close(after, before, rtol=0.02, atol=0)
    model.eval()
    assert torch.equal(model.log_prob(target, cond), scores)
    assert torch.equal(model.sample(cond), samples)

    model.use_bf16(False)
    model.train()
    with torch.no_grad():
        again = model(target + u, cond + u)
    for before, after in zip(plain, again, strict=True):
        assert torch.equal(before, after)
    assert not Conv.bf16
    assert not any(child.bf16 for child in small_model.modules() if isinstance(child, Conv))


def test_gradients_under_bf16_are_those_of_the_parameters(small_model, bf16):
    model = copy.deepcopy(small_model).train()
    model.use_bf16()
    target, cond = helpers.image_pair(model, 1, 32)
    terms = model(target + 0.5, cond + 0.5)
    (-terms.log_prob - 0.01 * terms.cond_log_prob).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all(), name

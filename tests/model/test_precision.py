"""float32 is enough for scores, and bfloat16 never reaches one."""

import copy

import helpers
import torch

from caflow_cli.training.optim import use_bf16


def test_float32_scores_are_float64_scores(small_model, small_model64):
    target, cond = helpers.image_pair(small_model, 2, 64)
    single, double = (model.log_prob(target, cond) for model in (small_model, small_model64))
    assert 1e4 < double.abs().max() < 1e5
    torch.testing.assert_close(single, double, rtol=0, atol=0.02)


def test_points_come_back_as_float64_has_them():
    """Nets say the same of a point in both directions, however their values are rounded."""
    config = helpers.small_config(scales=2, t_steps=6, f_steps=4)
    model = helpers.data_like_model(config, seed=3, size=16, last=0.3)
    images, cond = helpers.image_pair(model, 8, 16)
    point = images.double() + 0.5 + 1e-7  # not one of float32's
    latents, log_prob = model.encode(point, cond)
    v, log_prob_back = model.decode(latents, cond)
    torch.testing.assert_close(v, point, rtol=0, atol=1e-9)
    torch.testing.assert_close(log_prob_back, log_prob, rtol=0, atol=1e-9)
    rough, _ = model.decode([z.float() for z in latents], cond)
    assert (rough - point).abs().max() > 1e-4
    double = copy.deepcopy(model).double()
    torch.testing.assert_close(double.encode(point, cond)[1], log_prob, rtol=0, atol=0.01)


def test_latents_are_decoded_in_their_own_type(small_model):
    target, cond = helpers.image_pair(small_model, 2, 32)
    noise = [
        torch.stack(z)
        for z in zip(*(small_model.latent_noise(s, (32, 32)) for s in (5, 6)), strict=True)
    ]
    single, _ = small_model.decode(noise, cond)
    assert torch.equal(single, small_model.sample(cond, 1.0, 1, seed=[5, 6])[:, 0])
    double, _ = small_model.decode([z.double() for z in noise], cond)
    assert (single.dtype, double.dtype) == (torch.float32, torch.float64)
    torch.testing.assert_close(double, single, rtol=0, atol=0.02, check_dtype=False)
    mixed = [noise[0].double(), *(z.half() for z in noise[1:])]
    assert small_model.decode(mixed, cond)[0].dtype == torch.float32
    training = copy.deepcopy(small_model).train()
    latents, _ = training.encode(target, cond)
    assert {z.dtype for z in latents} == {torch.float32}


def test_bf16_touches_training_only_and_gradients_are_those_of_the_parameters(
    small_model,
):
    model = copy.deepcopy(small_model)
    target, cond = helpers.image_pair(model, 2, 32)
    u = torch.rand(target.shape, generator=helpers.generator(1))
    scores, samples = model.log_prob(target, cond), model.sample(cond)
    model.train()
    with torch.no_grad():
        plain = model(target + u, cond + u)

    use_bf16(model)
    with torch.no_grad():
        rough = model(target + u, cond + u)
    for before, after in zip(plain, rough, strict=True):
        assert after.dtype == torch.float64
        assert not torch.equal(before, after)
        torch.testing.assert_close(after, before, rtol=0.02, atol=0)
    model.eval()
    assert torch.equal(model.log_prob(target, cond), scores)
    assert torch.equal(model.sample(cond), samples)

    terms = model.train()(target + 0.5, cond + 0.5)
    (-terms.log_prob - 0.01 * terms.cond_log_prob).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad.dtype == torch.float32
        assert parameter.grad.isfinite().all(), name
    use_bf16(model, False)
    with torch.no_grad():
        again = model(target + u, cond + u)
    for before, after in zip(plain, again, strict=True):
        assert torch.equal(before, after)

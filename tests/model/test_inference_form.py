"""The inference form: what the training form computes, with nothing of weights alone in a call."""

import copy

import helpers
import pytest
import torch

from caflow_cli.model import CAFlow

SIZE = 32
SMALL = 16  # of the variants, which have two scales
VARIANTS = [
    {},
    {"trunk": (8, 6), "trunk_blocks": 3, "hidden": (8, 12)},
    {
        "trunk": 8,
        "trunk_blocks": 2,
        "trunk_norm": True,
        "coupling_bound": (0.2, 0.5),
        "shift_bound": 2,
    },
    {"conditional": "shared", "t_steps": 0, "r_steps": 0, "f_steps": 2},
    {"conditional": "dual-glow", "dequantization": "variational"},
    {"cond_channels": 4, "anchor": "fill", "guide": (4, 5, 6), "guide_net": "unet"},
    {"guide": (4, 8, 8), "guide_net": "unet", "guide_views": 8},
    {"cond_channels": 1, "anchor": "luminance"},
]


def trained_scores(model, target, cond):
    """`log_prob`, and the log-density at bin centers, by the modules that are trained."""
    y, shape = cond.to(model.dtype) + 0.5, tuple(target.shape[1:])
    noise = helpers.first_noise(shape, 1, normal=model.Q is not None).expand(len(target), *shape)
    score = model(target.to(model.dtype), y, noise).log_prob
    return score.detach(), model(target.to(model.dtype) + 0.5, y).log_prob.detach()


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda flow: str(flow) or "default")
def model(request):
    config = helpers.small_config(scales=2, **request.param)
    return helpers.data_like_model(config, seed=3, size=SMALL)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_training_form(model, dtype):
    model = copy.deepcopy(model).to(dtype)
    target, cond = helpers.image_pair(model, 2, SMALL)
    scores, at_centers = trained_scores(model, target, cond)
    with torch.no_grad():
        condition, _ = model.density.condition(cond.to(dtype) + 0.5)
        latents, _ = model.density(target.to(dtype) + 0.5, condition)
        again, log_prob = model.density.inverse(latents, condition)
        noise = [model.latent_noise(5 + k, (SMALL, SMALL)) for k in range(3)] * 2
        z = [0.8 * torch.stack(z_j).to(dtype) for z_j in zip(*noise, strict=True)]
        points = model.density.inverse(z, condition)[0].unflatten(0, (2, 3))
    single = dtype == torch.float32
    for given in (cond, model.encode_condition(cond)):
        close = {"rtol": 0, "atol": 2e-3 if single else 1e-9}
        torch.testing.assert_close(model.log_prob(target, given), scores, **close)
        torch.testing.assert_close(model.encode(target, given)[1], at_centers, **close)
        torch.testing.assert_close(model.decode(latents, given)[1], log_prob, **close)
        loose = {"rtol": 0, "atol": 0.02 if single else 1e-8}
        torch.testing.assert_close(model.decode(latents, given)[0], again, **loose)
        drawn = model.sample(given, tau=0.8, candidates=3, seed=5)
        torch.testing.assert_close(drawn, points, **loose)
        apart = (drawn.floor() - points.floor()).abs()
        assert apart.max() <= 1
        assert (apart > 0).double().mean() <= 1e-3  # few values: one in 4608 is 2e-4


def step(model, target, cond):
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6)
    noise = torch.full_like(target, 0.5, dtype=torch.float32)
    (-model.train()(target.float(), cond + 0.5, noise).log_prob)[0].backward()
    optimizer.step()
    model.eval()


@torch.no_grad()
def test_it_follows_the_weights_and_the_modules():
    config = helpers.small_config(scales=2)
    model, other = (helpers.data_like_model(config, seed, SMALL) for seed in (3, 9))
    names = list(model.state_dict())
    target, cond = helpers.image_pair(model, 1, SMALL)
    own, t = model.density, other.density.T
    actnorm = own.T.scales[0].steps[0].affine.actnorm
    seen = set()
    for change in (
        lambda: None,
        lambda: actnorm.log_scale.add_(0.1),
        lambda: setattr(actnorm, "bias", torch.nn.Parameter(torch.ones(12))),
        lambda: torch.enable_grad()(step)(model, target, cond),
        lambda: setattr(own, "T", t),
        lambda: setattr(own.F[0], "functions", copy.deepcopy(other.density.F[0].functions)),
        lambda: model.load_state_dict(other.state_dict()),
        lambda: model.double(),
    ):
        change()
        score, (_, at_centers) = model.log_prob(target, cond), model.encode(target, cond)
        expected = trained_scores(model, target, cond)
        torch.testing.assert_close((score, at_centers), expected, rtol=0, atol=1e-2)
        seen.add(float(score))
        assert torch.equal(copy.deepcopy(model).log_prob(target, cond), score)  # which has none
    assert len(seen) == 8
    assert list(model.state_dict()) == names


def test_a_model_built_in_inference_mode_sees_its_own_weights():
    """Such tensors do not say when they change."""
    config = helpers.small_config(scales=2)
    one, other = (helpers.data_like_model(config, seed, SMALL) for seed in (2, 3))
    target, cond = helpers.image_pair(one, 1, SMALL)
    with torch.inference_mode():
        model = CAFlow(one.config).eval()
        for source in (one, other):
            model.load_state_dict(source.state_dict())
            assert torch.equal(model.log_prob(target, cond), source.log_prob(target, cond))

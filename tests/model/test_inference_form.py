"""The inference form: what the training form computes, with nothing of weights alone in a call."""

import copy
from collections import Counter
from contextlib import contextmanager

import helpers
import numpy as np
import pytest
import torch
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.utils._python_dispatch import TorchDispatchMode

from caflow_cli.config import Config, TaskConfig
from caflow_cli.inference import Request, Sampler, task_of
from caflow_cli.layers import FixedConv
from caflow_cli.model import CAFlow
from caflow_cli.training.optim import compile_steps

SIZE = 32
SMALL = 16  # of the variants, which have two scales
VARIANTS = [
    {},
    {"trunk": (8, 6), "trunk_blocks": 3, "hidden": (8, 12)},
    {"conditional": "shared", "t_steps": 0, "r_steps": 0, "f_steps": 2},
    {"conditional": "dual-glow", "dequantization": "variational"},
    {"cond_channels": 4, "anchor": "fill", "guide": (4, 5, 6)},
    {"guide": (4, 8, 8), "guide_net": "unet", "guide_views": 8},
    {"cond_channels": 1, "anchor": "luminance"},
]
# Of weights alone: composing and inverting 1×1 convolutions, and packing.
OF_WEIGHTS = {
    "aten::linalg_solve_triangular",
    "aten::tril",
    "aten::triu",
    "aten::gather",
    "mkldnn::_reorder_convolution_weight",
}


def trained_scores(model, target, cond):
    """`log_prob`, and the log-density at bin centres, by the modules that are trained."""
    y, shape = cond.to(model.dtype) + 0.5, tuple(target.shape[1:])
    noise = helpers.first_noise(shape, 1, normal=model.Q is not None).expand(len(target), *shape)
    score = model(target.to(model.dtype), y, noise).log_prob
    return score.detach(), model(target.to(model.dtype) + 0.5, y).log_prob.detach()


@pytest.fixture(scope="module", params=VARIANTS, ids=lambda flow: str(flow) or "default")
def model(request):
    config = helpers.small_config(scales=2, **request.param)
    return helpers.data_like_model(config, seed=3, size=SMALL)


class Operations(TorchDispatchMode):
    """The names of all operations that are dispatched while it is entered."""

    def __enter__(self):
        self.names = set()
        return super().__enter__()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.add(func.name().partition(".")[0])
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_is_the_training_form(model, dtype):
    model = copy.deepcopy(model).to(dtype)
    target, cond = helpers.image_pair(model, 2, SMALL)
    scores, at_centres = trained_scores(model, target, cond)
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
        torch.testing.assert_close(model.encode(target, given)[1], at_centres, **close)
        torch.testing.assert_close(model.decode(latents, given)[1], log_prob, **close)
        loose = {"rtol": 0, "atol": 0.02 if single else 1e-8}
        torch.testing.assert_close(model.decode(latents, given)[0], again, **loose)
        drawn = model.sample(given, tau=0.8, candidates=3, seed=5)
        torch.testing.assert_close(drawn, points, **loose)
        apart = (drawn.floor() - points.floor()).abs()
        assert apart.max() <= 1
        assert (apart > 0).double().mean() <= 1e-3  # few values: one in 4608 is 2e-4


def test_no_call_computes_what_depends_on_weights_alone(model):
    model = copy.deepcopy(model)
    target, cond = helpers.image_pair(model, 2, SMALL)
    for folds in (True, False):
        with Operations() as seen:
            given = model.encode_condition(cond)
            model.sample(given, candidates=2)
            model.log_prob(target, given)
        assert bool(seen.names & OF_WEIGHTS) == folds


def restored(model, candidates, batch_size):
    """Candidates of a model of the task that its condition is for."""
    task, side = {1: ("colorize", SMALL), 3: ("superres", SMALL // 4), 4: ("inpaint", SMALL)}[
        model.config.flow.cond_channels
    ]
    image = helpers.smooth_image(1, 3, side, seed=4)[0].permute(1, 2, 0).numpy()
    mask = np.zeros((SMALL, SMALL, 1), np.uint8)
    mask[4:12, 4:12] = 255
    model = copy.copy(model)  # other tests share it
    model.config = Config(model.config.flow, TaskConfig(task, size=SMALL))
    request = Request.of(task_of(model), image, mask if task == "inpaint" else None)
    sampler = Sampler(model, [request], batch_size=batch_size)
    return list(sampler.batches(0.8, range(candidates), [0]))


@contextmanager
def called(kind):
    """Calls of modules of a kind, as (module, its first input)."""
    calls = []
    hook = register_module_forward_pre_hook(
        lambda module, args: calls.append((module, args[0])) if isinstance(module, kind) else None
    )
    try:
        yield calls
    finally:
        hook.remove()


def test_a_condition_is_read_once_for_all_candidates_and_both_passes(model):
    model = copy.deepcopy(model)
    _, cond = helpers.image_pair(model, 1, SMALL)
    with called(FixedConv) as reading:
        model.encode_condition(cond)
    views = model.density.A.views if model.density.A.guide is not None else 1
    assert max(Counter(id(conv) for conv, _ in reading).values()) == views
    with called(FixedConv) as calls:
        restored(model, candidates=4, batch_size=2)
    counts = Counter(id(conv) for conv, _ in calls)
    once = Counter(id(conv) for conv, _ in reading)
    assert {key: counts[key] for key in once} == once
    # All other convolutions run in two batches, forward, backward or both.
    assert {counts[key] for key in counts.keys() - once.keys()} <= {2, 4}


def step(model, target, cond):
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-6)
    noise = torch.full_like(target, 0.5, dtype=torch.float32)
    (-model.train()(target.float(), cond + 0.5, noise).log_prob)[0].backward()
    optimiser.step()
    model.eval()


@torch.no_grad()
def test_it_follows_the_weights_and_the_modules(small_model):
    model, other = copy.deepcopy(small_model), helpers.data_like_model(small_model.config, 9, SIZE)
    names = list(model.state_dict())
    target, cond = helpers.image_pair(model, 1, SIZE)
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
        score, (_, at_centres) = model.log_prob(target, cond), model.encode(target, cond)
        expected = trained_scores(model, target, cond)
        torch.testing.assert_close((score, at_centres), expected, rtol=0, atol=1e-2)
        seen.add(float(score))
        assert torch.equal(copy.deepcopy(model).log_prob(target, cond), score)  # which has none
    assert len(seen) == 8
    assert list(model.state_dict()) == names


@pytest.fixture(scope="module")
def shallow_model():
    """One scale and few layers: all of it is traced."""
    return helpers.data_like_model(helpers.small_config(scales=1, t_steps=1, r_steps=0), 3, 16)


def test_compiled_samples_are_the_plain_ones_and_scores_are_not_compiled(shallow_model):
    model = copy.deepcopy(shallow_model)
    target, cond = helpers.image_pair(model, 2, 16)
    given = model.encode_condition(cond)
    score = model.log_prob(target, given)
    latents = [z.float() for z in model.encode(target, given)[0]]
    plain, at = model.sample(given, 0.8, candidates=3), model.decode(latents, given)
    ran = []

    def backend(graph, inputs):
        return lambda *args: (ran.append(1), graph(*args))[1]

    model.compile_inference(backend)
    drawn = model.sample(given, 0.8, candidates=3)
    once = len(ran)
    now = model.decode(latents, given)
    assert 0 < once < len(ran)
    torch.testing.assert_close(now[1], at[1], rtol=0, atol=1e-2)
    torch.testing.assert_close(drawn, plain, rtol=0, atol=0.02)
    assert (drawn.floor() - plain.floor()).abs().max() <= 1
    ran.clear()
    assert torch.equal(model.log_prob(target, given), score)
    exact, _ = model.decode(model.encode(target, given)[0], given)
    assert exact.dtype == torch.float64
    copy.deepcopy(model).sample(given)
    assert ran == []


def test_compiled_steps_are_folded_from_their_own_weights(small_model):
    """Their `forward` is bound to the trained module, whose transitions are not folded into it."""
    model = copy.deepcopy(small_model)
    target, cond = helpers.image_pair(model, 1, SIZE)
    score = model.log_prob(target, cond)
    compile_steps(model, backend="eager")
    with torch.no_grad():
        model.density.T.scales[0].transitions[0].actnorm.bias += 1e-3
        model.density.T.scales[0].transitions[0].actnorm.bias -= 1e-3
    torch.testing.assert_close(model.log_prob(target, cond), score, rtol=0, atol=1e-2)


def test_a_model_built_in_inference_mode_sees_its_own_weights():
    """Such tensors do not say when they change."""
    one, other = (helpers.data_like_model(helpers.small_config(), seed, SIZE) for seed in (2, 3))
    target, cond = helpers.image_pair(one, 1, SIZE)
    with torch.inference_mode():
        model = CAFlow(one.config).eval()
        for source in (one, other):
            model.load_state_dict(source.state_dict())
            assert torch.equal(model.log_prob(target, cond), source.log_prob(target, cond))

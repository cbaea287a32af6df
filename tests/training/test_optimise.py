"""One step, and what must not change it."""

from __future__ import annotations

import copy

import helpers
import pytest
import torch
from accelerate import Accelerator

from caflow_cli.errors import CaflowError
from caflow_cli.model import bits_per_dim
from caflow_cli.training.batches import Batch
from caflow_cli.training.config import OptimConfig
from caflow_cli.training.optimise import Optimiser, parameter_groups
from caflow_cli.training.state import load_state, save_state

BATCH = 6


@pytest.fixture(scope="module")
def model():
    return helpers.data_like_model(helpers.small_config(scales=2), seed=6, size=16)


@pytest.fixture(scope="module")
def batch(model):
    target, cond = helpers.image_pair(model, BATCH, 16)
    noise = torch.rand(target.shape, generator=helpers.generator(7))
    return Batch(target.float(), cond + 0.5, noise)


def optimiser(model, **optim):
    values = {"batch_size": BATCH, "images": 100, "bf16": False} | optim
    return Optimiser(copy.deepcopy(model), Accelerator(cpu=True), OptimConfig(**values))


def after_one_step(model, batch, **optim):
    """Figures and gradients of a step that leaves the weights alone."""
    one = optimiser(model, **optim)
    one.initialise(batch)
    taken = {}
    one.adam.step = lambda: taken.update(
        {name: p.grad.clone() for name, p in one.model.named_parameters()}
    )
    return one.step(batch, 1e-3), taken


@pytest.mark.parametrize(
    "optim",
    [{"accumulate": 2}, {"accumulate": 3}, {"checkpoint_activations": True}],
)
def test_parts_and_checkpoints_leave_the_step_as_it_is(model, batch, optim):
    figures, expected = after_one_step(model, batch)
    shared, found = after_one_step(model, batch, **optim)
    assert expected
    assert expected.keys() == found.keys()
    assert shared.loss == pytest.approx(figures.loss, rel=1e-6)
    assert shared.bits_per_dim == pytest.approx(figures.bits_per_dim, rel=1e-6)
    assert shared.grad_norm == pytest.approx(figures.grad_norm, rel=1e-4)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-9)


def test_wide_matrices_learn_slower(model, batch):
    groups = parameter_groups(model, 16)
    shares = {id(p): group["share"] for group in groups for p in group["params"]}
    assert len(shares) == len(list(model.parameters()))
    for name, p in model.named_parameters():
        wide = name.endswith(".lu") and len(p) > 16
        assert shares[id(p)] == (16 / len(p) if wide else 1)
    assert min(shares.values()) < 0.5
    assert {group["share"] for group in parameter_groups(model, 0)} == {1.0}

    one = optimiser(model)
    one.step(batch, 1e-3)
    for group in one.adam.param_groups:
        assert group["lr"] == pytest.approx(1e-3 * group["share"])


def test_a_guide_learns_at_its_own_rate():
    model = helpers.data_like_model(helpers.small_config(scales=2, guide=4), seed=6, size=16)
    groups = parameter_groups(model, 16, 0.05)
    shares = {id(p): group["share"] for group in groups for p in group["params"]}
    assert len(shares) == len(list(model.parameters()))
    guides = {name for name, p in model.named_parameters() if shares[id(p)] == 0.05}
    assert guides == {name for name, _ in model.named_parameters() if name.startswith("A.")}
    given = {group["share"] for group in optimiser(model, guide_lr_share=0.01).adam.param_groups}
    assert 0.01 in given


def test_the_guide_alone_takes_a_step_of_its_own():
    model = helpers.data_like_model(helpers.small_config(scales=2, guide=4), seed=6, size=16)
    target, cond = helpers.image_pair(model, BATCH, 16)
    batch = Batch(target.float(), cond + 0.5, torch.rand(target.shape))
    one = optimiser(model, guide_lr_share=0.05)
    with torch.no_grad():
        terms = model(batch.target, batch.cond, batch.noise, guide="alone")
    for _ in range(2):
        figures = one.step(batch, 1e-3, guide_alone=True)
        for (name, before), after in zip(
            model.named_parameters(), one.model.parameters(), strict=True
        ):
            assert torch.equal(before, after) != name.startswith("A.guide."), name
    assert figures.loss < float(bits_per_dim(terms.log_prob.mean(), target[0].numel()))
    assert figures.loss == figures.bits_per_dim
    assert {group["lr"] for group in one.adam.param_groups} == {1e-3}
    one.step(batch, 1e-3)
    assert {group["lr"] for group in one.adam.param_groups} >= {1e-3, 1e-3 * 0.05}
    for name, after in one.model.named_parameters():
        assert not torch.equal(dict(model.named_parameters())[name], after), name


def test_at_no_rate_a_guide_stays_as_it_learned_alone():
    model = helpers.data_like_model(helpers.small_config(scales=2, guide=4), seed=6, size=16)
    target, cond = helpers.image_pair(model, BATCH, 16)
    batch = Batch(target.float(), cond + 0.5, torch.rand(target.shape))
    one = optimiser(model, guide_lr_share=0)
    one.step(batch, 1e-3, guide_alone=True)
    before = {name: p.clone() for name, p in one.model.named_parameters()}
    figures = one.step(batch, 1e-3)
    assert figures.taken
    for name, after in one.model.named_parameters():
        assert torch.equal(before[name], after) == name.startswith("A.guide."), name


def test_a_state_finds_its_moments_whatever_the_groups(model, batch, tmp_path):
    first = optimiser(model)
    first.step(batch, 1e-3)
    save_state(tmp_path, first.model, first.ema, first.adam, {"step": 1}, every=1)
    other = optimiser(model, invconv_lr_width=0)
    load_state(tmp_path / "step-00000001", other.model, other.ema, other.adam)
    assert [len(one.adam.param_groups) > 1 for one in (first, other)] == [True, False]
    names = dict(other.model.named_parameters())
    for name, parameter in first.model.named_parameters():
        for moment, value in first.adam.state[parameter].items():
            assert torch.equal(value, other.adam.state[names[name]][moment]), name


def test_compiling_needs_a_compiler(model, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CaflowError, match=r"no C\+\+ compiler 'no-such-compiler'") as caught:
        optimiser(model, compile=True)
    assert caught.value.exit_code == 2

"""One step, and what must not change it."""

from __future__ import annotations

import copy

import pytest
import torch
from accelerate import Accelerator

from caflow_cli.devices import net_type
from caflow_cli.errors import CaflowError
from caflow_cli.training.config import OptimConfig, SamplesConfig
from caflow_cli.training.muon import has_orthogonal_steps
from caflow_cli.training.objective import anchor_density
from caflow_cli.training.optimise import Optimiser, parameter_groups
from caflow_cli.training.parameters import named_parameters
from caflow_cli.training.phases import phases_of

BATCH = 6


def optimiser(model, samples=None, **optim):
    values = {"batch_size": BATCH, "images": 100, "bf16": False} | optim
    config = OptimConfig(**values)
    return Optimiser(copy.deepcopy(model), Accelerator(cpu=True), config, None, samples)


def weights(one):
    return {name: p.detach().clone() for name, p in named_parameters(one.model).items()}


def learned(before, one):
    """Names of the parameters that are no longer what they were."""
    return {name for name, p in named_parameters(one.model).items() if not p.equal(before[name])}


def of_guide(names):
    return {name for name in names if name.startswith("A.guide.")}


def after_one_step(model, batch, samples=None, **optim):
    """Figures and gradients of a step that leaves the weights alone."""
    one = optimiser(model, samples, **optim)
    one.initialise(batch)
    taken = {}
    one.rule.step = lambda: taken.update(
        {name: p.grad.clone() for name, p in one.model.named_parameters()}
    )
    return one.step(batch, 1e-3), taken


@pytest.fixture(scope="module")
def plain_step(model, batch):
    return after_one_step(model, batch)


@pytest.mark.parametrize(
    "optim",
    [{"accumulate": 2}, {"accumulate": 3}, {"checkpoint_activations": True}],
)
def test_parts_and_checkpoints_leave_the_step_as_it_is(model, batch, plain_step, optim):
    figures, expected = plain_step
    shared, found = after_one_step(model, batch, **optim)
    assert expected
    assert expected.keys() == found.keys()
    assert shared.loss == pytest.approx(figures.loss, rel=1e-6)
    assert shared.bits_per_dim == pytest.approx(figures.bits_per_dim, rel=1e-6)
    assert shared.grad_norm == pytest.approx(figures.grad_norm, rel=1e-4)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-4 * scale + 1e-9)


@pytest.mark.parametrize("share", [0.05, 0.0])
def test_every_parameter_is_in_the_group_of_its_shares(guided_model, share):
    optim = OptimConfig(images=1, guide_first=0.5, guide_lr_share=share)
    phases = phases_of(optim, guided_model.config.flow)
    groups = parameter_groups(guided_model, phases, "adam")
    shares = {id(p): group["shares"] for group in groups for p in group["params"]}
    assert len(shares) == sum(len(group["params"]) for group in groups)
    assert len(shares) == len(list(guided_model.parameters()))
    for name, p in named_parameters(guided_model).items():
        assert shares[id(p)] == tuple(phase.share(name, p) for phase in phases), name
    assert len(groups) > 2


def test_muon_moves_the_kernels_within_nets_and_adam_all_else(guided_model, batch):
    one = optimiser(guided_model, guide_first=0.0)
    named = named_parameters(one.model)
    kernels = {name for name, p in named.items() if has_orthogonal_steps(name, p)}
    assert kernels
    assert len(kernels) < len(named)
    one.step(batch, 1e-3)
    moments = {name: set(one.rule.state[p]) for name, p in named.items()}
    assert {name for name, of in moments.items() if of == {"step", "momentum"}} == kernels
    adams = {"step", "exp_avg", "exp_avg_sq"}
    assert {name for name, of in moments.items() if of == adams} == named.keys() - kernels


def test_by_adam_a_step_is_that_of_torch(model, batch):
    one, plain = optimiser(model, method="adam"), optimiser(model, method="adam")
    options = {"lr": 1e-3, "betas": (0.9, plain.config.beta2), "fused": True}
    groups = parameter_groups(plain.model, plain.phases, "adam")
    plain.rule = torch.optim.Adam(groups, **options)
    for either in (one, plain):
        either.step(batch, 1e-3)
    assert all(map(torch.equal, weights(one).values(), weights(plain).values()))
    assert not any(group["orthogonal"] for group in one.rule.param_groups)


@pytest.mark.parametrize("bf16", [False, True])
def test_muon_computes_in_the_type_of_the_nets(model, bf16):
    wanted = net_type(torch.float32, torch.device("cpu"), True, bf16) is torch.bfloat16
    assert optimiser(model, bf16=bf16).rule.bf16 is wanted


def test_groups_step_at_their_shares_of_the_rate(model, batch):
    one = optimiser(model)
    one.step(batch, 1e-3)
    assert len(one.rule.param_groups) > 1
    for group in one.rule.param_groups:
        (share,) = group["shares"]
        assert group["lr"] == pytest.approx(1e-3 * share)


def test_the_guide_alone_takes_a_step_of_its_own(guided_model, batch):
    one = optimiser(guided_model, guide_lr_share=0.05, guide_first=0.5)
    with torch.no_grad():
        loss = float(anchor_density(one.model, batch).loss)
    for _ in range(2):
        before = weights(one)
        figures = one.step(batch, 1e-3)
        assert learned(before, one) == of_guide(before)
    assert figures.loss < loss
    assert figures.loss == figures.bits_per_dim
    of_guide_alone = [group for group in one.rule.param_groups if group["shares"][0]]
    assert [group["lr"] for group in of_guide_alone] == [1e-3]

    one.phases.begin_next(2)
    one.begin_phase(batch)
    before = weights(one)
    one.step(batch, 1e-3)
    assert {group["lr"] for group in one.rule.param_groups} >= {1e-3, 1e-3 * 0.05}
    assert learned(before, one) == before.keys()


def test_at_no_rate_a_guide_stays_as_it_learned_alone(guided_model, batch):
    one = optimiser(guided_model, guide_lr_share=0, guide_first=0.5)
    one.step(batch, 1e-3)
    moments = {p: copy.deepcopy(one.rule.state[p]) for p in one.rule.state}
    one.phases.begin_next(1)
    one.begin_phase(batch)
    before = weights(one)
    figures = one.step(batch, 1e-3)
    assert figures.taken
    assert learned(before, one) == before.keys() - of_guide(before)
    # Adam must not count a step that the guide did not take.
    assert moments
    for parameter, then in moments.items():
        now = one.rule.state[parameter]
        assert all(torch.equal(now[moment], value) for moment, value in then.items())


def test_a_phase_begins_with_a_new_average_and_no_memory_of_other_losses(guided_model, batch):
    one = optimiser(guided_model, guide_first=0.5)
    one.step(batch, 1e-3)
    assert (one.ema.updates, one.guard.mean is None) == (1, False)
    one.phases.begin_next(1)
    one.begin_phase(batch)
    assert (one.ema.updates, one.guard.mean) == (0, None)


def test_compiling_needs_a_compiler(model, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(CaflowError, match=r"no C\+\+ compiler 'no-such-compiler'") as caught:
        optimiser(model, compile=True)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("optim", [{"accumulate": 2}, {"checkpoint_activations": True}])
def test_parts_and_checkpoints_leave_a_step_of_draws_as_it_is(holes, optim):
    model, batch = holes
    samples = SamplesConfig(share=1.0, perceptual=0.0, tau=0.7)
    figures, expected = after_one_step(model, batch, samples, batch_size=8)
    assert figures.picture > 0
    assert figures.loss > figures.bits_per_dim
    shared, found = after_one_step(model, batch, samples, batch_size=8, **optim)
    assert shared.picture == pytest.approx(figures.picture, rel=1e-5)
    assert shared.loss == pytest.approx(figures.loss, rel=1e-6)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-3 * scale + 1e-9)

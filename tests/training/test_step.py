"""One step, and what must not change it."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from caflow_cli.training import OptimConfig, RunConfig, SamplesConfig
from caflow_cli.training.losses import guide_loss, image_loss
from caflow_cli.training.optim import has_orthogonal_steps, named_parameters
from caflow_cli.training.trainer import Trainer

BATCH = 6


def trainer(model, samples=None, out="run", **optim):
    optim = {"batch_size": BATCH, "images": 100, "bf16": False, "guide_perceptual": 0.0, **optim}
    flow, task = model.config.flow, replace(model.config.task, size=16)
    samples = samples or SamplesConfig()
    config = RunConfig(
        "none", str(out), OptimConfig(**optim), flow, task, samples, init_from="none"
    )
    return Trainer(copy.deepcopy(model), Accelerator(cpu=True), config)


def weights(one):
    return {name: p.detach().clone() for name, p in named_parameters(one.model).items()}


def learned(before, one):
    """Names of the parameters that are no longer what they were."""
    return {name for name, p in named_parameters(one.model).items() if not p.equal(before[name])}


def of_guide(names):
    return {name for name in names if name.startswith("A.guide.")}


def after_one_step(model, batch, samples=None, **optim):
    """Figures and gradients of a step that leaves the weights alone."""
    one = trainer(model, samples, batch_size=len(batch.target), **optim)
    one.initialize(batch)
    taken = {}
    one.rule.step = lambda: taken.update(
        {name: p.grad.clone() for name, p in one.model.named_parameters() if p.grad is not None}
    )
    return one.step(batch, 1e-3), taken


@pytest.mark.parametrize("samples", [False, True])
def test_parts_leave_the_step_as_it_is(model, batch, holes, samples):
    settings = SamplesConfig(share=1.0, perceptual=0.0, tau=0.7) if samples else None
    model, batch = holes if samples else (model, batch)
    figures, expected = after_one_step(model, batch, settings)
    shared, found = after_one_step(model, batch, settings, accumulate=2)
    assert (figures.image > 0) == samples
    assert expected
    assert expected.keys() == found.keys()
    assert shared[:5] == pytest.approx(figures[:5], rel=1e-4)
    assert shared.loss == pytest.approx(figures.loss, rel=1e-6)
    for name, gradient in expected.items():
        scale = float(gradient.abs().max())
        torch.testing.assert_close(found[name], gradient, rtol=1e-3, atol=1e-3 * scale + 1e-9)


def test_muon_moves_the_kernels_within_networks_and_adam_all_else(model, batch):
    one = trainer(model)
    named = named_parameters(one.model)
    kernels = {name for name, p in named.items() if has_orthogonal_steps(name, p)}
    assert 0 < len(kernels) < len(named)
    assert named.keys() <= one.model.state_dict().keys()  # as in files
    one.step(batch, 1e-3)
    for group in one.rule.param_groups:
        (share,) = group["shares"]
        assert group["lr"] == pytest.approx(1e-3 * share)
    moments = {name: set(one.rule.state[p]) for name, p in named.items()}
    assert {name for name, of in moments.items() if of == {"step", "momentum"}} == kernels
    adams = {"step", "exp_avg", "exp_avg_sq"}
    assert {name for name, of in moments.items() if of == adams} == named.keys() - kernels


def test_the_guide_trains_alone_and_then_everything_but_the_guide(guided_model, batch):
    one = trainer(guided_model, guide_first=0.5)
    with torch.no_grad():
        loss = float(guide_loss(image_loss())(one.model, batch).loss)
    for _ in range(2):
        before = weights(one)
        figures = one.step(batch, 1e-3)
        assert learned(before, one) == of_guide(before)
    assert figures.loss < loss
    assert figures.loss == figures.bits_per_dim
    assert (one.ema.updates, one.guard.mean is None) == (2, False)
    moments = {p: copy.deepcopy(state) for p, state in one.rule.state.items()}
    assert moments

    one.begin_next_phase(batch)
    assert (one.ema.updates, one.guard.mean) == (0, None)
    before = weights(one)
    assert one.step(batch, 1e-3).taken
    assert learned(before, one) == before.keys() - of_guide(before)
    # Adam must not count a step that the guide did not take.
    for parameter, then in moments.items():
        now = one.rule.state[parameter]
        assert all(torch.equal(now[moment], value) for moment, value in then.items())


def test_bad_steps_in_a_row_lead_back_to_the_averaged_weights(model, batch):
    one = trainer(model)
    for step in range(3):
        assert one.step(batch, 1e-3).taken
        assert one.ema.updates == step + 1
    averaged = {name: p.clone() for name, p in named_parameters(one.ema.model).items()}
    bias = next(p for name, p in named_parameters(one.model).items() if "coupling" in name)
    with torch.no_grad():
        bias.fill_(math.nan)
    for bad in range(1, 5):
        assert not bias.isfinite().any()
        assert not one.step(batch, 1e-3).taken
        assert one.guard.bad_in_a_row == bad
    assert learned(averaged, one) == set()
    assert one.step(batch, 1e-3).taken
    assert one.guard.bad_in_a_row == 0


def test_phases_follow_each_other_and_never_end_with_the_budget(guided_model, batch):
    samples = SamplesConfig(share=0.5, perceptual=0.0)
    one = trainer(guided_model, samples, guide_first=0.5)  # the flows alone have no time
    assert (one.phase.guide_alone, one.phase_ends(0.4), one.phase_ends(0.5)) == (True, False, True)
    one.progress.step = 3
    one.begin_next_phase(batch)
    assert (one.progress.phase, one.progress.phase_began_at) == (2, 3)
    assert not one.phase_ends(1.0)
    assert trainer(guided_model).progress.phase == 1  # the guide's has no length


def test_a_state_finds_its_moments_by_name_whatever_the_groups(model, batch, tmp_path):
    first, other = trainer(model, out=tmp_path), trainer(model, schedule="paper", out=tmp_path)
    first.step(batch, 1e-3)
    first.save()
    state = tmp_path / "state" / "step-00000000"
    moments = {name.rpartition(".")[0] for name in load_file(state / "optimizer.safetensors")}
    assert moments == named_parameters(model).keys()
    other.resume()
    assert len(first.rule.param_groups) > len(other.rule.param_groups)
    theirs = named_parameters(other.model)
    for name, parameter in named_parameters(first.model).items():
        for moment, value in first.rule.state[parameter].items():
            assert torch.equal(value, other.rule.state[theirs[name]][moment]), name


def test_the_newest_state_is_restored_and_two_are_kept(guided_model, batch, tmp_path):
    one = trainer(guided_model, guide_first=0.5, out=tmp_path)
    one.begin_next_phase(batch)
    one.progress.running = 3.0
    for step in (1, 2, 3):
        one.step(batch, 1e-3)
        one.progress.step = step
        one.save()
    assert [path.name[-1] for path in sorted((tmp_path / "state").iterdir())] == ["2", "3"]
    other = trainer(guided_model, guide_first=0.5, out=tmp_path)
    other.resume()
    assert (other.progress, other.guard) == (one.progress, one.guard)
    assert learned(weights(one), other) == set()

"""States on their own."""

from __future__ import annotations

import copy

import pytest
import torch
from accelerate import Accelerator
from caflow_cli.training.optimise import Optimiser
from caflow_cli.training.parameters import named_parameters
from safetensors.torch import load_file

from caflow_cli.training.config import OptimConfig
from caflow_cli.training.state import load_newest, load_state, save_state


def optimiser(model, batch, **optim):
    config = OptimConfig(batch_size=len(batch.target), images=100, bf16=False, **optim)
    return Optimiser(copy.deepcopy(model), Accelerator(cpu=True), config)


def shares_of(one) -> set:
    return {group["shares"] for group in one.rule.param_groups}


def test_a_state_finds_its_moments_whatever_the_groups(model, batch, tmp_path):
    first = optimiser(model, batch)
    first.step(batch, 1e-3)
    save_state(tmp_path, first.model, first.ema, first.rule, {"step": 1}, every=1)
    other = optimiser(model, batch, invconv_lr_width=0)
    load_state(tmp_path / "step-00000001", other.model, other.ema, other.rule)
    assert [len(shares_of(one)) > 1 for one in (first, other)] == [True, False]
    theirs = named_parameters(other.model)
    for name, parameter in named_parameters(first.model).items():
        for moment, value in first.rule.state[parameter].items():
            assert torch.equal(value, other.rule.state[theirs[name]][moment]), name


def test_moments_are_stored_by_the_names_that_files_have(model, batch, tmp_path):
    one = optimiser(model, batch)
    one.step(batch, 1e-3)
    save_state(tmp_path, one.model, one.ema, one.rule, {"step": 1}, every=1)
    state = tmp_path / "step-00000001"
    weights = load_file(state / "model.safetensors")
    moments = {name.rpartition(".")[0] for name in load_file(state / "optimizer.safetensors")}
    assert moments
    assert moments <= weights.keys()
    assert not [name for name in moments if name.startswith("density.")]


@pytest.mark.parametrize(
    ("earlier", "remembered"),
    [({"phase": 1, "phase_began_at": 0}, True), ({"phase": 0, "phase_began_at": 0}, False)],
)
def test_a_state_of_an_earlier_phase_is_none_to_go_back_to(
    model, batch, tmp_path, earlier, remembered
):
    """A run that was not stopped has dropped its copy when the phase began."""
    one = optimiser(model, batch)
    phases = (earlier, {"phase": 1, "phase_began_at": 0})
    for step, phase in enumerate(phases, 1):
        one.step(batch, 1e-3)
        record = {"step": step, **phase, "guard": one.guard.record()}
        save_state(tmp_path, one.model, one.ema, one.rule, record, every=1)
    other = optimiser(model, batch)
    record, failure = load_newest(tmp_path, other.model, other.ema, other.rule, other.guard)
    assert (record["step"], failure) == (2, None)
    now = {name: value.clone() for name, value in other.model.state_dict().items()}
    assert all(torch.equal(value, now[name]) for name, value in one.model.state_dict().items())
    assert other.guard.roll_back() is remembered
    same = [torch.equal(value, now[name]) for name, value in other.model.state_dict().items()]
    assert all(same) is not remembered

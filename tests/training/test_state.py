"""States on their own."""

from __future__ import annotations

import copy

import torch
from accelerate import Accelerator
from safetensors.torch import load_file

from caflow_cli.training.config import OptimConfig
from caflow_cli.training.optimise import Optimiser
from caflow_cli.training.parameters import named_parameters
from caflow_cli.training.state import load_state, save_state


def optimiser(model, batch, **optim):
    config = OptimConfig(batch_size=len(batch.target), images=100, bf16=False, **optim)
    return Optimiser(copy.deepcopy(model), Accelerator(cpu=True), config)


def test_a_state_finds_its_moments_whatever_the_groups(model, batch, tmp_path):
    first = optimiser(model, batch)
    first.step(batch, 1e-3)
    save_state(tmp_path, first.model, first.ema, first.adam, {"step": 1}, every=1)
    other = optimiser(model, batch, invconv_lr_width=0)
    load_state(tmp_path / "step-00000001", other.model, other.ema, other.adam)
    assert [len(one.adam.param_groups) > 1 for one in (first, other)] == [True, False]
    theirs = named_parameters(other.model)
    for name, parameter in named_parameters(first.model).items():
        for moment, value in first.adam.state[parameter].items():
            assert torch.equal(value, other.adam.state[theirs[name]][moment]), name


def test_moments_are_stored_by_the_names_that_files_have(model, batch, tmp_path):
    one = optimiser(model, batch)
    one.step(batch, 1e-3)
    save_state(tmp_path, one.model, one.ema, one.adam, {"step": 1}, every=1)
    state = tmp_path / "step-00000001"
    weights = load_file(state / "model.safetensors")
    moments = {name.rpartition(".")[0] for name in load_file(state / "optimizer.safetensors")}
    assert moments
    assert moments <= weights.keys()
    assert not [name for name in moments if name.startswith("density.")]

"""A model and its files: what goes in comes out, and values that no model has are refused."""

from __future__ import annotations

import json
import subprocess
import sys

import helpers
import pytest
import torch
from safetensors.torch import load, load_file, save_file

import caflow_cli as caflow
from caflow_cli.checkpoint import read_info
from caflow_cli.errors import CaflowError
from caflow_cli.layers import Conv
from caflow_cli.model import CAFlow
from caflow_cli.model.pretrained import checkpoint_bytes

from .hostile import assert_refused, parts


def test_round_trip(gray_file, gray_model):
    loaded, info = CAFlow.load(gray_file), read_info(gray_file)
    assert info.config == loaded.config == gray_model.config
    assert info.training == helpers.RECORD
    assert read_info(gray_file) == info
    assert not loaded.training
    before = gray_model.state_dict()
    after = {name: t.clone() for name, t in loaded.state_dict().items()}
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name], tensor), name
    target, cond = helpers.image_pair(gray_model, 2, 16)
    torch.testing.assert_close(
        loaded.log_prob(target, cond), gray_model.log_prob(target, cond), rtol=0, atol=1e-3
    )
    loaded.train()(target + 0.5, cond + 0.5)  # which initializes no actnorm
    assert all(torch.equal(t, after[name]) for name, t in loaded.state_dict().items())


def test_save_pretrained_keeps_the_record(tmp_path, gray_model):
    record = {"seed": 7, "hold_out": "20+", "license": "mit"}
    gray_model.save(tmp_path / "a.safetensors", {**record, "calibration": {"lambda": 2}})
    CAFlow.load(tmp_path / "a.safetensors").save_pretrained(tmp_path / "hub")
    again = caflow.load(str(tmp_path / "hub"))
    assert again.record == record
    assert (again.split_seed, again.hold_out) == (7, "20+")


def test_a_folder_that_is_saved_is_loaded(tmp_path, gray_model):
    folder = tmp_path / "hub"
    gray_model.save_pretrained(folder)
    names = ["README.md", "config.json", "model.safetensors"]
    assert sorted(path.name for path in folder.iterdir()) == names
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config == {"schema": 1, "config": gray_model.config.to_dict()}
    loaded = caflow.load(str(folder))
    assert loaded.config == gray_model.config
    for name, tensor in gray_model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    (folder / "README.md").write_text("own")
    gray_model.save_pretrained(folder)
    assert (folder / "README.md").read_text() == "own"
    with pytest.raises(CaflowError) as caught:
        caflow.load(str(tmp_path))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("seed", "kept"), [(7, 7), (None, 0), ("7", 0), (-1, 0), (True, 0)])
def test_a_model_knows_the_seed_by_which_its_training_held_images_out(
    gray_model, tmp_path, seed, kept
):
    gray_model.save(tmp_path / "model.safetensors", {"seed": seed})
    assert CAFlow.load(tmp_path / "model.safetensors").split_seed == kept
    assert gray_model.split_seed == 0


@pytest.mark.parametrize(("record", "kept"), [({"hold_out": "20+"}, "20+"), ({}, None)])
def test_a_model_knows_the_rule_by_which_its_training_held_images_out(
    gray_model, tmp_path, record, kept
):
    gray_model.save(tmp_path / "model.safetensors", record)
    assert CAFlow.load(tmp_path / "model.safetensors").hold_out == kept


@pytest.mark.parametrize(
    ("name", "change", "named"),
    [
        ("T.scales.0.steps.0.coupling.net.first.weight", torch.Tensor.half, "of type F16"),
        ("T.scales.0.steps.0.coupling.net.first.bias", torch.Tensor.bfloat16, "of type BF16"),
        ("T.scales.0.transitions.0.invconv.permutation", torch.Tensor.int, "of type I32"),
        ("T.scales.0.transitions.0.actnorm.initialized", torch.Tensor.float, "of type F32"),
        ("T.scales.0.transitions.0.invconv.lu", lambda t: t + torch.inf, "not finite"),
        (
            "T.scales.0.steps.0.coupling.net.first.weight",
            lambda t: (t / 0).bfloat16(),
            "not finite",
        ),
        ("T.scales.0.transitions.0.invconv.permutation", lambda t: t + 1, "no permutation"),
        ("T.scales.0.transitions.0.invconv.permutation", lambda t: t - 2**62, "no permutation"),
    ],
)
def test_values_that_no_model_has_are_refused(tmp_path, model_file, name, change, named):
    tensors = load_file(model_file)
    tensors[name] = change(tensors[name])
    path = tmp_path / "model.safetensors"
    save_file(tensors, path, parts(model_file)[0]["__metadata__"])
    error = assert_refused(path, named)
    assert name in error.message


def test_bf16_is_for_convolutions_alone(tmp_path, gray_file, gray_model):
    small = tmp_path / "small.safetensors"
    gray_model.save(small, bf16_convs=True)
    convs = {
        f"{name}.weight"
        for name, child in gray_model.density.named_modules()
        if isinstance(child, Conv)
    }
    state = gray_model.state_dict()
    stored = load_file(small)
    assert convs == {name for name, t in state.items() if t.ndim == 4}
    convs = {name for name in convs if not name.startswith("T.scales.0.")}  # see `in_bf16`
    assert {name for name, t in stored.items() if t.dtype == torch.bfloat16} == convs
    for name, tensor in stored.items():
        if name not in convs:
            assert tensor.dtype == state[name].dtype
            assert torch.equal(tensor, state[name])
    assert small.stat().st_size < gray_file.stat().st_size

    loaded = CAFlow.load(small)
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == state[name].dtype
        if name in convs:  # 6 significant bits: the last two of bfloat16's eight are 0
            torch.testing.assert_close(tensor, state[name], rtol=2**-6, atol=0)
            assert not (stored[name].view(torch.int16) & 0b11).any(), name
            again = checkpoint_bytes({name: tensor}, gray_model.config, bf16_convs=True)
            assert torch.equal(load(again)[name], stored[name]), name
        else:
            assert torch.equal(tensor, state[name]), name


def test_a_bundled_model_is_loaded_without_the_client_of_the_hub_and_without_sympy():
    code = (
        "import sys, caflow_cli as caflow\n"
        "model = caflow.load('faces-superres-x4')\n"
        "print(model.config.task.factor, 'huggingface_hub' in sys.modules, 'sympy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "4 False False\n"

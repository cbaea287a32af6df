"""A model and its files: what goes in comes out."""

import json

import helpers
import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow, read_info


def test_round_trip(grey_file, grey_model):
    loaded, info = CAFlow.load(grey_file), read_info(grey_file)
    assert info.config == loaded.config == grey_model.config
    assert info.training == helpers.RECORD
    assert read_info(grey_file) == info
    assert not loaded.training
    before, after = helpers.file_tensors(grey_model), helpers.file_tensors(loaded)
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name], tensor), name
    target, cond = helpers.image_pair(grey_model, 2, 16)
    torch.testing.assert_close(
        loaded.log_prob(target, cond), grey_model.log_prob(target, cond), rtol=0, atol=1e-3
    )


def test_a_loaded_model_initialises_no_actnorm(grey_file, grey_model):
    loaded = CAFlow.load(grey_file)
    target, cond = helpers.image_pair(grey_model, 2, 16, seed=77)
    before = {name: t.clone() for name, t in helpers.file_tensors(loaded).items()}
    loaded.train()(target + 0.5, cond + 0.5)
    assert all(torch.equal(t, before[name]) for name, t in helpers.file_tensors(loaded).items())


def test_save_pretrained_and_from_pretrained(tmp_path, grey_model):
    folder = tmp_path / "hub"
    grey_model.save_pretrained(folder)
    assert {"config.json", "model.safetensors"} <= {p.name for p in folder.iterdir()}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config == {"schema": 1, "config": grey_model.config.to_dict()}
    loaded = CAFlow.from_pretrained(str(folder))
    assert loaded.config == grey_model.config
    assert not loaded.training
    target, cond = helpers.image_pair(grey_model, 2, 16)
    # Another layout in memory may add in another order, and no more.
    torch.testing.assert_close(
        loaded.log_prob(target, cond), grey_model.log_prob(target, cond), rtol=0, atol=1e-3
    )
    again = CAFlow.from_pretrained(folder)
    assert torch.equal(again.log_prob(target, cond), loaded.log_prob(target, cond))
    for name, tensor in helpers.file_tensors(grey_model).items():
        assert torch.equal(helpers.file_tensors(loaded)[name], tensor)


def test_from_pretrained_of_a_folder_without_a_model(tmp_path):
    with pytest.raises(CaflowError) as caught:
        CAFlow.from_pretrained(str(tmp_path))
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(("seed", "kept"), [(7, 7), (None, 0), ("7", 0), (-1, 0), (True, 0)])
def test_a_model_knows_the_seed_by_which_its_training_held_pictures_out(
    grey_model, tmp_path, seed, kept
):
    grey_model.save(tmp_path / "model.safetensors", {"seed": seed})
    assert CAFlow.load(tmp_path / "model.safetensors").split_seed == kept
    assert grey_model.split_seed == 0

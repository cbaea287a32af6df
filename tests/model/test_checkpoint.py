"""Model files: what goes in comes out, and what is broken is named."""

import json

import helpers
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from caflow_cli.checkpoint import read_info
from caflow_cli.config import TaskConfig
from caflow_cli.errors import CaflowError
from caflow_cli.hub.digest import sha256_of
from caflow_cli.layers import Conv
from caflow_cli.model import CAFlow


@pytest.fixture(scope="module")
def model():
    config = helpers.small_config(scales=2, cond_channels=1, alpha=0.07)
    task = TaskConfig("colorize", tau=0.85, candidates=10)
    config = type(config)(flow=config.flow, task=task)
    return helpers.data_like_model(config, seed=5, size=16)


@pytest.fixture
def path(tmp_path, model):
    path = tmp_path / "model.safetensors"
    model.save(path, {"images": 1000, "validation": {"bits_per_dim": 3.5}})
    return path


def header(path):
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()["caflow"])


def rewrite(path, tensors=None, **changes):
    """The same file with another header or other tensors."""
    values = header(path) | changes
    save_file(
        load_file(path) if tensors is None else tensors,
        path,
        metadata={"caflow": json.dumps(values)},
    )


def test_round_trip(path, model):
    loaded, info = CAFlow.load(path), read_info(path)
    assert info.config == loaded.config == model.config
    assert info.training == {"images": 1000, "validation": {"bits_per_dim": 3.5}}
    assert read_info(path) == info
    assert not loaded.training
    before, after = model.state_dict(), loaded.state_dict()
    assert before.keys() == after.keys()
    for name, tensor in before.items():
        assert after[name].dtype == tensor.dtype
        assert torch.equal(after[name], tensor), name
    target, cond = helpers.image_pair(model, 2, 16)
    torch.testing.assert_close(
        loaded.log_prob(target, cond), model.log_prob(target, cond), rtol=0, atol=1e-3
    )


def test_the_header_describes_the_file(path, model):
    assert header(path) == {
        "schema": 1,
        "config": model.config.to_dict(),
        "training": {"images": 1000, "validation": {"bits_per_dim": 3.5}},
    }


def test_a_model_without_a_record(tmp_path, model):
    model.save(tmp_path / "m.safetensors")
    assert read_info(tmp_path / "m.safetensors").training == {}


def test_a_record_of_a_run_that_never_measured(tmp_path, model):
    record = {"val_bits_per_dim": float("nan"), "optim": {"betas": (0.9, float("inf"))}}
    model.save(tmp_path / "m.safetensors", record)
    expected = {"val_bits_per_dim": None, "optim": {"betas": [0.9, None]}}
    assert read_info(tmp_path / "m.safetensors").training == expected


def test_bf16_is_for_convolutions_alone(tmp_path, path, model):
    small = tmp_path / "small.safetensors"
    model.save(small, bf16_convs=True)
    convs = {f"{name}.weight" for name, child in model.named_modules() if isinstance(child, Conv)}
    state = model.state_dict()
    stored = load_file(small)
    assert convs == {name for name, t in state.items() if t.ndim == 4}
    convs = {name for name in convs if not name.startswith("T.scales.0.")}  # see `in_bf16`
    assert {name for name, t in stored.items() if t.dtype == torch.bfloat16} == convs
    for name, tensor in stored.items():
        if name not in convs:
            assert tensor.dtype == state[name].dtype
            assert torch.equal(tensor, state[name])
    assert small.stat().st_size < path.stat().st_size

    loaded = CAFlow.load(small)
    for name, tensor in loaded.state_dict().items():
        assert tensor.dtype == state[name].dtype
        expected = state[name].bfloat16().float() if name in convs else state[name]
        assert torch.equal(tensor, expected), name


def test_a_loaded_model_initialises_no_actnorm(path, model):
    loaded = CAFlow.load(path)
    target, cond = helpers.image_pair(model, 2, 16, seed=77)
    before = {name: t.clone() for name, t in loaded.state_dict().items()}
    loaded.train()(target + 0.5, cond + 0.5)
    assert all(torch.equal(t, before[name]) for name, t in loaded.state_dict().items())


def test_writing_again_replaces_the_file(path, model):
    other = helpers.data_like_model(model.config, seed=6, size=16)
    other.save(path)
    loaded, info = CAFlow.load(path), read_info(path)
    assert info.training == {}
    assert torch.equal(
        loaded.state_dict()["T.scales.0.transitions.0.invconv.lu"],
        other.state_dict()["T.scales.0.transitions.0.invconv.lu"],
    )
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def garbage(path):
    path.write_bytes(b"not a model at all" * 10)


def empty(path):
    path.write_bytes(b"")


def truncated(path):
    path.write_bytes(path.read_bytes()[:-100])


def truncated_header(path):
    path.write_bytes(path.read_bytes()[:40])


def no_header(path):
    save_file(load_file(path), path)


def not_json(path):
    save_file(load_file(path), path, metadata={"caflow": "{"})


def no_schema(path):
    save_file(load_file(path), path, metadata={"caflow": "{}"})


def other_schema(path):
    rewrite(path, schema=2)


def unknown_key(path):
    config = header(path)["config"]
    config["flow"]["scalez"] = 3
    rewrite(path, config=config)


def wrong_type(path):
    config = header(path)["config"]
    config["flow"]["scales"] = "2"
    rewrite(path, config=config)


def no_config(path):
    rewrite(path, config=None)


def missing_tensor(path):
    tensors = load_file(path)
    del tensors["T.scales.0.transitions.0.invconv.lu"]
    rewrite(path, tensors)


def extra_tensor(path):
    rewrite(path, load_file(path) | {"surplus": torch.zeros(2)})


def wrong_shape(path):
    tensors = load_file(path)
    tensors["T.scales.0.transitions.0.invconv.lu"] = torch.zeros(2, 2)
    rewrite(path, tensors)


@pytest.mark.parametrize(
    ("breakage", "named"),
    [
        (lambda path: path.unlink(), "no model file"),
        (garbage, "safetensors"),
        (empty, "safetensors"),
        (truncated, "safetensors"),
        (truncated_header, "safetensors"),
        (no_header, "not a caflow model"),
        (not_json, "header"),
        (no_schema, "header"),
        (other_schema, "schema 2"),
        (unknown_key, "flow.scalez"),
        (wrong_type, "flow.scales"),
        (no_config, "config"),
        (missing_tensor, "T.scales.0.transitions.0.invconv.lu"),
        (extra_tensor, "surplus"),
        (wrong_shape, "T.scales.0.transitions.0.invconv.lu"),
    ],
)
def test_a_broken_file_is_named(path, breakage, named):
    breakage(path)
    with pytest.raises(CaflowError) as caught:
        CAFlow.load(path)
    assert caught.value.exit_code == 3
    assert named in caught.value.message
    assert str(path) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint


def test_a_folder_is_no_model_file(tmp_path):
    with pytest.raises(CaflowError) as caught:
        CAFlow.load(tmp_path)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("where", ["missing/model.safetensors", "folder"])
def test_an_impossible_path_leaves_nothing_behind(tmp_path, model, where):
    (tmp_path / "folder").mkdir()
    with pytest.raises(CaflowError) as caught:
        model.save(tmp_path / where)
    assert str(tmp_path / where) in caught.value.message
    assert [p.name for p in tmp_path.rglob("*")] == ["folder"]


def test_a_failed_write_keeps_the_old_file(path, model, monkeypatch):
    before = path.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.replace", fail)
    with pytest.raises(CaflowError, match="No space left"):
        model.save(path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_save_pretrained_and_from_pretrained(tmp_path, model):
    folder = tmp_path / "hub"
    model.save_pretrained(folder)
    assert {"config.json", "model.safetensors"} <= {p.name for p in folder.iterdir()}
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert config == {"schema": 1, "config": model.config.to_dict()}
    loaded = CAFlow.from_pretrained(str(folder))
    assert loaded.config == model.config
    assert not loaded.training
    target, cond = helpers.image_pair(model, 2, 16)
    # Another layout in memory may add in another order, and no more.
    torch.testing.assert_close(
        loaded.log_prob(target, cond), model.log_prob(target, cond), rtol=0, atol=1e-3
    )
    again = CAFlow.from_pretrained(folder)
    assert torch.equal(again.log_prob(target, cond), loaded.log_prob(target, cond))
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_from_pretrained_of_a_folder_without_a_model(tmp_path):
    with pytest.raises(CaflowError) as caught:
        CAFlow.from_pretrained(str(tmp_path))
    assert caught.value.exit_code == 3


def test_sha256(tmp_path):
    (tmp_path / "abc").write_bytes(b"abc")
    assert sha256_of(tmp_path / "abc") == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )

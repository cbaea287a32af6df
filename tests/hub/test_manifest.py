"""The manifest, resolution, and packing."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat

import pytest
import torch
from safetensors.torch import load_file

from caflow_cli.assets import WEIGHTS_DIR
from caflow_cli.errors import CaflowError
from caflow_cli.hub.digest import sha256_of
from caflow_cli.hub.manifest import load_manifest, manifest_path
from caflow_cli.hub.pack import MAX_BYTES, pack
from caflow_cli.hub.resolve import default_model, load, resolve
from caflow_cli.model import Config, load_checkpoint, parse, read_info, save_checkpoint
from caflow_cli.tasks import TASKS

BUNDLED = sorted(load_manifest())


def test_there_is_a_default_super_resolution_model():
    assert default_model("superres") == "faces-superres-x4"


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_model_is_what_the_manifest_says(name):
    entry = load_manifest()[name]
    path = WEIGHTS_DIR / entry.file
    assert path.stat().st_size == entry.bytes <= MAX_BYTES
    assert sha256_of(path) == entry.sha256
    info = read_info(path)
    assert info.config == parse(Config, entry.config)
    assert info.config.task.name == entry.task in TASKS
    assert entry.license
    assert entry.data
    assert load(name).config == info.config


def test_no_weights_are_bundled_that_the_manifest_does_not_list():
    files = {path.name for path in WEIGHTS_DIR.glob("*.safetensors")}
    assert files == {entry.file for entry in load_manifest().values()}


def test_only_net_convolutions_are_stored_in_bfloat16():
    tensors = load_file(resolve("faces-superres-x4").path)
    for name, tensor in tensors.items():
        if tensor.is_floating_point():
            convolution = tensor.ndim == 4 and not name.startswith("T.scales.0.")
            assert (tensor.dtype == torch.bfloat16) == convolution, name


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"schema": 2, "models": {}}',
        '{"schema": 1, "models": {"x": {"task": "superres"}}}',
        '{"schema": 1}',
    ],
)
def test_an_unusable_manifest_is_an_error_of_weights(tmp_path, content):
    path = tmp_path / "manifest.json"
    path.write_text(content)
    with pytest.raises(CaflowError, match="unusable manifest") as caught:
        load_manifest(path)
    assert caught.value.exit_code == 3


def test_a_manifest_cannot_name_a_file_elsewhere(tmp_path):
    content = json.loads(manifest_path().read_text(encoding="utf-8"))
    content["models"]["faces-superres-x4"]["file"] = "../../x.safetensors"
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CaflowError, match="names the path"):
        load_manifest(path)


def test_a_changed_byte_of_bundled_weights_is_noticed(tmp_path, monkeypatch):
    entry = load_manifest()["faces-superres-x4"]
    copy = tmp_path / entry.file
    shutil.copy(WEIGHTS_DIR / entry.file, copy)
    with copy.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    monkeypatch.setattr("caflow_cli.hub.resolve.WEIGHTS_DIR", tmp_path)
    with pytest.raises(CaflowError, match="expected") as caught:
        resolve(entry.id)
    assert caught.value.exit_code == 3
    copy.unlink()
    with pytest.raises(CaflowError, match="are missing") as caught:
        resolve(entry.id)
    assert caught.value.exit_code == 3


def test_files_and_folders_resolve_without_their_path(model_file, tmp_path):
    by_file = resolve(str(model_file))
    assert by_file.id == "small.safetensors"
    assert by_file.sha256 == sha256_of(model_file)
    run = tmp_path / "my-run"
    run.mkdir()
    shutil.copy(model_file, run / "best.safetensors")
    assert resolve(str(run)).id == "my-run"
    shutil.copy(model_file, run / "model.safetensors")
    assert resolve(str(run)).path.name == "model.safetensors"


@pytest.mark.parametrize("name", ["faces-superres-x5", "no/such.safetensors", "a b"])
def test_an_unknown_model_is_an_error_of_weights(name):
    with pytest.raises(CaflowError, match="no model") as caught:
        resolve(name)
    assert caught.value.exit_code == 3
    if name == "faces-superres-x5":
        assert caught.value.hint == "--model faces-superres-x4"


def test_a_folder_without_a_model_is_an_error_of_weights(tmp_path):
    with pytest.raises(CaflowError, match="no model in the folder") as caught:
        resolve(str(tmp_path))
    assert caught.value.exit_code == 3


def test_a_hub_repository_offline_is_an_error_of_weights(monkeypatch, tmp_path):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CaflowError, match="'nobody/nothing'") as caught:
        resolve("nobody/nothing")
    assert caught.value.exit_code == 3


def test_packing_writes_a_smaller_file_and_its_entry(model_file, small_model, tmp_path):
    entry = pack(model_file, "tiny-x4", output=tmp_path)
    path = tmp_path / "tiny-x4.safetensors"
    assert entry.bytes == path.stat().st_size < model_file.stat().st_size
    assert entry.sha256 == sha256_of(path)
    assert load_manifest(tmp_path / "weights_manifest.json") == {"tiny-x4": entry}
    packed, _ = load_checkpoint(path)
    for (name, a), b in zip(
        packed.state_dict().items(), small_model.state_dict().values(), strict=True
    ):
        if a.ndim == 4:
            torch.testing.assert_close(a, b, rtol=2**-8, atol=0)
        else:
            assert torch.equal(a, b), name
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


def test_packing_again_replaces_one_entry_and_keeps_the_others(model_file, tmp_path):
    first = pack(model_file, "first", output=tmp_path)
    pack(model_file, "second", output=tmp_path)
    with pytest.raises(CaflowError, match="there is a model 'second'"):
        pack(model_file, "second", output=tmp_path)
    again = pack(
        model_file, "second", output=tmp_path, default=True, overwrite=True, data_terms="ours"
    )
    entries = load_manifest(tmp_path / "weights_manifest.json")
    assert entries == {"first": first, "second": again}
    assert dataclasses.asdict(again)["data"] == "ours"
    # One default a task.
    third = pack(model_file, "third", output=tmp_path, default=True)
    entries = load_manifest(tmp_path / "weights_manifest.json")
    assert entries == {
        "first": first,
        "second": dataclasses.replace(again, default=False),
        "third": third,
    }


def test_packing_never_touches_the_installations_own_manifest(model_file):
    before = manifest_path().read_bytes()
    with pytest.raises(CaflowError, match="own manifest") as caught:
        pack(model_file, "mine", output=manifest_path().parent)
    assert caught.value.exit_code == 2
    assert manifest_path().read_bytes() == before
    assert not (manifest_path().parent / "mine.safetensors").exists()


def test_a_broken_manifest_stops_packing_before_it_writes(model_file, tmp_path):
    (tmp_path / "weights_manifest.json").write_text("{")
    with pytest.raises(CaflowError, match="unusable manifest"):
        pack(model_file, "mine", output=tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["weights_manifest.json"]


@pytest.mark.parametrize("name", ["", "../x", "A", "x y", "-x", "x/y"])
def test_a_model_id_is_a_plain_name(model_file, tmp_path, name):
    with pytest.raises(CaflowError, match="no model id") as caught:
        pack(model_file, name, output=tmp_path)
    assert caught.value.exit_code == 2
    assert not list(tmp_path.iterdir())


def test_a_bundle_that_is_too_large_is_not_written(model_file, tmp_path, monkeypatch):
    monkeypatch.setattr("caflow_cli.hub.pack.WEIGHTS_DIR", tmp_path)
    monkeypatch.setattr("caflow_cli.hub.pack.MAX_BYTES", 1000)
    with pytest.raises(CaflowError, match="more than 1000"):
        pack(model_file, "big", bundle=True)
    assert not list(tmp_path.iterdir())


def test_packing_what_is_no_model_is_an_error(tmp_path):
    with pytest.raises(CaflowError) as caught:
        pack(tmp_path, "x", output=tmp_path)
    assert caught.value.exit_code == 3


def test_the_saved_file_is_stable(model_file, tmp_path):
    model, info = load_checkpoint(model_file)
    again = tmp_path / "again.safetensors"
    save_checkpoint(again, model, info.training)
    assert again.read_bytes() == model_file.read_bytes()

"""The manifest, resolution, and packing."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import stat
import time
from concurrent.futures import ThreadPoolExecutor

import jsonschema
import pytest
import torch
from safetensors.torch import load_file

from caflow_cli.assets import ASSETS, WEIGHTS_DIR
from caflow_cli.checkpoint import read_info
from caflow_cli.config import Config, parse
from caflow_cli.errors import CaflowError
from caflow_cli.hub.digest import sha256_of
from caflow_cli.hub.manifest import bundled_path, load_manifest, manifest_json, manifest_path
from caflow_cli.hub.pack import MAX_BYTES, pack
from caflow_cli.hub.resolve import default_model, load, resolve
from caflow_cli.model import CAFlow
from caflow_cli.tasks import TASKS

BUNDLED = sorted(load_manifest())
SCHEMA = json.loads((ASSETS / "schema" / "manifest.schema.json").read_text(encoding="utf-8"))


def test_every_task_has_a_default_model():
    assert {task: load_manifest()[default_model(task)].task for task in TASKS} == {
        t: t for t in TASKS
    }
    assert default_model("superres") == "faces-superres-x4"


def test_without_a_default_model_the_hint_says_how_to_get_one(monkeypatch):
    others = {k: v for k, v in load_manifest().items() if v.task != "colorize"}
    monkeypatch.setattr("caflow_cli.hub.resolve.load_manifest", lambda: others)
    with pytest.raises(CaflowError, match="no bundled model for colorize") as caught:
        default_model("colorize")
    assert caught.value.exit_code == 3
    assert caught.value.hint == "caflow train --task colorize, or --model FILE"


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


def changed(**fields):
    """The shipped manifest's first entry, with other fields; None takes one away."""
    content = json.loads(manifest_path().read_text(encoding="utf-8"))
    entry = content["models"]["faces-superres-x4"] | fields
    entry = {name: value for name, value in entry.items() if value is not None}
    return {"schema": 1, "models": {"faces-superres-x4": entry}}


def renamed(name):
    return {"schema": 1, "models": {name: changed()["models"]["faces-superres-x4"]}}


HUB = {"repo_id": "someone/faces", "revision": "v1"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        HUB,
        {**HUB, "file": None},
        {**HUB, "filename": "faces.safetensors"},
        {"metrics": {}},
        {"metrics": {"protocol": "100 pictures", "rmse": 1, "tau 0.5": {"lpips": 0.1}}},
    ],
)
def test_loader_and_schema_take_the_shipped_manifest_and_its_like(tmp_path, fields):
    content = changed(**fields) if fields else json.loads(manifest_path().read_text("utf-8"))
    assert schema_errors(content) == []
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    (entry, *_) = load_manifest(path).values()
    for name, value in fields.items():
        assert getattr(entry, name) == value
    again = json.loads(manifest_json(load_manifest(path).values()))
    assert again == content


# (what the manifest holds, what the error says)
REFUSED = [
    ([], "'schema' and 'models'"),
    ({"schema": 1}, "'schema' and 'models'"),
    ({"schema": 1, "models": {}, "extra": 1}, "'schema' and 'models'"),
    ({"schema": 2, "models": {}}, "schema 2"),
    ({"schema": 1, "models": []}, "'models' is not a table"),
    ({"schema": 1, "models": {"x": []}}, "entry 'x' is not a table"),
    ({"schema": 1, "models": {"x": {"task": "superres"}}}, "field 'sha256' is missing"),
    (changed(licence="mine"), "unknown field 'licence'"),
    (changed(task="upscale"), "field 'task' is 'upscale'"),
    (changed(task=["superres"]), "field 'task'"),
    (changed(bytes=True), "field 'bytes' is True"),
    (changed(bytes=-1), "field 'bytes' is -1"),
    (changed(bytes="1"), "field 'bytes' is '1'"),
    (changed(default=1), "field 'default' is 1"),
    (changed(sha256="0" * 63), "field 'sha256'"),
    (changed(sha256="A" * 64), "field 'sha256'"),
    (changed(license=""), "field 'license'"),
    (changed(license=" "), "field 'license'"),
    (changed(license="MIT\nand more"), "field 'license'"),
    (changed(data="\x1b[2Jhidden"), "field 'data'"),
    (changed(config="{}"), "field 'config'"),
    (changed(config={"flow": {}, "more": {}}), "field 'config': unknown config key"),
    (changed(metrics={"rmse": 1}), "field 'metrics'"),
    (changed(metrics={"protocol": "p", "rmse": [1]}), "field 'metrics'"),
    (changed(file=None), "neither field 'file' nor field 'repo_id'"),
    (changed(repo_id="a/b"), "'repo_id' and 'revision' go together"),
    (changed(revision="v1"), "'repo_id' and 'revision' go together"),
    (changed(filename="a.safetensors"), "field 'filename' without 'repo_id'"),
    *[
        (changed(file=name), "field 'file'")
        for name in [
            "../../x.safetensors",
            "..safetensors",
            "/x.safetensors",
            "a/b.safetensors",
            "a\\b.safetensors",
            "C:x.safetensors",
            "~x.safetensors",
            "x\0.safetensors",
            "x.safetensors\n",
            "x.bin",
            "",
            1,
        ]
    ],
    *[(changed(**HUB, filename=name), "field 'filename'") for name in ["../a.safetensors", "a"]],
    *[
        (changed(**{**HUB, "repo_id": name}), "field 'repo_id'")
        for name in ["faces", "a/b/c", "../b", "a/..", "/b", "a\\b", "https://x.y/z"]
    ],
    *[
        (changed(**{**HUB, "revision": name}), "field 'revision'")
        for name in ["../main", "a..b", "", "-x", "a b", "a/../../b"]
    ],
    *[
        (renamed(name), f"entry {name!r}")
        for name in ["", ".x", "../x", "a/b", "a\\b", "c:x", "X", "a..b", "x\0", "x\n", "x" * 65]
    ],
]


def schema_errors(content):
    return [e.message for e in jsonschema.Draft202012Validator(SCHEMA).iter_errors(content)]


@pytest.mark.parametrize(("content", "named"), REFUSED)
def test_loader_and_schema_refuse(tmp_path, content, named):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CaflowError, match="unusable manifest") as caught:
        load_manifest(path)
    assert caught.value.exit_code == 3
    assert named in caught.value.message
    assert len(caught.value.message.splitlines()) == 1
    assert schema_errors(content)


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"task": "colorize"}, "its config says 'superres'"),
        ({"config": {"flow": {"scales": "3"}}}, "config key 'flow.scales'"),
        ({"config": {"flow": {"cond_channels": 1}}}, "flow.cond_channels 1"),
    ],
)
def test_the_loader_reads_configs_too(tmp_path, fields, named):
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(changed(**fields)))
    with pytest.raises(CaflowError, match="entry 'faces-superres-x4'") as caught:
        load_manifest(path)
    assert caught.value.exit_code == 3
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("name", "fields", "named"),
    [
        ("other", {"default": False}, "'file' is that of entry 'faces-superres-x4'"),
        ("other", {"file": "other.safetensors"}, "default of task 'superres'"),
    ],
)
def test_two_entries_share_neither_file_nor_default(tmp_path, name, fields, named):
    content = changed()
    content["models"][name] = content["models"]["faces-superres-x4"] | fields
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    with pytest.raises(CaflowError) as caught:
        load_manifest(path)
    assert named in caught.value.message


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b"", "Expecting value"),
        (b"\xff\xfe", "utf-8"),
        (b'{"schema": 1, "schema": 1, "models": {}}', "'schema' is there twice"),
        (b'{"schema": 1, "models": {"a": 1e999}}', "1e999"),
        (b'{"schema": 1, "models": {"a": NaN}}', "NaN"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * 5_000_000, "more than"),
    ],
)
def test_what_is_no_strict_json_is_no_manifest(tmp_path, text, named):
    path = tmp_path / "manifest.json"
    path.write_bytes(text)
    with pytest.raises(CaflowError, match="unusable manifest") as caught:
        load_manifest(path)
    assert named in caught.value.message
    assert caught.value.exit_code == 3


def test_a_missing_manifest_is_an_error_of_weights(tmp_path):
    with pytest.raises(CaflowError, match="No such file") as caught:
        load_manifest(tmp_path / "no.json")
    assert caught.value.exit_code == 3


def test_a_bundled_file_may_not_be_a_link_elsewhere(tmp_path, monkeypatch):
    entry = load_manifest()["faces-superres-x4"]
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / entry.file).symlink_to(model := tmp_path / "model.safetensors")
    shutil.copy(WEIGHTS_DIR / entry.file, model)
    monkeypatch.setattr("caflow_cli.hub.manifest.WEIGHTS_DIR", folder)
    with pytest.raises(CaflowError, match="are a link to") as caught:
        resolve(entry.id)
    assert caught.value.exit_code == 3
    # An installer that links every file to its store is none of that.
    (folder / entry.file).unlink()
    (folder / entry.file).symlink_to(WEIGHTS_DIR / entry.file)
    assert bundled_path(entry) == folder / entry.file


def test_a_changed_byte_of_bundled_weights_is_noticed(tmp_path, monkeypatch):
    entry = load_manifest()["faces-superres-x4"]
    copy = tmp_path / entry.file
    shutil.copy(WEIGHTS_DIR / entry.file, copy)
    with copy.open("r+b") as file:
        file.seek(-1, os.SEEK_END)
        last = file.read(1)
        file.seek(-1, os.SEEK_END)
        file.write(bytes([last[0] ^ 1]))
    monkeypatch.setattr("caflow_cli.hub.manifest.WEIGHTS_DIR", tmp_path)
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
    packed = CAFlow.load(path)
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


@pytest.mark.skipif(os.name == "nt", reason="folders cannot be locked there")
def test_models_packed_at_once_are_all_in_the_manifest(model_file, tmp_path, monkeypatch):
    def slowly(entries):
        time.sleep(0.1)  # between reading the manifest and writing it
        return manifest_json(entries)

    monkeypatch.setattr("caflow_cli.hub.pack.manifest_json", slowly)
    names = [f"model-{k}" for k in range(4)]
    with ThreadPoolExecutor(4) as pool:
        entries = list(pool.map(lambda name: pack(model_file, name, output=tmp_path), names))
    found = load_manifest(tmp_path / "weights_manifest.json")
    assert found == {entry.id: entry for entry in entries}
    files = ["weights_manifest.json", *(f"{name}.safetensors" for name in names)]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(files)


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
    model, info = CAFlow.load(model_file), read_info(model_file)
    again = tmp_path / "again.safetensors"
    model.save(again, info.training)
    assert again.read_bytes() == model_file.read_bytes()

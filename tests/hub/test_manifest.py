"""The manifest, and from a model's name to its file."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import jsonschema
import pytest

from caflow_cli.assets import ASSETS, WEIGHTS_DIR
from caflow_cli.checkpoint import calibration_in, read_info
from caflow_cli.errors import CaflowError
from caflow_cli.hub.manifest import load_manifest, manifest_json, manifest_path
from caflow_cli.hub.resolve import default_model, resolve
from caflow_cli.model import CAFlow
from caflow_cli.paths import sha256_of
from caflow_cli.tasks import TASKS

BUNDLED = sorted(load_manifest())
SCHEMA = json.loads((ASSETS / "schema" / "manifest.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_model_is_what_the_manifest_says(name):
    entry = load_manifest()[name]
    path = WEIGHTS_DIR / entry.file
    assert path.stat().st_size == entry.bytes
    assert sha256_of(path) == entry.sha256
    assert read_info(path).config.task.name == entry.task


@pytest.mark.parametrize("name", BUNDLED)
def test_a_bundled_model_passes_every_check_that_its_digest_replaces(name):
    found = resolve(name)
    checked = read_info(found.path)
    assert found.info == replace(checked, known=True)
    assert repr(found.info.config) == repr(checked.config)  # 1 is no 1.0
    CAFlow.load(found.path)  # which checks names, shapes and values of tensors


def test_no_weights_are_bundled_that_the_manifest_does_not_list():
    files = {path.name for path in WEIGHTS_DIR.glob("*.safetensors")}
    assert files == {entry.file for entry in load_manifest().values()}


def changed(**fields):
    """The shipped manifest's first entry, with other fields; None takes one away."""
    content = json.loads(manifest_path().read_text(encoding="utf-8"))
    entry = content["models"]["faces-superres-x4"] | fields
    entry = {name: value for name, value in entry.items() if value is not None}
    return {"schema": 1, "models": {"faces-superres-x4": entry}}


def renamed(name):
    return {"schema": 1, "models": {name: changed()["models"]["faces-superres-x4"]}}


RECORD = {
    "tau": [0.9, 0.7, 0.5],
    "candidates": 40,
    "consistent": False,
    "precision": "float32",
    "level": 0.9,
    "lambda": 1.25,
    "images": 200,
    "width": 20.5,
    "data": "photos.zip, val",
}
HUB = {"repo_id": "someone/faces", "revision": "v1"}


@pytest.mark.parametrize(
    "fields",
    [
        {},
        HUB,
        {**HUB, "file": None},
        {**HUB, "filename": "faces.safetensors"},
        {"metrics": {}},
        {"calibration": RECORD},
        {"metrics": {"protocol": "100 images", "rmse": 1, "tau 0.5": {"lpips": 0.1}}},
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


# Fields, values that they cannot have.
NOT_THESE = {
    "task": ["upscale", ["superres"]],
    "bytes": [True, -1, "1"],
    "default": [1],
    "sha256": ["0" * 63, "A" * 64],
    "license": ["", " ", "MIT\nand more"],
    "data": ["\x1b[2Jhidden"],
    "metrics": [[]],
    "calibration": ["yes", []],
    "file": ["../x.safetensors", "..safetensors", "a\\b.safetensors", "x.safetensors\n", "", 1],
    "filename": ["../a.safetensors", "a"],
    "repo_id": ["faces", "a/b/c", "../b", "a/..", "/b", "a\\b", "https://x.y/z"],
    "revision": ["../main", "a..b", "", "-x", "a b", "a/../../b"],
}
HUB_FIELDS = {"filename", "repo_id", "revision"}
# What the manifest holds, what the error says.
REFUSED = [
    ([], "not a table"),
    ({"schema": 1}, "'models' is missing"),
    ({"schema": 1, "models": {}, "extra": 1}, "unknown key 'extra'"),
    ({"schema": 2, "models": {}}, "schema is 2"),
    ({"schema": True, "models": {}}, "schema is True"),
    ({"schema": 1, "models": []}, "models is []"),
    ({"schema": 1, "models": {"x": []}}, "entry 'x': "),
    ({"schema": 1, "models": {"x": {"task": "superres"}}}, "key 'sha256' is missing"),
    (changed(file=None), "file is None; set file to a file, or set repo_id"),
    (changed(repo_id="a/b"), "a commit of repo_id, or leave both out"),
    (changed(revision="v1"), "a commit of repo_id, or leave both out"),
    *[
        (changed(**(HUB if field in HUB_FIELDS else {}) | {field: value}), field)
        for field, values in NOT_THESE.items()
        for value in values
    ],
    *[
        (renamed(name), f"entry {name!r}")
        for name in ["", ".x", "../x", "a/b", "a\\b", "c:x", "X", "a..b", "x\0", "x\n", "x" * 65]
    ],
]


def refusal(folder, text):
    """The message of a manifest that is refused."""
    path = folder / "manifest.json"
    path.write_bytes(text)
    with pytest.raises(CaflowError, match="unusable manifest") as caught:
        load_manifest(path)
    assert caught.value.exit_code == 3
    assert len(caught.value.message.splitlines()) == 1
    return caught.value.message


def schema_errors(content):
    return [e.message for e in jsonschema.Draft202012Validator(SCHEMA).iter_errors(content)]


@pytest.mark.parametrize(("content", "named"), REFUSED)
def test_loader_and_schema_refuse(tmp_path, content, named):
    assert named in refusal(tmp_path, json.dumps(content).encode())
    assert schema_errors(content)


@pytest.mark.parametrize(
    "record",
    [
        {},
        {**RECORD, "level": 1},
        {**RECORD, "lambda": -1},
        {**RECORD, "candidates": 1},
        {**RECORD, "precision": "fp8"},
        {**RECORD, "data": "\x1b[2J"},
        {**RECORD, "more": 1},
    ],
)
def test_a_calibration_is_checked_where_it_is_used(tmp_path, record):
    content = changed(calibration=record)
    assert schema_errors(content)
    path = tmp_path / "manifest.json"
    path.write_text(json.dumps(content))
    (entry, *_) = load_manifest(path).values()
    with pytest.raises(CaflowError) as caught:
        calibration_in({"calibration": entry.calibration})
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (b'{"schema": 1, "schema": 1, "models": {}}', "'schema' occurs twice"),
        (b'{"schema": 1, "models": {"a": 1e999}}', "1e999"),
        (b"[" * 100_000, "nested too deeply"),
        (b" " * 5_000_000, "more than"),
    ],
)
def test_what_is_no_strict_json_is_no_manifest(tmp_path, text, named):
    assert named in refusal(tmp_path, text)


def test_every_task_has_a_default_model():
    assert {task: default_model(task).task for task in TASKS} == {t: t for t in TASKS}
    assert default_model("superres").id == "photos-superres-x4"


def test_files_and_folders_resolve_without_their_path(model_file, tmp_path):
    by_file = resolve(str(model_file))
    assert by_file.id == "superres.safetensors"
    assert by_file.sha256 == sha256_of(model_file)
    run = tmp_path / "my-run"
    run.mkdir()
    shutil.copy(model_file, run / "best.safetensors")
    assert resolve(str(run)).id == "my-run"
    shutil.copy(model_file, run / "model.safetensors")
    assert resolve(str(run)).path.name == "model.safetensors"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("faces-superres-x5", "no model 'faces-superres-x5'"),
        ("no/such.safetensors", "no model"),
        ("a b", "no model"),
        ("", "no model in the folder"),  # the current one
    ],
)
def test_an_unknown_model_is_an_error_of_weights(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CaflowError, match=message) as caught:
        resolve(name)
    assert caught.value.exit_code == 3
    if name == "faces-superres-x5":
        assert caught.value.hint == "--model faces-superres-x4"

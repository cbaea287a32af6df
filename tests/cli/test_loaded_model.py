"""Models that a command cannot use."""

from __future__ import annotations

import copy
import dataclasses
import json

import helpers
import pytest

from .process import assert_refused


@pytest.mark.parametrize("name", ["./missing", "../runs", "a--b/c", "x" * 300])
def test_a_model_that_is_nowhere_exits_3(run, monkeypatch, small_picture, name):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    result = run("superres", small_picture, "-o", "o/", "--model", name)
    assert_refused(result, 3, name[:20])


@pytest.mark.parametrize("content", [b"", b"\x80\x04\x95pickle", b"\xff" * 64])
def test_unreadable_weights_exit_3(run, tmp_path, small_picture, content):
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(content)
    result = run("superres", small_picture, "--model", bad, "-o", "out/")
    assert_refused(result, 3, "bad.safetensors")
    result = run("superres", small_picture, "--model", "none.safetensors")
    assert_refused(result, 3, "none.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["bad.safetensors"]


def test_a_checkpoint_of_another_schema_exits_3(run, tmp_path, small_picture, model_file):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(model_file, framework="pt") as file:
        header = json.loads(file.metadata()["caflow"])
    path = tmp_path / "next.safetensors"
    save_file(load_file(model_file), path, {"caflow": json.dumps({**header, "schema": 2})})
    result = run("superres", small_picture, "--model", path)
    assert_refused(result, 3, "schema 2")


def test_a_model_of_a_task_that_there_is_not_exits_3(run, tmp_path, small_picture, small_model):
    model = copy.copy(small_model)
    model.config = helpers.task_config("superres")
    model.config = dataclasses.replace(
        model.config, task=dataclasses.replace(model.config.task, name="upscale")
    )
    model.save(tmp_path / "next.safetensors")
    result = run("superres", small_picture, "--model", "next.safetensors")
    assert_refused(result, 3, "'upscale', which this version does not know")


def test_a_model_of_another_task_exits_2(run, tmp_path, small_picture, model_file):
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(model_file, framework="pt") as file:
        header = json.loads(file.metadata()["caflow"])
    header["config"]["task"]["name"] = "colorize"
    path = tmp_path / "grey.safetensors"
    save_file(load_file(model_file), path, {"caflow": json.dumps(header)})
    result = run("superres", small_picture, "--model", path)
    assert_refused(result, 2, "is for colorize, not superres")

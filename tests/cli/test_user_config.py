"""A user's defaults: where they are, what may stand there, and what goes before what."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import typer.main

from caflow_cli.cli import user_config
from caflow_cli.cli.app import app
from caflow_cli.errors import CaflowError


@pytest.fixture
def file(tmp_path, monkeypatch) -> Path:
    path = tmp_path / "defaults" / "config.toml"
    monkeypatch.setenv("CAFLOW_CONFIG", str(path))
    return path


def written(file: Path, text: str) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, encoding="utf-8")


def defaults(text: str) -> dict:
    context = typer.main.get_command(app).make_context("caflow", ["models"], resilient_parsing=True)
    return user_config.defaults_of(user_config.read_table(text), context)


@pytest.mark.skipif(os.name == "nt", reason="paths of POSIX")
def test_the_place_is_the_platforms(monkeypatch):
    monkeypatch.delenv("CAFLOW_CONFIG")
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("XDG_CONFIG_HOME", "/xdg")
    assert user_config.config_path() == Path("/xdg/caflow/config.toml")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    assert user_config.config_path() == Path("/home/me/.config/caflow/config.toml")
    monkeypatch.setattr(sys, "platform", "darwin")
    folder = "/home/me/Library/Application Support"
    assert user_config.config_path() == Path(folder, "caflow", "config.toml")


def test_keys_are_options_of_all_commands_or_of_one():
    found = defaults(
        'device = "cpu"\n[superres]\ncandidates = 3\nnoise-samples = 2\n'
        '[models.list]\njson = true\n[train]\nset = ["seed=3"]\n'
    )
    assert found["superres"] == {"device": "cpu", "candidates": "3", "noise_samples": "2"}
    assert found["colorize"] == {"device": "cpu"}
    assert found["models"]["list"] == {"as_json": True}
    assert found["train"] == {"device": "cpu", "settings": ["seed=3"]}


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ("# a\ndevice = \n", 2, "is not TOML", ""),
        ("# a\ndevcie = 'cpu'\n", 2, "has devcie", "device is one"),
        ("[superres]\n\ncandidate = 3\n", 3, "has superres.candidate", "candidates is one"),
        ("[superres]\ncandidates = 'many'\n", 2, 'candidates = "many"', "--help"),
        ("[superres]\ncandidates = [1]\n", 2, "one value is wanted", "--help"),
        ("[superres]\ncandidates = 0\n", 2, "1 or more is wanted", "--help"),
        ("tau = 'banana'\n", 1, "tau is 'banana'", "--help"),
        ("rank = 'foo'\n", 1, "cannot rank by 'foo'", "--help"),
        ("quiet = 'yes'\n", 1, "true or false is wanted", "--help"),
        ("\n[upscale]\ntau = 1\n", 2, "has upscale", ""),
        ("[model]\nsuperres = 3\n", 2, "superres = 3", "an id, a file or a repository"),
        ("[model]\nother = 'a'\n", 2, 'other = "a"', "superres"),
        ("model = 'a'\n", 1, "has a model for no task", "[model]"),
        ("version = true\n", 1, "has version", ""),
    ],
)
def test_a_bad_file_is_one_error_with_its_line(file, text, line, message, hint):
    written(file, text)
    with pytest.raises(CaflowError) as caught:
        defaults(text)
    assert caught.value.message.startswith(f"line {line} of {str(file)!r} ")
    assert message in caught.value.message
    assert hint in caught.value.hint
    assert caught.value.exit_code == 2


def test_setting_and_removing_leaves_other_lines_alone(file):
    text = "# mine\ndevice = 'cpu'\n\n[superres] # large\ntau = 0.8\n"
    written(file, text)
    changed = user_config.with_value("superres.candidates", 20)
    assert changed == text.replace("# large\n", "# large\ncandidates = 20\n")
    assert user_config.with_value("superres.tau", None) == text.replace("tau = 0.8\n", "")
    assert user_config.with_value("device", "mps") == text.replace("'cpu'", '"mps"')
    assert 'device = "mps"\n' in user_config.with_value("device", "mps")
    added = user_config.with_value("model.superres", "a/b")
    assert added == text + '\n[model]\nsuperres = "a/b"\n'
    for key in ("quiet", "model.superres"):
        with pytest.raises(CaflowError, match="is not set"):
            user_config.with_value(key, None)
    written(file, "superres = {tau = 0.8}\n")
    with pytest.raises(CaflowError, match="line by line"):
        user_config.with_value("superres.tau", 0.9)


# --- the command ----------------------------------------------------------------------------------


def test_the_command_sets_shows_and_removes(run, file):
    assert run("config", "path").stdout.decode() == f"{file}\n"
    assert run("config", "show").stdout == b""
    for key, value in (("device", "cpu"), ("superres.candidates", "3"), ("model.paired", "x")):
        done = run("config", "set", key, value)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    shown = run("config", "show").stdout.decode()
    assert shown == 'device = "cpu"\nsuperres.candidates = 3\nmodel.paired = "x"\n'
    assert run("config", "unset", "device").returncode == 0
    assert "device" not in run("config", "show").stdout.decode()
    before = file.read_bytes()
    for key, value in (
        ("superres.candidates", "many"),
        ("superres.nothing", "1"),
        ("device", "{}"),
    ):
        assert run("config", "set", key, value).returncode == 2
    assert file.read_bytes() == before
    said = run("config", "set", "tau", "banana").stderr.decode()
    assert said.startswith("error: tau = 'banana': tau is 'banana'")
    assert run("config", "set", "tau", "0.9/0.7/0.5").returncode == 0


def test_a_bad_file_stops_all_but_the_command_that_mends_it(run, file):
    written(file, "device = 'cpu'\nnothing = 1\n")
    refused = run("models", "list")
    assert refused.returncode == 2
    assert f"line 2 of {str(file)!r}" in refused.stderr.decode()
    assert run("config", "unset", "nothing").returncode == 0
    assert run("models", "list").returncode == 0


def test_an_option_goes_before_the_environment_and_that_before_the_file(run, file, small_picture):
    written(file, "device = 'cuda:77'\n")

    def device(*options: str, **environment: str) -> str:
        done = run("superres", small_picture, *options, **environment)
        assert done.returncode == 2
        return done.stderr.decode()

    assert "cuda:77" in device()
    assert "cuda:88" in device(CAFLOW_DEVICE="cuda:88")
    assert "cuda:99" in device("--device", "cuda:99", CAFLOW_DEVICE="cuda:88")


def test_the_model_of_a_task_is_for_that_task_alone(run, file, model_file, small_picture):
    written(file, f"[model]\nsuperres = '{model_file}'\ncolorize = 'none'\n")
    done = run("superres", small_picture, "-m", 1, "-o", "out/", "--json")
    assert done.returncode == 0, done.stderr
    assert f'"id": "{model_file.name}"'.encode() in done.stdout.replace(b'":"', b'": "')
    assert b"no model 'none'" in run("colorize", small_picture).stderr

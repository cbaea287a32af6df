"""`caflow models pack`."""

from __future__ import annotations

import json

import pytest

from caflow_cli.hub.digest import sha256_of

from ...process import assert_refused
from ...results import lines_of, text_of


def test_pack(run, tmp_path, model_file):
    shared = ["models", "pack", model_file, "--id", "mine", "-o", "out"]
    result = run(*shared)
    assert (result.returncode, result.stdout) == (0, b"out/mine.safetensors\n")
    assert b"sha256" in result.stderr
    assert run(*shared, "--overwrite", "-q").stderr == b""
    (line,) = lines_of(run(*shared, "--overwrite", "--json"))
    assert line["sha256"] == sha256_of(tmp_path / "out" / "mine.safetensors")
    assert text_of(run("models", "verify", "out/mine.safetensors")) == "ok\tout/mine.safetensors\n"


@pytest.mark.parametrize("option", ["--license", "--data-terms"])
def test_pack_writes_no_manifest_that_cannot_be_read(run, tmp_path, model_file, option):
    arguments = ["--id", "mine", "-o", "out", option, "one\nline\x1b[2J"]
    assert_refused(run("models", "pack", model_file, *arguments), 2, "no manifest can hold this")
    assert not list(tmp_path.rglob("*.safetensors"))
    assert not list(tmp_path.rglob("*.json"))


def test_pack_refuses_an_id_that_is_taken(run, tmp_path, model_file):
    packed = run("models", "pack", model_file, "--id", "mine")
    assert packed.stdout.decode() == "mine.safetensors\n"
    again = run("models", "pack", model_file, "--id", "mine")
    assert_refused(again, 2, "there is a model 'mine'")
    entry = json.loads((tmp_path / "weights_manifest.json").read_text())["models"]["mine"]
    assert entry["sha256"] == sha256_of(tmp_path / "mine.safetensors")

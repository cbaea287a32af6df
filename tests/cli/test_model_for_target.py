"""The model that scores a picture: by option, by the picture's own word, by the environment."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pictures import COLOURS

from caflow_cli.cli.inputs import InputPicture
from caflow_cli.cli.model_for_target import model_for_target
from caflow_cli.errors import CaflowError
from caflow_cli.hub.digest import sha256_of
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.images import encode_png

ENTRY = load_manifest()["faces-superres-x4"]


def target(folder: Path, identity: object) -> InputPicture:
    path = folder / "x.png"
    path.write_bytes(encode_png(COLOURS, {"caflow": json.dumps({"model": identity})}))
    return InputPicture("x.png", path, "x")


def test_the_option_then_the_picture_then_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("CAFLOW_MODEL", "other")
    made = target(tmp_path, {"id": ENTRY.id, "sha256": ENTRY.sha256})
    assert model_for_target("mine", made) == "mine"
    assert model_for_target(None, made) == ENTRY.id
    for silent in (target(tmp_path, "nonsense"), InputPicture("-", None, "stdin")):
        assert model_for_target(None, silent) == "other"
        monkeypatch.delenv("CAFLOW_MODEL", raising=False)
        assert model_for_target(None, silent) is None
        assert model_for_target(None, silent, "filed") == "filed"
        monkeypatch.setenv("CAFLOW_MODEL", "other")


def test_a_model_that_is_not_at_hand_is_named(tmp_path, monkeypatch, model_file):
    monkeypatch.delenv("CAFLOW_MODEL", raising=False)
    digest = sha256_of(model_file)
    made = target(tmp_path, {"id": ENTRY.id, "sha256": digest})  # the id of another file
    with pytest.raises(CaflowError, match=f"made with model '{ENTRY.id}'") as caught:
        model_for_target(None, made)
    assert caught.value.exit_code == 2
    monkeypatch.setenv("CAFLOW_MODEL", str(model_file))
    assert model_for_target(None, made) == str(model_file)
    monkeypatch.delenv("CAFLOW_MODEL")
    assert model_for_target(None, made, str(model_file)) == str(model_file)

"""Files that are not safetensors are named by their content, and never opened."""

from __future__ import annotations

import pytest

from caflow_cli.checkpoint import read_info
from caflow_cli.checkpoint.foreign import HEAD, foreign

from .hostile import FOREIGN, assert_refused


@pytest.mark.parametrize("suffix", [".safetensors", ".bin", ".pt"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_what_is_not_safetensors_is_named_by_content(tmp_path, monkeypatch, kind, suffix):
    monkeypatch.chdir(tmp_path)
    content, named = FOREIGN[kind]
    path = tmp_path / f"model{suffix}"
    path.write_bytes(content)
    assert_refused(path, named)
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_safetensors_under_another_suffix_are_what_they_are(tmp_path, model_file):
    path = tmp_path / "pytorch_model.bin"
    path.write_bytes(model_file.read_bytes())
    assert read_info(path) == read_info(model_file)


@pytest.mark.parametrize("kind", FOREIGN)
def test_a_kind_is_told_by_its_first_bytes(kind):
    content, named = FOREIGN[kind]
    what, hint = foreign(content[:HEAD])
    assert named in what
    assert hint


@pytest.mark.parametrize("head", [b"", b"\0" * 100, b"caflow", b"PK", b"\x80\x09"])
def test_what_begins_like_none_is_not_guessed_at(head):
    assert foreign(head) is None

"""`caflow models path`."""

from __future__ import annotations

import pytest

from caflow_cli.assets import WEIGHTS_DIR

from ...process import assert_refused
from ...results import lines_of, text_of
from .entry import ENTRY, ID


def test_path(run, model_file):
    assert text_of(run("models", "path", ID)) == f"{WEIGHTS_DIR / str(ENTRY.file)}\n"
    assert text_of(run("models", "path", model_file)) == f"{model_file}\n"
    (line,) = lines_of(run("models", "path", ID, "--json"))
    assert (line["id"], line["sha256"]) == (ID, ENTRY.sha256)


@pytest.mark.parametrize("command", ["info", "path"])
def test_a_model_that_is_not_there(run, one_bundled, command):
    assert_refused(run("models", command, "faces-superres-x5"), 3, "no model")
    (one_bundled / str(ENTRY.file)).unlink()
    assert_refused(run("models", command, ID), 3, "are missing")


@pytest.mark.parametrize("command", ["info", "path"])
def test_nothing_is_downloaded(run, tmp_path, monkeypatch, command):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("caflow_cli.hub.download._ask", lambda source: pytest.fail("asked the Hub"))
    result = run("models", command, "nobody/nothing@v1")
    assert_refused(result, 3, "'nobody/nothing@v1' is not in the cache")
    assert result.stderr.decode().splitlines()[1] == "hint: caflow models pull nobody/nothing@v1"
    result = run("models", "verify", "nobody/nothing")
    assert (result.returncode, result.stdout) == (3, b"failed\tnobody/nothing\n")

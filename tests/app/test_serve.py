"""Starting the page. In a browser: `test_page.py`."""

from __future__ import annotations

import importlib.util
import os

import pytest

from caflow_cli.app import serve
from caflow_cli.errors import CaflowError


def test_without_the_extra_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(CaflowError) as caught, serve.serving():
        pass
    assert caught.value.hint == 'pip install "caflow-cli[app]"'
    assert caught.value.exit_code == 3


def test_gradio_is_told_to_keep_quiet_before_it_is_imported(monkeypatch, tmp_path):
    for name in ("GRADIO_ANALYTICS_ENABLED", "GRADIO_TEMP_DIR", "HF_HUB_DISABLE_TELEMETRY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "example.org")
    monkeypatch.delenv("no_proxy", raising=False)
    serve.quiet_environment(tmp_path)
    assert os.environ["GRADIO_ANALYTICS_ENABLED"] == "False"
    assert os.environ["HF_HUB_DISABLE_TELEMETRY"] == "1"
    assert os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert os.environ["no_proxy"] == "127.0.0.1,localhost"
    assert os.environ["GRADIO_TEMP_DIR"] == str(tmp_path / "gradio")


def test_this_machine_alone_by_default():
    assert serve.Address().host == "127.0.0.1"
    assert serve.Address().open is False

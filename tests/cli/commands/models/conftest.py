"""Fixtures of the tests of `caflow models`."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from caflow_cli.assets import WEIGHTS_DIR
from caflow_cli.hub.manifest import manifest_json

from .entry import ENTRY


@pytest.fixture
def one_bundled(tmp_path: Path, monkeypatch) -> Path:
    """An installation with that one model, in `tmp_path/weights`."""
    folder = tmp_path / "weights"
    folder.mkdir()
    shutil.copy(WEIGHTS_DIR / str(ENTRY.file), folder)
    manifest = tmp_path / "weights_manifest.json"
    manifest.write_text(manifest_json([ENTRY]))
    monkeypatch.setattr("caflow_cli.hub.manifest.WEIGHTS_DIR", folder)
    monkeypatch.setattr("caflow_cli.hub.manifest.manifest_path", lambda: manifest)
    return folder

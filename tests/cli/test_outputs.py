"""Names that a file system takes for one, and names of devices."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from caflow_cli.cli.outputs import ignores_case, is_device


def test_a_file_system_that_ignores_case_is_found_out(monkeypatch, tmp_path):
    assert not ignores_case(tmp_path / "not" / "yet")
    (tmp_path / "Name").touch()
    monkeypatch.setattr(Path, "samefile", lambda self, other: True)
    assert ignores_case(tmp_path)
    monkeypatch.setattr(os, "scandir", lambda folder: (_ for _ in ()).throw(OSError))
    monkeypatch.setattr(os.path, "lexists", lambda path: False)
    monkeypatch.setattr(sys, "platform", "win32")
    assert ignores_case(tmp_path)


def test_devices_of_windows():
    assert all(map(is_device, ["nul.png", "CON", "Com1.tar.gz", "lpt9 .png"]))
    assert not any(map(is_device, ["null.png", "com0.png", "x_nul.png", "com10.png"]))

"""Paths that cannot be, and names that are imported at their first use."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from caflow_cli.paths import exists, is_file, is_folder

PACKAGES = ["caflow_cli", "caflow_cli.evaluation", "caflow_cli.training"]


@pytest.mark.parametrize("name", ["gone", "link", "n" * 5000, "a\0b", "file/inside"])
def test_what_cannot_be_is_not_there(tmp_path, name):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    path = f"{tmp_path}/{name}"
    assert (exists(path), is_file(path), is_folder(path)) == (False, False, False)


@pytest.mark.parametrize("package", PACKAGES)
def test_every_promised_name_is_there_and_kept(package):
    module = importlib.import_module(package)
    for name in module.__all__:
        assert getattr(module, name) is vars(module)[name]
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_the_packages_import_no_torch():
    code = f"import sys, {', '.join(PACKAGES)}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout.split() == [b"False"]

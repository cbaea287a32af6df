"""Names of packages that are imported at their first use."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

PACKAGES = ["caflow_cli", "caflow_cli.evaluation", "caflow_cli.training"]


@pytest.mark.parametrize("package", PACKAGES)
def test_every_promised_name_is_there_and_kept(package):
    module = importlib.import_module(package)
    assert set(module._HOMES) <= set(module.__all__)
    for name in module.__all__:
        assert getattr(module, name) is vars(module)[name]


@pytest.mark.parametrize("package", PACKAGES)
def test_an_unknown_name_is_refused_as_python_does(package):
    module = importlib.import_module(package)
    with pytest.raises(AttributeError, match=f"module '{package}' has no attribute 'nothing'"):
        _ = module.nothing


def test_the_packages_import_no_torch():
    code = f"import sys, {', '.join(PACKAGES)}; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    assert found.stdout.split() == [b"False"]

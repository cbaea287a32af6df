"""Set-up of all tests. Modules beside this file can be imported from any test."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Use one thread per test process, and for the programs that it starts.

    The xdist controller does not load the fixtures, because they import PyTorch.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # where there are more, they sleep
    os.environ["CAFLOW_CONFIG"] = os.devnull  # ignore the defaults of the user who runs the tests,
    os.environ["XDG_STATE_HOME"] = os.devnull  # and nothing written for them
    if "soak" in config.option.markexpr.split():
        os.environ.setdefault("CAFLOW_SOAK", "1")  # all of it, not a sample (tests/soak/counts.py)
    if config.option.dist == "no":
        config.pluginmanager.import_plugin("shared_fixtures")

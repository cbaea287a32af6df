"""The surroundings of all tests; modules beside this file can be imported from every one."""

import os

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """One thread for each test process, and for the programs that it starts.

    The process that hands out tests to others needs no fixtures: they import PyTorch.
    """
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ["CAFLOW_CONFIG"] = os.devnull  # no defaults of whoever runs the tests,
    os.environ["XDG_STATE_HOME"] = os.devnull  # and nothing written for them
    if "soak" in config.option.markexpr.split():
        os.environ.setdefault("CAFLOW_SOAK", "1")  # all of it, not a sample (tests/soak/counts.py)
    if config.option.dist == "no":
        config.pluginmanager.import_plugin("shared_fixtures")

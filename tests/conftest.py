"""Fixtures of all tests; `helpers.py` beside this file can be imported from every one."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import helpers

from caflow_cli.model import CAFlow, Config


@pytest.fixture(scope="session")
def default_model() -> CAFlow:
    """A model of the default size in float32. Shared: read it, deepcopy it to change it."""
    return helpers.data_like_model(Config(), seed=1, size=64)


@pytest.fixture(scope="session")
def small_model() -> CAFlow:
    """Three scales and three-channel images, float32. Shared like `default_model`."""
    return helpers.data_like_model(helpers.small_config(), seed=2, size=32)


@pytest.fixture(scope="session")
def small_model64(small_model: CAFlow) -> CAFlow:
    """`small_model` in float64. Shared likewise."""
    return helpers.as_double(small_model)

"""Fixtures of all tests; `helpers.py` beside this file can be imported from every one."""

from pathlib import Path

import helpers
import pytest

from caflow_cli.model import CAFlow, Config, save_checkpoint


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


@pytest.fixture(scope="session")
def model_file(small_model: CAFlow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_model` as a file: superres x4, random weights."""
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(path, small_model, {"images": 0})
    return path

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
def task_models(small_model: CAFlow) -> dict[str, CAFlow]:
    """A model like `small_model` for every task, 32x32. Shared likewise."""
    others = ("colorize", "inpaint", "paired")
    models = {
        name: helpers.data_like_model(helpers.task_config(name), seed=seed, size=32)
        for seed, name in enumerate(others, 3)
    }
    return {"superres": small_model, **models}


@pytest.fixture(scope="session")
def model_files(
    task_models: dict[str, CAFlow], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """`task_models` as files, by task."""
    folder = tmp_path_factory.mktemp("models")
    for name, model in task_models.items():
        save_checkpoint(folder / f"{name}.safetensors", model, {"images": 0})
    return {name: folder / f"{name}.safetensors" for name in task_models}


@pytest.fixture(scope="session")
def model_file(small_model: CAFlow, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`small_model` as a file: superres x4, random weights."""
    path = tmp_path_factory.mktemp("model") / "small.safetensors"
    save_checkpoint(path, small_model, {"images": 0})
    return path

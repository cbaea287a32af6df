"""Fixtures of the page's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.app.desk import Desk
from caflow_cli.app.limits import Limits
from caflow_cli.app.models import Models


@pytest.fixture(scope="session")
def models(model_files) -> Models:
    """The small models, which are named `superres.safetensors` and so on, and the bundled ones."""
    return Models([str(path) for path in model_files.values()], torch.device("cpu"))


@pytest.fixture
def desk(models, tmp_path) -> Desk:
    (tmp_path / "desk").mkdir()
    return Desk(models, Limits(megapixels=0.01, megabytes=1, candidates=8), tmp_path / "desk")


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """A picture of 32x32 as a file."""
    rows, columns = np.indices((32, 32))
    values = np.stack([rows * 7, columns * 7, (rows + columns) * 3], -1).astype(np.uint8)
    path = tmp_path_factory.mktemp("photo") / "my photo.png"
    Image.fromarray(values).save(path)
    return path


@pytest.fixture(scope="session")
def small_photo(photo) -> Path:
    """The same at 8x8."""
    path = photo.with_name("small.png")
    Image.open(photo).resize((8, 8)).save(path)
    return path

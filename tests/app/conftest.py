"""Fixtures of the page's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.app.inputs import Limits
from caflow_cli.app.sessions import Models, Sessions


@pytest.fixture(scope="session")
def models(model_files) -> Models:
    """The small models, which are named `superres.safetensors` and so on, and the bundled ones."""
    return Models([str(path) for path in model_files.values()], torch.device("cpu"))


@pytest.fixture
def sessions(models, tmp_path) -> Sessions:
    (tmp_path / "files").mkdir()
    limits = Limits(megapixels=0.01, megabytes=1, candidates=8, visitors=2)
    return Sessions(models, limits, tmp_path / "files")


@pytest.fixture(scope="session")
def photo(tmp_path_factory) -> Path:
    """An image of 32x32 as a file."""
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

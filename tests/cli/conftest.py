"""Fixtures of the command line's tests."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .inprocess import Program, program


@pytest.fixture
def run(tmp_path: Path) -> Program:
    """The program in this process, in `tmp_path`."""
    return program(tmp_path)


@pytest.fixture(scope="session")
def small_image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image of 8x8 as a file."""
    path = tmp_path_factory.mktemp("images") / "small.png"
    values = np.add.outer(np.arange(8) * 20, np.arange(8) * 5)[..., None] + [0, 20, 40]
    Image.fromarray(values.astype(np.uint8)).save(path)
    return path

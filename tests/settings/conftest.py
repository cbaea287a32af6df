"""The program in this process, and images for it."""

from pathlib import Path

import helpers
import pytest
from PIL import Image

from ..cli.inprocess import Program, program


@pytest.fixture
def run(tmp_path: Path) -> Program:
    return program(tmp_path)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder with images, of which the first lies beside it, too."""
    for number in range(2):
        (tmp_path / "set").mkdir(exist_ok=True)
        Image.fromarray(helpers.noise(32, 32, number)).save(tmp_path / "set" / f"{number}.png")
    Image.fromarray(helpers.noise(8, 8)).save(tmp_path / "x.png")
    Image.new("L", (8, 8), 255).crop((0, 0, 4, 8)).save(tmp_path / "mask.png")
    return tmp_path

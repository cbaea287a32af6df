"""Commands in a pipe of a shell: an old photograph is repaired, enlarged and colored."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import read_provenance

ROOT = Path(__file__).resolve().parents[2]
(PIPE,) = re.findall(r"^caflow .*\|.*\|.*new\.png$", (ROOT / "README.md").read_text(), re.MULTILINE)

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")


@pytest.fixture
def shell(tmp_path, model_files):
    """Run a line of bash under pipefail, with small models in place of the bundled ones."""
    models = {f"CAFLOW_{task.upper()}_MODEL": str(path) for task, path in model_files.items()}
    environment = {**os.environ, **models, "PYTHONPATH": str(ROOT)}

    def run(line: str) -> tuple[int, list[str]]:
        start = f'set -o pipefail; caflow() {{ {sys.executable} -m caflow_cli "$@"; }}; '
        done = subprocess.run(
            ["bash", "-c", start + line],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
        )
        return done.returncode, done.stderr.splitlines()

    return run


def test_an_old_photograph_is_repaired_enlarged_and_colored(shell, tmp_path):
    exif = Image.Exif()
    exif[0x013B] = "A. Photographer"
    values = np.random.default_rng(0).integers(60, 200, (16, 16), np.uint8)
    Image.fromarray(values).save(tmp_path / "old.jpg", quality=97, exif=exif)
    line = PIPE.replace("example:old", "old.jpg").replace(" | ", " --keep-metadata | ")
    code, said = shell(line + " --keep-metadata")
    assert code == 0, said
    with Image.open(tmp_path / "new.png") as image:
        assert image.size == (64, 64)
        assert image.getexif()[0x013B] == "A. Photographer"
    assert read_provenance(tmp_path / "new.png")["task"] == "colorize"
    prefixes = {text.partition(": ")[0] for text in said}
    assert prefixes <= {"inpaint", "superres", "colorize"}
    assert "inpaint" in prefixes  # no damage was found


def test_a_failed_stage_ends_the_pipe_and_writes_no_image(run, tmp_path):
    first = run("superres", "old.jpg", "-o", "-")
    second = run("colorize", "-", "-o", "new.png", stdin=first.stdout)
    assert first.returncode != 0 != second.returncode
    assert list(tmp_path.iterdir()) == []
    said = (first.stderr + second.stderr).decode().splitlines()
    assert any(text.startswith("superres: error: ") for text in said)
    assert any(text.startswith("superres: hint: ") for text in said)
    assert any(text.startswith("colorize: error: ") and "empty" in text for text in said)
    assert "colorize: hint: see the error of the command before it" in said

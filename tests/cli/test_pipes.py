"""Commands in a pipe: an old photograph is repaired, enlarged and colored."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
from PIL import Image

from caflow_cli.images import read_provenance

ROOT = Path(__file__).resolve().parents[2]
(PIPE,) = re.findall(r"^caflow .*\|.*\|.*new\.png$", (ROOT / "README.md").read_text(), re.MULTILINE)


def test_an_old_photograph_is_repaired_enlarged_and_colored(run, tmp_path, model_files):
    """With small models in place of the bundled ones."""
    models = {f"CAFLOW_{task.upper()}_MODEL": str(path) for task, path in model_files.items()}
    exif = Image.Exif()
    exif[0x013B] = "A. Photographer"
    values = np.random.default_rng(0).integers(60, 200, (16, 16), np.uint8)
    Image.fromarray(values).save(tmp_path / "old.jpg", quality=97, exif=exif)
    passed, said = b"", b""
    for stage in PIPE.replace("example:old", "old.jpg").split(" | "):
        program, *words = shlex.split(stage)
        assert program == "caflow"
        done = run(*words, "--keep-metadata", stdin=passed, **models)
        assert done.returncode == 0, done.stderr
        passed, said = done.stdout, said + done.stderr
    with Image.open(tmp_path / "new.png") as image:
        assert image.size == (64, 64)
        assert image.getexif()[0x013B] == "A. Photographer"
    assert read_provenance(tmp_path / "new.png")["task"] == "colorize"
    prefixes = {text.partition(": ")[0] for text in said.decode().splitlines()}
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

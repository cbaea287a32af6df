"""Any command line ends with a code of the table, says no traceback, and changes no input."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import zipfile
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from hypothesis import event, given, strategies as st
from PIL import Image

from caflow_cli.assets import ASSETS
from caflow_cli.config import Config, FlowConfig, TaskConfig

from .. import helpers
from ..cli.inprocess import program
from .arguments import command_lines
from .counts import examples

CODES = {0, 1, 2, 3, 130}
LINES = jsonschema.Draft202012Validator(
    json.loads((ASSETS / "schema" / "lines.schema.json").read_text(encoding="utf-8"))
)
RESTORING = ("superres", "colorize", "inpaint", "sample")
TINY = {"scales": 1, "r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 2, "f_hidden": 2}


@pytest.fixture(scope="module")
def given_files(tmp_path_factory) -> Path:
    """A folder with images of several kinds, data, masks, models; and damaged ones of each."""
    folder = tmp_path_factory.mktemp("given")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 10, 3), dtype=np.uint8)
    photo = Image.fromarray(pixels)
    photo.save(folder / "x.png")
    photo.convert("L").save(folder / "gray.png")
    photo.crop((0, 0, 7, 5)).save(folder / "odd.jpg")
    photo.convert("RGBA").save(folder / "alpha.webp")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "deep.tif")
    photo.save(folder / "moving.gif", save_all=True, append_images=[photo.rotate(90)])
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(20))
    photo.convert("L").point(lambda v: 255 * (v > 200)).save(folder / "mask.png")
    for name in ("photos", "photos/deeper", "pairs/A", "pairs/B"):
        (folder / name).mkdir(parents=True)
    big = photo.resize((16, 16))
    for k in range(5):
        big.rotate(k).save(folder / "photos" / f"{k}.png")
        big.rotate(k).save(folder / "pairs" / "A" / f"{k}.png")
        big.rotate(-k).save(folder / "pairs" / "B" / f"{k}.jpg")
    photo.save(folder / "photos" / "deeper" / "z.png")
    with zipfile.ZipFile(folder / "data.zip", "w") as archive:
        for path in sorted((folder / "photos").glob("*.png")):
            archive.write(path, path.name)
    with zipfile.ZipFile(folder / "evil.zip", "w") as archive:
        archive.writestr("../up.png", (folder / "x.png").read_bytes())
    (folder / "run.toml").write_text('data = "photos"\n[task]\nsize = 16\n', encoding="utf-8")
    for name, channels in (("superres", 3), ("inpaint", 4)):
        config = Config(FlowConfig(cond_channels=channels, **TINY), TaskConfig(name, size=16))
        model = helpers.data_like_model(config, 1, 16)
        stem = "small" if name == "superres" else name
        model.save(folder / f"{stem}.safetensors")
    content = (folder / "small.safetensors").read_bytes()
    (folder / "bad.safetensors").write_bytes(content[: len(content) // 2])
    return folder


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def check_stdout(arguments: list[str], out: bytes, folder: Path) -> None:
    """Results alone: JSON lines of the schema, paths of files that are there, or one image."""
    command = arguments[0]
    if {"--help", "-h", "--version"} & {*arguments} or not out:
        return
    if "--json" in arguments:
        for line in out.splitlines():
            record = json.loads(line)
            if command in (*RESTORING, "score"):
                best = jsonschema.exceptions.best_match(LINES.iter_errors(record))
                assert best is None, f"{best.message} at {best.json_path}"
        return
    if command in RESTORING and "--dry-run" not in arguments:
        if out[:4] in (b"\x89PNG", b"RIFF", b"II*\0", b"\xff\xd8\xff\xe0", b"\xff\xd8\xff\xe1"):
            Image.open(io.BytesIO(out)).load()
            return
        text = out.decode(errors="surrogateescape")
        names = [n for n in text.split("\n") if n]
        assert all((folder / name).exists() for name in names) or "\n" in "".join(arguments)


@examples(4, 3000)
@given(arguments=command_lines(), stdin=st.sampled_from([b"", b"x", None]))
def test_any_command_line(given_files, tmp_path, arguments, stdin):
    folder = tmp_path / "work"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(given_files, folder)
    before = hashes(folder)
    content = (folder / "x.png").read_bytes() if stdin is None else stdin
    offline = {"HF_HUB_OFFLINE": "1", "HOME": str(tmp_path), "HF_HOME": str(tmp_path)}
    result = program(folder)(*arguments, stdin=content, **offline)
    said = result.stderr.decode(errors="replace")
    event(f"{' '.join(arguments[:1])} {result.returncode}")
    assert result.returncode in CODES, said
    assert "Traceback" not in said
    assert "this is a bug" not in said, said
    if result.returncode in (1, 2, 3) and "--help" not in arguments:
        assert "error: " in said
        assert "hint: " in said
    check_stdout(arguments, result.stdout, folder)
    after = hashes(folder)
    assert {name: after.get(name) for name in before} == before
    left = [name for name in after.keys() - before.keys() if name.endswith(".tmp")]
    assert left == []

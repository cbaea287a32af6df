"""A folder of everything that goes wrong, through the program as a user runs it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .inprocess import captured

if sys.platform != "linux":
    pytest.skip("pipes, links and names that others do not have", allow_module_level=True)

from . import nasty

DOCS = Path(__file__).parent / "nasty.md"


def tree(root: Path) -> dict[str, str]:
    """Every path under a folder: its kind, and the digest of what it holds."""
    found = {}
    for folder, folders, files in os.walk(root):
        for name in [*folders, *files]:
            path = Path(folder, name)
            if path.is_symlink():
                state = f"link to {path.readlink()}"
            elif path.is_file() and not os.access(path, os.R_OK):
                state = "unreadable"
            elif path.is_file():
                state = hashlib.sha256(path.read_bytes()).hexdigest()
            else:
                state = "folder" if path.is_dir() else "pipe"
            found[os.path.relpath(path, root)] = f"{state} {path.lstat().st_mtime_ns}"
    return found


def row(name: str, case: nasty.Case, record: dict | None) -> str:
    """A line of the table in nasty.md."""
    if record is None:
        outcome = "left out"
    elif record["status"] == "ok":
        (output,) = record["outputs"]
        with Image.open(output["path"]) as image:
            outcome = f"{image.width}×{image.height} {image.mode}"
    else:
        message = record["error"]["message"].replace(repr(f"in/{name}"), "…").lstrip("… :")
        outcome = f"refused: {message}"
    return f"| {case.what} | {re.sub('x{9,}', 'xxx…', outcome)} |"


@pytest.fixture(scope="module")
def run(tmp_path_factory, model_file):
    root = tmp_path_factory.mktemp("nasty")
    (root / "in").mkdir()
    nasty.make_folder(root / "in")
    before = tree(root / "in")
    shared = ("superres", "in", "-r", "-o", "out/", "-m", 1, "--json", "--model", model_file)
    result = captured(root, *shared)
    return root, before, result


def test_every_file_gives_a_picture_or_a_reason(run, monkeypatch):
    root, _, result = run
    monkeypatch.chdir(root)
    records = {}
    for line in result.stdout.splitlines():
        record = json.loads(line)
        records[os.path.relpath(record["input"], "in")] = record
    assert result.returncode == 1
    table = []
    for name, case in nasty.CASES.items():
        record = records.pop(name, None)
        if name == "secret.png" and os.access(Path("in", name), os.R_OK):
            continue  # root reads everything
        table.append(row(name, case, record))
        if case.error is None:
            assert record["status"] == "ok", record
            (output,) = record["outputs"]
            path = Path(output["path"])
            assert path.parent == Path("out") / Path(name).parent
            with Image.open(path) as image:
                assert image.size == (4 * case.size[0], 4 * case.size[1]), name
                assert image.mode == ("RGBA" if case.alpha else "RGB"), name
            assert output["score_exact"] is not case.alpha
        elif case.error:
            assert record["status"] == "error", name
            assert case.error in record["error"]["message"], record
            assert record["error"]["hint"]
            assert record["error"]["code"] == 1
        else:
            assert record is None, name
    assert records == {}
    print("\n".join(table))
    missing = [line for line in table if line not in DOCS.read_text(encoding="utf-8")]
    assert not missing, "\n".join(["not in nasty.md:", *missing])


def test_nothing_is_changed_lost_or_left_behind(run):
    root, before, result = run
    assert tree(root / "in") == before
    names = [path.name for path in root.rglob("*")]
    assert not [name for name in names if name.endswith(".tmp")]
    records = map(json.loads, result.stdout.splitlines())
    written = [output["path"] for record in records for output in record.get("outputs", [])]
    assert sorted(p for p in (root / "out").rglob("*") if p.is_file()) == sorted(
        root / path for path in written
    )


def test_messages_are_plain_and_in_natural_order(run):
    _, _, result = run
    assert b"Traceback" not in result.stderr
    assert b"defect" not in result.stderr
    lines = result.stderr.decode().splitlines()
    kinds = [line.split(":")[0] for line in lines]
    failed = sum(b'"status": "error"' in line for line in result.stdout.splitlines())
    assert kinds.count("error") == kinds.count("hint") == failed
    assert "in: 1 file of other kinds left out" in lines
    assert "1 earlier results left out" in lines
    inputs = [json.loads(line)["input"] for line in result.stdout.splitlines()]
    assert inputs.index("in/img2.png") + 1 == inputs.index("in/img10.png")


def test_what_is_the_same_picture_is_the_same_draw(run):
    root, _, _ = run

    def pixels(name: str) -> np.ndarray:
        return np.asarray(Image.open(root / "out" / name).convert("RGB"))

    for name in (
        *("-dash", "UPPER", "link", "colour-16_png", "colour-16_tif", "exif", "profile"),
        *("alpha-opaque", "same_png", "folder.png/inside"),
    ):
        np.testing.assert_array_equal(pixels(f"{name}_superres.png"), pixels("img2_superres.png"))
    turned = np.rot90(pixels("same_jpg_superres.png"), -1)
    assert pixels("turned_superres.png").shape == turned.shape


def test_alpha_is_the_inputs_enlarged(run):
    root, _, _ = run
    alpha = Image.fromarray(nasty.ALPHA).resize((32, 24), Image.Resampling.BICUBIC)
    for name in ("alpha_png", "alpha_webp", "alpha-16", "alpha-grey", "alpha-premultiplied"):
        with Image.open(root / "out" / f"{name}_superres.png") as image:
            np.testing.assert_array_equal(image.getchannel("A"), alpha)

"""The commands and figures in the README are true."""

from __future__ import annotations

import io
import json
import re
import shlex
from pathlib import Path

import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.hub.manifest import load_manifest

from .cli.inprocess import program

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_commands_of_the_images_run(tmp_path):
    """Each image is of the command above it, and of the candidates that it says are drawn."""
    commands = [block.strip() for block in blocks("sh") if "example:" in block and "-n 3" in block]
    assert len(commands) == 4
    written = b""
    for command in commands:
        name, *arguments = shlex.split(command)
        assert name == "caflow"
        result = program(tmp_path)(*arguments, "--dry-run")
        assert result.returncode == 0, result.stderr
        written += result.stdout
    for name in re.findall(r"`(cat_superres_\d+.png)`", README):
        assert name.encode() in written


def test_the_score_shown_is_the_score(tmp_path):
    shown = re.search(r"^# (-\d+\.\d+)\t?\s+(\d\.\d+)\s", README, flags=re.MULTILINE)
    command = re.search(r"^caflow (score .*)$", README, flags=re.MULTILINE)
    result = program(tmp_path)(*shlex.split(command[1]))
    nats, bits, _ = result.stdout.decode().split("\t")
    assert float(nats) == pytest.approx(float(shown[1]), abs=0.5)
    assert float(bits) == pytest.approx(float(shown[2]), abs=1e-4)


def test_the_commands_run_one_after_the_other(tmp_path, model_files):
    """In one folder, and small models in place of the bundled ones."""
    (plain,) = [block for block in blocks("sh") if "--mask hole.png" in block]
    (pipelines,) = [block for block in blocks("sh") if "jq" in block]
    face = example_path("face").read_bytes()
    (tmp_path / "photos").mkdir()
    for path in ("photos/a.png", "photos/b b.png"):
        (tmp_path / path).write_bytes(face)
    for name in ("web.jpg", "old.jpg"):
        Image.open(io.BytesIO(face)).convert("RGB").save(tmp_path / name, quality=95)
    for name, example in (("photo.png", "face_64"), ("hole.png", "hole")):
        Image.open(example_path(example)).resize((64, 64), 0).save(tmp_path / name)
    tasks = {"SUPERRES": "superres", "SCORE": "superres", "INPAINT": "inpaint"}
    env = {f"CAFLOW_{name}_MODEL": str(model_files[task]) for name, task in tasks.items()}
    said = []
    for line in (plain + pipelines).splitlines():
        (command,) = re.findall(r"caflow ([^|>#]+)", line)
        done = program(tmp_path)(*shlex.split(command), stdin=face, **env)
        assert done.returncode == 0, done.stderr
        said.append(done.stdout)
    assert Image.open(io.BytesIO(said[-3])).size == (64, 64)
    best, scored = ([json.loads(text) for text in out.splitlines()] for out in said[-2:])
    outputs = [output for line in best for output in line["outputs"]]
    names = ["best/a_superres.png", "best/b b_superres.png"]
    assert [output["path"] for output in outputs] == [line["target"] for line in scored] == names
    bits = [[one["bits_per_dim"] for one in found] for found in (outputs, scored)]
    assert bits[0] == pytest.approx(bits[1], abs=1e-5)  # the scores that ranked


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    code = next(block for block in blocks("python") if "restore(" in block)
    monkeypatch.chdir(tmp_path)
    Path("face.png").write_bytes(example_path("face").read_bytes())
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert all(line.endswith("(64, 64, 3)") for line in lines)


def test_nothing_tells_to_install_what_no_index_has():
    package = Path(__file__).parents[1] / "caflow_cli"
    for path in (*package.rglob("*.py"), *package.rglob("*.md")):
        assert not re.search(r"pip install[^\n]*caflow-cli", path.read_text(encoding="utf-8")), path


def test_it_shows_every_bundled_model_with_a_figure():
    for name in (entry.id for entry in load_manifest().values() if entry.file is not None):
        (row,) = (line for line in README.splitlines() if line.startswith(f"| [`{name}`]("))
        of_images = r"0\.\d+; [a-z ]+ 0\.\d+"  # its LPIPS, the baseline's
        of_fields = r"\(CRPS 0\.\d+ of the better peer's\)"
        assert re.search(rf"\| ({of_images}|{of_fields}) \|$", row)

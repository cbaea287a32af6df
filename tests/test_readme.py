"""The commands and figures in the README are true."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import forked
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.hub.manifest import load_manifest

from .cli.process import ENTRY, caflow

README = (Path(__file__).resolve().parent.parent / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_the_commands_of_the_images_run(tmp_path):
    """Each image is of the command above it, and of the candidates that it says are drawn."""
    commands = [block.strip() for block in blocks("sh") if "example:" in block and "-n 3" in block]
    assert len(commands) == 4
    install, _, commands[0] = commands[0].partition(" && ")
    assert install == "pip install ."
    written = b""
    for command in commands:
        program, *arguments = shlex.split(command)
        assert program == "caflow"
        result = caflow(*arguments, "--dry-run", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        written += result.stdout
    for name in re.findall(r"`(cat_superres_\d+.png)`", README):
        assert name.encode() in written


def test_the_score_shown_is_the_score(tmp_path):
    shown = re.search(r"^# (-\d+\.\d+)\t?\s+(\d\.\d+)\s", README, flags=re.MULTILINE)
    command = re.search(r"^caflow (score .*)$", README, flags=re.MULTILINE)
    result = caflow(*shlex.split(command[1]), cwd=tmp_path)
    nats, bits, _ = result.stdout.decode().split("\t")
    assert float(nats) == pytest.approx(float(shown[1]), abs=0.5)
    assert float(bits) == pytest.approx(float(shown[2]), abs=1e-4)


def test_the_commands_run_as_written_one_after_the_other(tmp_path, model_files):
    """With `caflow` on the path, in one folder, and small models in place of the bundled ones."""
    if any(shutil.which(tool) is None for tool in ("bash", "jq")):
        pytest.skip("needs bash and jq")
    (pipelines,) = [block for block in blocks("sh") if "jq" in block]
    (plain,) = [block for block in blocks("sh") if "--mask hole.png" in block]
    face = example_path("face").read_bytes()
    (tmp_path / "photos").mkdir()
    for path in ("photos/a.png", "photos/b b.png"):
        (tmp_path / path).write_bytes(face)
    for name, example in (("photo.png", "face_64"), ("hole.png", "hole")):
        (tmp_path / name).write_bytes(example_path(example).read_bytes())
    program = tmp_path / "bin" / "caflow"
    program.parent.mkdir()
    env = {"PATH": f"{program.parent}:{os.environ['PATH']}"}
    for command, task in (("SUPERRES", "superres"), ("SCORE", "superres"), ("INPAINT", "inpaint")):
        env[f"CAFLOW_{command}_MODEL"] = str(model_files[task])
    with forked.shell_command(ENTRY) as command:
        program.write_text(f'#!/bin/sh\nexec {command} "$@"\n')
        program.chmod(0o755)
        script = ["bash", "-euo", "pipefail", "-c", plain + pipelines]
        done = subprocess.run(
            script, cwd=tmp_path, capture_output=True, text=True, env={**os.environ, **env}
        )
    assert done.returncode == 0, done.stderr
    assert done.stderr == "wrote all.png\nwrote map.png\n"
    assert Image.open(tmp_path / "big.png").size == (256, 256)
    names = ["best/a_superres.png", "best/b b_superres.png"]
    lines = [line.split("\t") for line in done.stdout.splitlines() if "\t" in line]
    assert [name for _, name in lines] == names + names
    bits = [float(value) for value, _ in lines]
    assert bits[:2] == pytest.approx(bits[2:], abs=1e-5)  # the scores that ranked


def test_the_python_example_runs(tmp_path, monkeypatch, capsys):
    code = next(block for block in blocks("python") if "restore(" in block)
    monkeypatch.chdir(tmp_path)
    Path("face.png").write_bytes(example_path("face").read_bytes())
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2", "3"]
    assert all(line.endswith("(64, 64, 3)") for line in lines)


def test_the_first_screen_says_shows_and_runs():
    """One sentence, one command, and an image of what comes out, before anything else."""
    title, sentence, command, image = README.split("\n\n")[:4]
    assert title == "# caflow"
    assert re.fullmatch(r"\*\*[^.]+\.\*\*", sentence)
    assert command.startswith("```sh\n")
    assert command.count("\n") == 2
    assert image.startswith('<img src="docs/pictures/superres.webp"')
    assert len(README.split()) <= 700


def test_it_shows_every_bundled_model_with_a_figure():
    for name in (entry.id for entry in load_manifest().values() if entry.file is not None):
        (row,) = (line for line in README.splitlines() if line.startswith(f"| [`{name}`]("))
        assert re.search(r"\| 0\.\d+; [a-z ]+ 0\.\d+ \|$", row)  # its LPIPS, the baseline's

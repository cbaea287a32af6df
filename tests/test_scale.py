"""The programs of docs/scale.md run as they stand there, on small images: `pytest -m scale`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import noise

from caflow_cli.images import read_provenance, write_png

PAGE = (Path(__file__).parents[1] / "docs" / "scale.md").read_text(encoding="utf-8")
pytestmark = pytest.mark.scale


@pytest.fixture
def start(tmp_path, model_file):
    """Run a program of the page in a folder with `photos/`, and a small model in its place."""
    (tmp_path / "photos").mkdir()
    for k in range(5):
        write_png(tmp_path / "photos" / f"{k}.png", noise(8, 9, k))
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def run(language: str, *command: str, **variables: str) -> int:
        blocks = re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
        (code,) = (block for block in blocks if block.startswith(("#!", '"""')))
        file = tmp_path / "program"
        file.write_text(code.replace("photos-superres-x4", str(model_file)))
        model = {"CAFLOW_SUPERRES_MODEL": str(model_file), "HOME": str(tmp_path)}
        env = {**os.environ, "PATH": path, "RAY_AUTH_MODE": "disabled", **model, **variables}
        return subprocess.run([command[0], file, *command[1:]], cwd=tmp_path, env=env).returncode

    return run


def test_workers_of_ray_restore_a_folder_and_go_on_where_they_stopped(start, tmp_path):
    pytest.importorskip("ray")
    command = sys.executable, "photos", "out", "2"

    def outputs() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "out").glob("*.png")}

    assert start("python", *command) == 0
    whole, log = outputs(), tmp_path / "out" / "scores.jsonl"
    assert sorted(whole) == [f"{k}.png.png" for k in range(5)]
    first = [json.loads(line) for line in log.read_text().splitlines()]
    assert sorted(Path(line["input"]).stem for line in first) == [*"01234", "broken"]
    for line in first:
        if "error" not in line:
            record = read_provenance(tmp_path / line["output"])
            assert record["rank_score"] == line["rank_score"]
    (tmp_path / "out" / "3.png.png").unlink()
    assert start("python", *command) == 0
    assert outputs() == whole
    again = [json.loads(line) for line in log.read_text().splitlines()[6:]]
    assert sorted(Path(line["input"]).stem for line in again) == ["3", "broken"]
    (tmp_path / "photos" / "broken.png").unlink()
    assert start("python", *command) == 0  # with nothing to do
    assert len(log.read_text().splitlines()) == 8


def test_tasks_of_an_array_share_the_inputs_and_go_on(start, tmp_path):
    task = {"SLURM_ARRAY_TASK_COUNT": "2"}
    for _ in range(2):
        codes = [start("sh", "sh", SLURM_ARRAY_TASK_ID=k, **task) for k in "12"]
        assert codes == [0, 1]  # the second one has the broken image
    for k, names in (("1", "024"), ("2", [*"13", "broken"])):
        lines = [json.loads(line) for line in (tmp_path / f"lines-{k}.jsonl").open()]
        assert [Path(line["input"]).stem for line in lines] == [*names, *names]
        assert [line["status"] for line in lines[3:]].count("skipped") == len(
            set(names) & {*"01234"}
        )

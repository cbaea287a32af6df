"""The script of docs/inference.md for Slurm runs as it stands there: `pytest -m scale`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import noise

from caflow_cli.images import write_png

PAGE = (Path(__file__).parents[1] / "docs" / "inference.md").read_text(encoding="utf-8")


@pytest.mark.scale
def test_tasks_of_an_array_share_the_inputs_and_go_on(tmp_path, model_file):
    """In a folder with `photos/`, and with a small model in place of the default."""
    (tmp_path / "photos").mkdir()
    for k in range(5):
        write_png(tmp_path / "photos" / f"{k}.png", noise(8, 9, k))
    (tmp_path / "photos" / "broken.png").write_bytes(b"no image")
    blocks = re.findall(r"```sh\n(.*?)```", PAGE, flags=re.DOTALL)
    (script,) = (block for block in blocks if block.startswith("#!"))
    file = tmp_path / "script"
    file.write_text(script)
    env = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "CAFLOW_SUPERRES_MODEL": str(model_file),
        "SLURM_ARRAY_TASK_COUNT": "2",
    }

    def start(task: str) -> int:
        task_env = {**env, "SLURM_ARRAY_TASK_ID": task}
        return subprocess.run(["sh", file], cwd=tmp_path, env=task_env).returncode

    for _ in range(2):
        assert start("1") == 0
        assert start("2") == 1  # it has the broken image
    for k, names in (("1", "024"), ("2", [*"13", "broken"])):
        lines = [json.loads(line) for line in (tmp_path / f"lines-{k}.jsonl").open()]
        assert [Path(line["input"]).stem for line in lines] == [*names, *names]
        again = [line["status"] for line in lines[3:]]
        assert again.count("skipped") == len(set(names) & {*"01234"})

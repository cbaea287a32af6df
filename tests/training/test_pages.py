"""README and docs/training.md against the code of training."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from helpers import small_config, smooth_image

import caflow_cli
from caflow_cli.config import TaskConfig
from caflow_cli.images import write_png
from caflow_cli.training import SamplesConfig

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "training.md").read_text(encoding="utf-8")


def test_four_lines_train_on_a_folder(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    code = next(block for block in blocks if "train(" in block)
    assert len([line for line in code.splitlines() if line]) == 4
    assert code in PAGE
    (tmp_path / "photos").mkdir()
    for index in range(8):
        image = smooth_image(1, 3, 16, index)[0].permute(1, 2, 0).contiguous().numpy()
        write_png(tmp_path / "photos" / f"{index}.png", image)
    monkeypatch.chdir(tmp_path)
    # Not for two hours.
    optim, run = caflow_cli.OptimConfig, caflow_cli.RunConfig
    monkeypatch.setattr(caflow_cli, "OptimConfig", lambda minutes: optim(batch_size=4, images=8))
    small = {"flow": small_config(scales=2).flow, "task": TaskConfig(size=16)}
    monkeypatch.setattr(caflow_cli, "RunConfig", lambda **fields: run(**fields, **small))
    exec(compile(code, "README.md", "exec"), {})
    assert 0 < float(capsys.readouterr().out) < 9
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_the_training_page_names_every_field():
    own = {field.name for field in fields(caflow_cli.RunConfig)} - {
        "optim",
        "samples",
        "flow",
        "task",
    }
    optim = {f"optim.{field.name}" for field in fields(caflow_cli.OptimConfig)}
    samples = {f"samples.{field.name}" for field in fields(SamplesConfig)}
    assert {name for name in own | optim | samples if f"`{name}`" not in PAGE} == set()
    for event in ("data", "step", "validation", "rollback", "note", "end"):
        assert f"| `{event}`" in PAGE

"""The Python example of docs/training.md."""

import re
from pathlib import Path

from helpers import small_config, smooth_image

from caflow_cli.config import TaskConfig
from caflow_cli.images import write_png

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "training.md").read_text(encoding="utf-8")


def test_four_lines_train_on_a_folder(tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
    code = next(block for block in blocks if "train(" in block)
    for index in range(8):
        (tmp_path / "photos").mkdir(exist_ok=True)
        image = smooth_image(1, 3, 16, index)[0].permute(1, 2, 0).contiguous().numpy()
        write_png(tmp_path / "photos" / f"{index}.png", image)
    monkeypatch.chdir(tmp_path)
    # Not for two hours, and a small model.
    code = code.replace("minutes=120", "images=8, batch_size=4")
    code = code.replace("optim=optim", "optim=optim, flow=flow, task=task")
    names = {"flow": small_config(scales=2).flow, "task": TaskConfig(size=16)}
    exec(compile(code, "training.md", "exec"), names)
    assert 0 < float(capsys.readouterr().out) < 9
    assert (tmp_path / "run" / "best.safetensors").exists()

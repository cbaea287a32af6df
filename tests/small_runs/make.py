#!/usr/bin/env python3
"""Make the runs of this folder, one a task, and what `test_small_runs.py` expects of them.

    python tests/small_runs/make.py

They have the present format of config, events, model files and states, so make them again when that
changes. They learned from drawn images, `images.zip` and `pairs.zip`, for a second each.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

import numpy as np
from PIL import Image

import caflow_cli as caflow

HERE = Path(__file__).parent
SEED, TAU, M = 4, 0.7, 3
FLOW = {"scales": 1, "r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 2, "f_hidden": 2}
OPTIM = {"batch_size": 4, "lr": 0.003, "method": "muon", "warmup": 3, "guide_perceptual": 0.0}
# Between them, the runs have all kinds of phases, couplings, dequantization and rates.
TASKS = {
    "superres": {
        "flow": {"anchor": "enlarged", "guide": 4, "guide_net": "enlarge", "guide_blocks": 2,
                 "scale_bound": 1.0, "spread": 2, "trunk": 0},
        "optim": {"guide_first": 0.4, "guide_first_lr": 0.002},
        "samples": {"share": 0.25, "tau": 0.5, "perceptual": 0.0},
        "task": {"tau": 0.7, "candidates": 4},
    },
    "colorize": {
        "flow": {"anchor": "luminance", "guide": [4, 4], "guide_net": "unet", "scale_bound": 1.0,
                 "spread": 2, "trunk": 2, "cond_channels": 1, "conditional": "shared"},
        "optim": {"guide_first": 0.4, "guide_first_lr": 0.0007},
        "task": {"candidates": 4},
    },
    "inpaint": {
        "flow": {"anchor": "fill", "guide": [2, 2], "guide_net": "unet", "scale_bound": 1.0,
                 "spread": 2, "trunk": 0, "cond_channels": 4, "dequantization": "variational"},
        "optim": {"guide_first": 0.4, "guide_first_lr": 0.0007, "accumulate": 2, "method": "adam"},
        "task": {"candidates": 4, "rim": 4, "window": 32},
    },
    "paired": {
        "flow": {"anchor": "none", "guide": 0, "guide_net": "none", "spread": 0,
                 "scale_bound": 2.0, "trunk": 0, "cond_channels": 1},
        "optim": {"schedule": "stable"},
        "task": {"candidates": 5},
    },
}  # fmt: skip


def caflow_train(folder: Path, *words: str) -> None:
    command = [sys.executable, "-m", "caflow_cli", "train", *words, "-q", "--device", "cpu"]
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)


def train(folder: Path, task: str) -> None:
    """Train the run of a task for 40 images, in the folder of its data."""
    tables = {"flow": FLOW, "optim": OPTIM, "task": {"size": 16}}
    for name, values in TASKS[task].items():
        tables[name] = tables.get(name, {}) | values
    data = "pairs.zip" if task == "paired" else "images.zip"
    words = ["--task", task, "--data", data, "--out", task, "--images", "40"]
    for setting in ("validate_every=5", "save_every=5"):
        words += ["--set", setting]
    for name, values in tables.items():
        for key, value in values.items():
            words += ["--set", f"{name}.{key}={json.dumps(value)}"]
    caflow_train(folder, *words)


def pack(folder: Path, task: str) -> None:
    """Pack a run without what is drawn, and with its last state only; equal runs, equal bytes."""

    def kept(info: tarfile.TarInfo) -> tarfile.TarInfo | None:
        path = Path(info.name)
        if path.suffix == ".png" or path.name in ("samples", ".lock", "last.safetensors"):
            return None
        if "step-00000005" in path.parts:
            return None
        info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
        return info

    with tarfile.open(HERE / f"{task}.tar.xz", "w:xz", preset=9) as archive:
        archive.add(folder / task, task, filter=kept)


def expected(folder: Path, task: str) -> dict[str, object]:
    """The score of the first test image, three candidates, and the losses of the resumed run."""
    condition, target, mask = example(folder, task)
    model = caflow.load(folder / task)
    drawn = caflow.restore(model, condition, TAU, M, keep=M, seed=SEED, mask=mask).ranked
    values = {
        "score": caflow.score(model, condition, target, mask).rank_score,
        "seeds": [candidate.seed for candidate in drawn],
        "candidates": [candidate.score.rank_score for candidate in drawn],
        "means": [candidate.image.mean((0, 1)).tolist() for candidate in drawn],
    }
    caflow_train(folder, "--out", task, "--resume", "--images", "60")
    end = json.loads((folder / task / "metrics.jsonl").read_text().splitlines()[-1])
    values["resumed"] = [end["train_bits_per_dim"], end["val_bits_per_dim"]]
    return values


def example(folder: Path, task: str) -> tuple[np.ndarray, Path, np.ndarray | None]:
    """Condition, target and mask of the first test image, as `score` takes them."""
    target = folder / "images" / "test" / "00.png"
    if task == "paired":
        target = folder / "pairs" / "test" / "B" / "00.png"
        return np.asarray(Image.open(folder / "pairs" / "test" / "A" / "00.png")), target, None
    image = Image.open(target)
    if task == "superres":
        image = image.resize((4, 4), Image.Resampling.BICUBIC)
    mask = np.zeros((16, 16), np.uint8)
    mask[5:10, 6:12] = 255
    return np.asarray(image), target, mask if task == "inpaint" else None


def extract(folder: Path) -> None:
    """The sets, as files and in folders."""
    for name in ("images", "pairs"):
        (folder / f"{name}.zip").write_bytes((HERE / f"{name}.zip").read_bytes())
        with zipfile.ZipFile(folder / f"{name}.zip") as archive:
            archive.extractall(folder / name)


def main() -> None:
    found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        extract(folder)
        for task in TASKS:
            train(folder, task)
            pack(folder, task)
            found[task] = expected(folder, task)
    text = json.dumps(found, indent=1) + "\n"
    (HERE / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()

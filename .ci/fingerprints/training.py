"""Training, and runs that an earlier commit trained."""

from __future__ import annotations

import re
import shutil
import tarfile
import zipfile
from pathlib import Path
from typing import Any

from .describing import described
from .drawing import drawn, hole
from .restoring import RUNS
from .running import Part

TASKS = ("superres", "colorize", "inpaint", "paired")


def _small_runs(p: Part) -> None:
    """Small runs, one a task, and the drawn images that they learned from."""
    for name in TASKS:
        with tarfile.open(RUNS / f"{name}.tar.xz") as archive:
            archive.extractall(p.folder)
    for name in ("images", "pairs"):
        shutil.copy(RUNS / f"{name}.zip", p.folder)
        with zipfile.ZipFile(RUNS / f"{name}.zip") as archive:
            archive.extractall(p.folder / name)


def runs(p: Part) -> None:
    """Small runs load, score, sample and go on as before, and bundled files state the same."""
    _small_runs(p)
    p.save("mask.png", hole(16, 16, (5, 5, 10, 10)))
    truth, small = "images/test/01.png", p.save("small.png", drawn(14, 4, 4)).name
    cond = {
        "superres": small,
        "colorize": truth,
        "inpaint": f"{truth} --mask mask.png",
        "paired": "pairs/test/A/01.png",
    }
    for task in TASKS:
        p.caflow(f"info {task}", f"models info {task} --json")
        words = f"--cond {cond[task]} --model {task}"
        rank = "--rank likelihood"
        p.caflow(f"sample {task}", f"sample {words} {rank} -m 3 -n 3 -o {task}_out/ --json")
        p.caflow(f"score {task}", f"score {words} --target {truth} --json")
        data = "pairs.zip" if task == "paired" else "images.zip"
        metrics = "--metric rmse,bpd -m 2 --rank likelihood"
        p.caflow(f"evaluate {task}", f"evaluate --data {data} --model {task} {metrics} --json")
        p.caflow(f"resume {task}", f"train --out {task} --resume --images 60 -q")
    weights = RUNS.parents[1] / "caflow_cli" / "assets" / "weights"
    for path in sorted(weights.glob("*.safetensors")):
        p.caflow(f"bundled {path.stem}", f"models info {path.stem} --json")


def _configs(p: Part, images: int, **values: Any) -> None:
    """A config for each task, from the small run's, for so many images."""
    for task in TASKS:
        text = (p.folder / task / "config.toml").read_text()
        text = re.sub(r"(?m)^images = .*", f"images = {images}", text)
        for key, value in values.items():
            text = re.sub(rf"(?m)^{key} = .*", f"{key} = {value}", text)
        (p.folder / f"{task}.toml").write_text(text)


def train(p: Part) -> None:
    """Forty steps of each task, and an interrupted run that ends with the same bits."""
    _small_runs(p)
    _configs(p, 160, validate_every=20, save_every=10)
    for task in TASKS:
        p.caflow(task, f"train --config {task}.toml --out new_{task} -q")
    p.caflow("states", "train --config superres.toml --out straight -q --json")
    p.caflow(
        "interrupted",
        "train --config superres.toml --out halves -q",
        interrupt=Path("halves/state/step-*10"),
    )
    p.cases["interrupted"] = {"exit": p.cases["interrupted"]["exit"]}  # it stops at any step
    p.caflow("resumed", "train --out halves --resume -q")
    ends = [described((p.folder / f"{run}/state/step-00000040/{name}").read_bytes(), Path(name))
            for name in ("model.safetensors", "ema.safetensors", "optimizer.safetensors")
            for run in ("straight", "halves")]  # fmt: skip
    p.cases["resumed"] = {
        "exit": p.cases["resumed"]["exit"],
        "as uninterrupted": ends[::2] == ends[1::2],
    }
    p.caflow("init", "train --config superres.toml --out init --init-from superres -q")
    for k in range(12):
        p.save(f"drawn/{'val' if k > 8 else 'train'}/{k:02d}.png", drawn(70 + k, 60, 48))
    words = "train --config superres.toml --data drawn --set task.size=32"
    looks = "--set optim.guide_perceptual=2 --set samples.perceptual=1 --images 24"
    p.caflow("perceptual", f"{words} --out looks {looks} -q")
    crops = "--crop random --set task.degrade=photo --images 40"
    p.caflow("crops", f"{words} --out crops {crops} -q")


def ranks(p: Part) -> None:
    """Training by two processes."""
    _small_runs(p)
    _configs(p, 80, validate_every=10, save_every=10, accumulate=1)
    for task in TASKS:
        p.together(task, f"train --config {task}.toml --out two_{task} -q", 2)

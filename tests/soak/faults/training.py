"""Runs of the smallest model, and whether two of them came to the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from safetensors.numpy import load_file

__all__ = ["commands", "differences", "make_pictures"]

STEPS, EVERY, BATCH = 60, 10, 4
_CLOCK = {"elapsed_s", "images_per_second"}
_FLOW = {
    "scales": 1,
    "r_steps": 1,
    "t_steps": 1,
    "f_steps": 1,
    "hidden": 4,
    "f_hidden": 4,
    "trunk": 4,
}


def make_pictures(folder: Path, count: int, side: int, seed: int = 0) -> None:
    """Smooth pictures `000.png`, ..."""
    folder.mkdir(parents=True)
    generator = np.random.default_rng(seed)
    for index in range(count):
        corners = generator.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
        picture = Image.fromarray(corners).resize((side, side), Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:03d}.png")


def commands(
    data: Path, out: Path, steps: int = STEPS, every: int = EVERY, **fields: Any
) -> tuple[list[object], list[object]]:
    """`caflow train ...` that starts a run of so many steps, and the one that goes on with it."""
    values = {
        "validate_every": every,
        "save_every": every,
        "grid_every": 2,
        "data_memory_gb": 1e-9,  # decoded pictures go to a file
        "task.size": 8,
        "task.factor": 2,
        "optim.warmup": 5,
        "optim.bf16": "false",
        **{f"flow.{name}": value for name, value in _FLOW.items()},
        **fields,
    }
    settings = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    budget = ["--images", steps * BATCH, "--batch-size", BATCH]
    start = ["train", "--data", data, "--out", out, "--device", "cpu", "-q", *budget, *settings]
    return start, ["train", "--out", out, "--resume", "-q"]


def differences(run: Path, reference: Path) -> list[str]:
    """In what a finished run differs from one that was never disturbed, bit for bit."""
    found = []
    for path in sorted(reference.rglob("*.safetensors")):
        name = path.relative_to(reference)
        # Of the older states which ones are left depends on where the run was stopped.
        if name.parts[0] == "state" and name.parts[1] != _states(reference)[-1]:
            continue
        if not (run / name).exists():
            found.append(f"{name} is missing")
            continue
        ours, theirs = load_file(run / name), load_file(path)
        if ours.keys() != theirs.keys() or any(
            not np.array_equal(ours[key], theirs[key]) for key in theirs
        ):
            found.append(f"{name} has other weights")
    if _states(run)[-1:] != _states(reference)[-1:]:
        found.append(f"states {_states(run)}, not {_states(reference)}")
    for path in sorted(reference.glob("samples/*.png")):
        ours_path = run / "samples" / path.name
        if not ours_path.exists() or ours_path.read_bytes() != path.read_bytes():
            found.append(f"samples/{path.name} is another")
    if _figures(run) != _figures(reference):
        found.append("metrics.jsonl has other figures")
    if (run / "cache").exists():
        found.append("cache/ is still there")
    return found


def _states(run: Path) -> list[str]:
    return sorted(path.name for path in (run / "state").glob("step-*"))


def _figures(run: Path) -> list[dict[str, Any]]:
    """Of steps and validations, without what depends on the clock.

    A run that is resumed behind its last step measures that one again, and must find the same.
    """
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    figures: list[dict[str, Any]] = []
    for event in map(json.loads, lines):
        if event["event"] in ("step", "validation"):
            kept = {name: event[name] for name in event if name not in _CLOCK}
            if kept not in figures:
                figures.append(kept)
    return figures

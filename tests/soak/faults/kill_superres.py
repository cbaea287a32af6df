"""kill -9 at random moments of `caflow superres` on a folder."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import torch

from caflow_cli.config import Config, FlowConfig, TaskConfig

from ... import helpers
from .processes import Forked, Program, duration
from .report import Report, main
from .training import make_pictures
from .whole import leftovers, problems_in

PICTURES = 20
_FLOW = {"scales": 1, "r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 4, "f_hidden": 4}


def make_model(path: Path) -> None:
    """A superres model that takes next to no time."""
    torch.set_num_threads(1)
    config = Config(FlowConfig(**_FLOW), TaskConfig("superres", factor=2, size=8))
    helpers.data_like_model(config, seed=1, size=8).save(path)


def command(folder: Path, out: Path) -> list[object]:
    model = folder / "model.safetensors"
    fixed = ["--model", model, "--device", "cpu", "-m", 2, "-n", 2, "--skip-existing"]
    return ["superres", folder / "in", "-o", f"{out}/", *fixed]


def soak(report: Report, count: int, seed: int, folder: Path, forked: bool = False) -> None:
    """Kill `count` times, each after a time that is uniform over that of an undisturbed command.

    Afterwards every picture must be that of the undisturbed command, byte for byte, or absent; and
    the same command, run again, must make the others.
    """
    random_ = random.Random(seed)
    program = Forked if forked else Program
    make_model(folder / "model.safetensors")
    make_pictures(folder / "in", PICTURES, 24)
    undisturbed = []
    for name in ("reference", "again"):
        undisturbed.append(program(command(folder, folder / name), folder).end())
        report.check(name, undisturbed[-1].problems(0))
    wanted = content(folder / "reference")
    if len(wanted) != 2 * PICTURES or wanted != content(folder / "again"):
        report.check("undisturbed", [f"{len(wanted)} pictures, or not the same twice"])
    limit = duration(undisturbed)
    report.counts["seconds undisturbed, x10"] = round(10 * limit)
    out = folder / "out"
    for kill in range(count):
        shutil.rmtree(out, ignore_errors=True)
        after = random_.uniform(0, limit)
        where = f"kill {kill} after {after:.2f} s"
        ended = program(command(folder, out), folder).end(after)
        found = content(out)
        if ended.killed:
            report.counts["kills"] += 1
            many = "none" if not found else "all" if len(found) == len(wanted) else "some"
            report.counts[f"  with {many} of the pictures written"] += 1
            report.counts["left hidden files"] += bool(leftovers(out))
        else:
            report.counts["kills that came after the end"] += 1
            limit = ended.seconds  # other work on the machine may have ended
            report.check(where, ended.problems(0))
        report.check(where, problems_in(out) if out.exists() else [])
        report.check(where, [f"{n} is another" for n in found if found[n] != wanted.get(n)])
        ended = program(command(folder, out), folder).end()
        report.check(f"{where}, run again", ended.problems(0))
        # A command that finds all pictures there writes nothing, and so cleans nothing.
        left = leftovers(out) if len(found) < len(wanted) else []
        if content(out) != wanted:
            left.append("not the pictures of the undisturbed command")
        report.check(f"{where}, run again", left)


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.glob("[!.]*")}


if __name__ == "__main__":
    main("kill_superres", 100, soak, forks=True)

"""`kill -9` just before each change to a file.

Random kills rarely fall between two particular system calls; here every such gap is hit. The files
that are left must be intact, and the same command, run again, must end like an undisturbed run.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from pathlib import Path

import helpers
import numpy as np
import pytest
from forked import run
from PIL import Image
from safetensors.torch import load_file

from caflow_cli.config import Config, FlowConfig, TaskConfig

from .counts import SOAK, count

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="signals of Linux")

MAIN = "import sys; sys.argv[0] = 'caflow'; from caflow_cli.cli import main; main()"
# Kills itself before change number argv[1], and writes each change into the file argv[2].
KILLED = """
import os, signal, sys
at, log = int(sys.argv.pop(1)), open(sys.argv.pop(1), "w", buffering=1)
folder, seen = os.path.realpath("."), 0
changes = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate"}
def watch(event, args):
    global seen
    opened = event == "open" and isinstance(args[2], int)
    opened = opened and args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
    if not (opened or event in changes) or isinstance(args[0], int):
        return
    name = os.fsdecode(args[0])
    if name.startswith("/") and not name.startswith(folder):
        return
    seen += 1
    print(event, os.path.basename(name), file=log)
    if seen == at:
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(watch)
"""
TINY = {"scales": 1, "r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 4, "f_hidden": 4}
CLOCK = ("elapsed_s", "images_per_second")


@pytest.fixture(scope="module")
def given(tmp_path_factory) -> Path:
    """Images to restore and to learn from, and a model that takes next to no time."""
    folder = tmp_path_factory.mktemp("given")
    rng = np.random.default_rng(0)
    for name, number in (("in", 3), ("data/train", 8), ("data/val", 2)):
        (folder / name).mkdir(parents=True)
        for k in range(number):
            corners = Image.fromarray(rng.integers(0, 256, (2, 2, 3), dtype=np.uint8))
            corners.resize((8, 8), Image.Resampling.BICUBIC).save(folder / name / f"{k}.png")
    config = Config(FlowConfig(**TINY), TaskConfig("superres", factor=2, size=8))
    helpers.data_like_model(config, 1, 8).save(folder / "model.safetensors")
    return folder


def superres(given: Path, *options: str) -> list[str]:
    model = ["--model", str(given / "model.safetensors"), "--device", "cpu", "-m", "2", "-n", "2"]
    return ["superres", str(given / "in"), "-o", "out/", *model, "--skip-existing", *options]


def train(given: Path, *options: str) -> list[str]:
    values = {**{f"flow.{k}": v for k, v in TINY.items()}, "flow.trunk": 4, "task.size": 8}
    values |= {"task.factor": 2, "save_every": 2, "validate_every": 2, "optim.bf16": "false"}
    sets = [word for key, value in values.items() for word in ("--set", f"{key}={value}")]
    budget = ["--images", "16", "--batch-size", "4", "--device", "cpu", "-q"]
    return ["train", "--data", str(given / "data"), "--out", "out", *budget, *sets, *options]


def pack(given: Path, *options: str) -> list[str]:
    model = str(given / "model.safetensors")
    return ["models", "pack", model, "--id", "small", "-o", "out", "-q", "--overwrite"]


COMMANDS = {"superres": superres, "train": train, "pack": pack}


def again(name: str, given: Path, work: Path) -> list[str]:
    """The command that goes on with what a killed one has left."""
    if name == "train" and (work / "out" / "config.toml").exists():
        return ["train", "--out", "out", "--resume", "-q"]
    return COMMANDS[name](given)


def content(out: Path) -> dict[str, object]:
    """What must be the same after any kill: values of tensors, figures, and bytes of the rest."""
    found: dict[str, object] = {}
    last = max(out.glob("state/step-*"), default=None)
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        older = "state" in path.parts and last not in path.parents  # which stay depends on the kill
        skipped = path.name.startswith(".") or path.name in ("curve.png", "state.json")
        if not path.is_file() or older or skipped:
            continue
        if path.suffix == ".safetensors":
            found[name] = {k: repr(v.double().tolist()) for k, v in load_file(path).items()}
        elif path.suffix == ".jsonl":
            lines = [json.loads(line) for line in path.read_text().splitlines()]
            steps = [line for line in lines if line["event"] in ("step", "validation")]
            found[name] = {json.dumps({k: s[k] for k in s if k not in CLOCK}) for s in steps}
        else:
            found[name] = path.read_bytes()
    return found


def hidden(out: Path) -> list[str]:
    return [p.name for p in out.rglob(".*") if p.name != ".lock"]


def whole(out: Path) -> None:
    """Every file that is not hidden can be read to its end."""
    for path in out.rglob("*"):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(out).parts):
            continue
        if path.suffix == ".safetensors":
            load_file(path)
        elif path.suffix == ".png":
            Image.open(path).load()
        elif path.suffix == ".json":
            json.loads(path.read_text())


@pytest.mark.parametrize(
    "name",
    [
        "superres",
        pytest.param("train", marks=pytest.mark.skipif(SOAK not in os.environ, reason="slow")),
        "pack",
    ],
)
def test_a_killed_command_leaves_whole_files_and_can_be_run_again(name, given, tmp_path):
    reference, work, log = tmp_path / "reference", tmp_path / "work", tmp_path / "log"
    reference.mkdir()
    done = run(KILLED + MAIN, 0, log, *COMMANDS[name](given), cwd=reference)
    assert done.returncode == 0, done.stderr
    changes, wanted = log.read_text().splitlines(), content(reference / "out")
    assert len(changes) > 3
    tried = min(len(changes), count(1, len(changes)))
    for number in (1 + (2 * k + 1) * len(changes) // (2 * tried) for k in range(tried)):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        where = f"before {number}, {changes[number - 1]}"
        done = run(KILLED + MAIN, number, log, *COMMANDS[name](given), cwd=work)
        assert done.returncode == -signal.SIGKILL, where
        whole(work / "out")
        done = run(MAIN, *again(name, given, work), cwd=work)
        assert done.returncode == 0, (where, done.stderr)
        assert content(work / "out") == wanted, where
        # A command that finds all images there writes nothing, and so cleans nothing.
        assert name == "superres" or hidden(work / "out") == [], where

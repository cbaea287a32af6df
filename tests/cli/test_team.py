"""Several processes that do one command: started by `-j`, by a launcher, and killed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import forked
import numpy as np
import pytest
from PIL import Image

from caflow_cli.cli import team

from .process import ENTRY, assert_refused
from .results import records

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="processes share no work there, and have no such signals"
)
# Number 2 is killed as it writes its first picture; others do not wait long for it.
KILLED = """
import os, signal, time
from caflow_cli.cli import plan, team
team._SILENCE, team._BEAT = 2.0, 0.1
each = team.Team.each

def later(self, *given):
    while not self.store.check(["by/0"]):
        time.sleep(0.01)
    yield from each(self, *given)

if os.environ["RANK"] == "2":
    plan.Plan.write = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
else:
    team.Team.each = later
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Eleven pictures of two sizes, one of them damaged."""
    folder = tmp_path_factory.mktemp("many") / "in"
    folder.mkdir()
    values = np.random.default_rng(0).integers(0, 256, (11, 3, 3, 3), np.uint8)
    for number, value in enumerate(values):
        side = 8 + 8 * (number % 2)
        image = Image.fromarray(value).resize((side, side), Image.Resampling.BICUBIC)
        image.save(folder / f"{number:02}.png")
    (folder / "05.png").write_bytes(b"damaged")
    return folder


def command(folder: Path, model: Path, *more: object) -> list[object]:
    """Of blocks of three pictures."""
    shared = ["superres", folder, "-o", "out", "-m", 2, "--batch-size", 6, "--model", model]
    return [*shared, "--json", "--grid", "out/grid.png", *more]


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "out").iterdir()}


def told(lines: bytes) -> list[dict]:
    """JSON lines without their times."""
    found = [json.loads(line) for line in lines.splitlines()]
    return [{k: v for k, v in record.items() if k != "elapsed_s"} for record in found]


@pytest.fixture(scope="module")
def alone(folder, model_file, tmp_path_factory):
    """What one process says and writes."""
    cwd = tmp_path_factory.mktemp("alone")
    done = forked.run(ENTRY, *command(folder, model_file), cwd=cwd)
    assert done.returncode == 1
    assert len(written(cwd)) == 11
    return done, written(cwd)


@pytest.fixture
def helpers(monkeypatch: pytest.MonkeyPatch):
    """`-j` starts forks of a process that has imported PyTorch; the list has their numbers."""
    started = []

    class Helper(forked.Process):
        def wait(self, timeout=120):
            try:
                return super().wait(timeout)
            except TimeoutError as error:
                raise subprocess.TimeoutExpired("", timeout) from error

        def poll(self):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(0.001)
            return self.returncode

        def terminate(self):
            if self.poll() is None:
                self.send_signal(15)

    def start(environment):
        started.append(int(environment["RANK"]))
        env = {**os.environ, **{name: str(value) for name, value in environment.items()}}
        return Helper(ENTRY, *sys.argv[1:], cwd=Path.cwd(), env=env)

    monkeypatch.setattr(team, "_start_helper", start)
    return started


def test_two_processes_say_and_write_what_one_does(
    run, folder, model_file, alone, helpers, tmp_path
):
    done = run(*command(folder, model_file), "-j", 2)
    assert helpers == [1]
    assert (done.returncode, done.stderr) == (1, alone[0].stderr)
    assert told(done.stdout) == told(alone[0].stdout)
    assert written(tmp_path) == alone[1]


def test_the_notes_of_every_input_are_said_whoever_works_on_it(
    run, model_files, helpers, monkeypatch, tmp_path
):
    for name in "abcd":
        Image.new("RGB", (16, 16), (200, 40, 90)).save(tmp_path / f"{name}.png")
    shared = ["colorize", *(f"{name}.png" for name in "abcd"), "-o", "out/", "--overwrite"]
    shared += ["-m", 1, "--batch-size", 1, "--model", model_files["colorize"]]
    one, each = run(*shared), team.Team.each

    def later(self, *given):  # the helper has the first input
        while not self.store.check(["by/0"]):
            time.sleep(0.01)
        yield from each(self, *given)

    monkeypatch.setattr(team.Team, "each", later)
    two = run(*shared, "-j", 2)
    assert helpers == [1]
    assert one.stderr.count(b": its own colours are dropped") == 4
    assert two.stderr == one.stderr


def test_pairs_are_scored_by_two_processes_as_by_one(
    run, folder, model_file, alone, helpers, tmp_path
):
    for name, data in alone[1].items():
        if name != "grid.png":
            for side, file in (("a", name.replace("_superres", "")), ("b", name)):
                (tmp_path / side).mkdir(exist_ok=True)
                (tmp_path / side / file).write_bytes(
                    data if side == "b" else (folder / file).read_bytes()
                )
    shared = ["score", "--cond", "a", "--target", "b", "--model", model_file]
    plain, two, ordered = (run(*shared, *more) for more in ([], ["-j", 2], ["-j", 2, "--sort"]))
    assert plain.returncode == two.returncode == ordered.returncode == 0, two.stderr
    assert two.stdout == plain.stdout
    lines = plain.stdout.splitlines()
    assert ordered.stdout.splitlines() == sorted(lines, key=lambda line: float(line.split()[1]))
    assert helpers == [1, 1]


def launched(cwd: Path, arguments: list[object], world: int, code: str = ""):
    """Run a command in as many processes as a launcher starts, number 0 first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    common = {**os.environ, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        forked.Process(
            code + ENTRY,
            *arguments,
            cwd=cwd,
            env={**common, "RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(world)},
        )
        for rank in range(world)
    ]
    return [(*process.communicate(), process.returncode) for process in processes]


def test_four_ranks_of_a_launcher_say_and_write_what_one_process_does(
    folder, model_file, alone, tmp_path
):
    (out, err, code), *others = launched(tmp_path, command(folder, model_file), 4)
    assert (code, err) == (1, alone[0].stderr)
    assert told(out) == told(alone[0].stdout)
    assert written(tmp_path) == alone[1]
    assert others == [(b"", b"", 0)] * 3


def test_what_a_killed_rank_had_taken_is_done_by_another(folder, model_file, alone, tmp_path):
    (out, err, code), *others = launched(tmp_path, command(folder, model_file), 3, KILLED)
    assert [code for *_, code in others] == [0, -9]
    assert (code, told(out)) == (1, told(alone[0].stdout))
    assert written(tmp_path) == alone[1]
    assert err.count(b"warning: a process has died") == 1


def test_a_rank_with_other_inputs_is_refused(folder, model_file, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(folder, other)
    code = f"import os, sys; sys.argv[2] = [sys.argv[2], {str(other)!r}][int(os.environ['RANK'])]\n"
    zero, one = launched(tmp_path, command(folder, model_file), 2, code)
    assert one[2] == 2
    assert one[1].startswith(b"error: process 1 of 2 has other inputs than process 0\nhint: ")
    assert zero[2] == 1
    assert len(written(tmp_path)) == 11


def test_what_cannot_be_shared_out_is_done_by_one(run, small_picture, model_file, helpers):
    shared = ["superres", small_picture, "-m", 1, "--model", model_file, "--overwrite"]
    assert_refused(run(*shared, "-j", 0), 2, "-j 0")
    assert records(run(*shared, "-o", "out/", "--json", "-j", 4))[0]["status"] == "ok"
    assert helpers == []


def test_on_windows_one_process_does_what_many_are_asked_for(
    run, small_picture, model_file, helpers, monkeypatch, tmp_path
):
    monkeypatch.setattr(team, "_SHARES", False)
    shutil.copy(small_picture, tmp_path / "other.png")
    shared = ["superres", small_picture, "other.png", "-o", "out/", "-m", 1, "--model", model_file]
    result = run(*shared, "--batch-size", 1, "-j", 2)
    assert (result.returncode, len(result.stdout.splitlines())) == (0, 2)
    assert result.stderr.startswith(b"-j 2: on Windows one process does all the work")
    assert helpers == []


def test_an_evaluation_is_shared_by_two_processes(
    run, true_pictures, model_files, helpers, tmp_path
):
    shared = ["evaluate", "--data", true_pictures, "--model", model_files["colorize"], "--json"]
    shared += ["--metric", "rmse", "-m", 2, "--batch-size", 4]
    one, two = (
        run(*shared, "-j", jobs, "--save-images", f"of{jobs}", "--report", f"of{jobs}")
        for jobs in (1, 2)
    )
    assert one.returncode == two.returncode == 0, two.stderr
    assert told(one.stdout) == told(two.stdout)
    assert helpers == [1]
    found = [
        {p.relative_to(folder): p.read_bytes() for p in sorted(folder.rglob("*.*"))}
        for folder in (tmp_path / "of1", tmp_path / "of2")
    ]
    assert len(found[0]) > 20
    assert found[0] == found[1]
    # It goes on where it stopped, and only number 0 knows where that was.
    lines = (tmp_path / "of2" / "evaluate.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "of2" / "evaluate.jsonl").write_text("".join([lines[0], *lines[3:]]))
    again = run(*shared, "-j", 2, "--save-images", "of2", "--skip-existing")
    assert told(again.stdout) == told(one.stdout)
    refused = run(*shared, "-j", 2, "--metric", "fid")
    assert_refused(refused, 2, "takes the files of all candidates")
    refused = run(*shared[:3], "--task", "colorize", "--search-tau", "-j", 2)
    assert_refused(refused, 2, "not shared among processes")

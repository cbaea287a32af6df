"""The program where something is missing: space, rights, streams, a home, memory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .kill_superres import make_model
from .processes import Ended, environment, run
from .report import Report, main
from .training import commands, differences, make_pictures
from .whole import leftovers, problems_in

if sys.platform != "win32":
    import resource

MEBIBYTE = 2**20


class Conditions:
    """A folder with pictures, a model and data, and what the program does to it."""

    def __init__(self, report: Report, folder: Path) -> None:
        self.report, self.folder = report, folder
        make_model(folder / "model.safetensors")
        make_pictures(folder / "in", 6, 64)
        make_pictures(folder / "data" / "train", 10, 8)
        make_pictures(folder / "data" / "val", 2, 8, seed=1)
        self._inputs = self._read("in") | self._read("data")

    def _read(self, name: str) -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in (self.folder / name).rglob("*") if p.is_file()}

    def superres(self, out: str, *options: object, inputs: str = "in") -> list[object]:
        model = ["--model", self.folder / "model.safetensors", "--device", "cpu", "-m", 2]
        return ["superres", self.folder / inputs, "-o", f"{self.folder}/{out}", *model, *options]

    def check(self, what: str, ended: Ended, *codes: int, says: str = "", out: str = "") -> None:
        """The end was to be one of these codes, with these words, and its output is whole."""
        report, folder = self.report, self.folder
        report.counts[f"{what}: exit code {ended.code}"] += 1
        report.check(what, ended.problems(*codes))
        if says not in ended.stderr:
            report.check(what, [f"not {says!r} but {ended.stderr[-300:]!r}"])
        if out and (folder / out).is_dir():
            report.check(what, problems_in(folder / out) + leftovers(folder / out))
        if self._read("in") | self._read("data") != self._inputs:
            report.check(what, ["an input was changed"])


@contextmanager
def _mounted(*options: str, at: Path) -> Iterator[None]:
    at.mkdir(exist_ok=True)
    subprocess.run(["mount", *options, str(at)], check=True, capture_output=True)
    try:
        yield
    finally:
        subprocess.run(["umount", str(at)], check=True, capture_output=True)


def _can_mount(folder: Path) -> bool:
    try:
        with _mounted("-t", "tmpfs", "tmpfs", at=folder / "probe"):
            return True
    except (OSError, subprocess.CalledProcessError):
        return False


def full_disk(at: Conditions) -> None:
    """A small file system fills up; with more space the same command goes on."""
    folder = at.folder
    if not _can_mount(folder):
        at.report.skipped.append("full disk: no file system can be mounted")
        return
    out = folder / "full"
    run(at.superres("roomy/", "--skip-existing"), folder)
    with _mounted("-t", "tmpfs", "-o", "size=64k", "tmpfs", at=out):
        ended = run(at.superres("full/", "--skip-existing"), folder)
        at.check("full disk, superres", ended, 1, says="No space left on device", out="full")
        _grow(out)
        ended = run(at.superres("full/", "--skip-existing"), folder)
        at.check("full disk, superres, with space again", ended, 0, out="full")
        same = {p.name: p.read_bytes() for p in (folder / "roomy").iterdir()}
        if same != {p.name: p.read_bytes() for p in out.iterdir()}:
            at.report.check("full disk, superres", ["other pictures"])
    start, _ = commands(folder / "data", folder / "reference")
    run(start, folder)
    start, resume = commands(folder / "data", out / "run")
    for size in ("24k", "64k", "160k"):
        what = f"full disk of {size}, train"
        with _mounted("-t", "tmpfs", "-o", f"size={size}", "tmpfs", at=out):
            ended = run(start, folder)
            at.check(what, ended, 1, 2, says="No space left on device", out="full/run")
            _grow(out)
            began = (out / "run" / "config.toml").exists()
            ended = run(resume if began else start, folder)
            at.check(f"{what}, with space again", ended, 0, out="full/run")
            if ended.code == 0:
                at.report.check(what, differences(out / "run", folder / "reference"))


def _grow(out: Path) -> None:
    options = ["-o", "remount,size=64m"]
    subprocess.run(["mount", *options, str(out)], check=True, capture_output=True)


def file_limit(at: Conditions) -> None:
    """No file may grow beyond a limit, as on a disk with a quota."""
    limited = _limit(resource.RLIMIT_FSIZE, 4096)
    ended = run(at.superres("limited/"), at.folder, before=limited)
    at.check("file limit, superres", ended, 1, says="File too large", out="limited")
    start, resume = commands(at.folder / "data", at.folder / "run-limited")
    ended = run(start, at.folder, before=limited)
    at.check("file limit, train", ended, 1, says="File too large", out="run-limited")
    ended = run(resume, at.folder)
    at.check("file limit, train, without it again", ended, 0, out="run-limited")


def read_only(at: Conditions) -> None:
    """The output folder cannot be written to, not even by root."""
    if not _can_mount(at.folder):
        at.report.skipped.append("read-only folder: no file system can be mounted")
        return
    with _mounted("-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", at=at.folder / "fixed"):
        for out in ("fixed/", "fixed/new/", "fixed/x.png"):
            source = "in/000.png" if out.endswith("png") else "in"
            ended = run(at.superres(out, inputs=source), at.folder)
            at.check(f"read-only, superres -o {out}", ended, 2, says="not a writable folder")
        for out in ("fixed", "fixed/run"):
            start, _ = commands(at.folder / "data", at.folder / out)
            ended = run(start, at.folder)
            at.check(f"read-only, train --out {out}", ended, 2, says="Read-only file system")


def no_home(at: Conditions) -> None:
    """No HOME; and a user of whom the system knows nothing, so that `~` means nothing either."""
    env = {k: v for k, v in environment().items() if k not in ("HOME", "HF_HOME")}
    env = {k: v for k, v in env.items() if not k.startswith("XDG_")}
    for name, line in _commands(at, "homeless").items():
        at.check(f"no HOME, {name}", run(line, at.folder, env=env), 0, out="homeless")

    def as_nobody() -> None:
        os.setgroups([])
        os.setgid(54321)
        os.setuid(54321)

    for folder in (at.folder, at.folder.parent):
        folder.chmod(0o777)
    try:
        for name, line in _commands(at, "nobody").items():
            ended = run(line, at.folder, env=env, before=as_nobody)
            at.check(f"no HOME, a user without an entry, {name}", ended, 0, out="nobody")
    except (PermissionError, subprocess.SubprocessError):
        at.report.skipped.append("a user without an entry: no Python here that it may run")


def streams(at: Conditions) -> None:
    """Standard streams that are closed, full, or an encoding that cannot say the names."""

    def without(number: int) -> Callable[[], None]:
        return lambda: os.close(number)

    for number, stream in enumerate(("stdin", "stdout", "stderr")):
        for name, line in _commands(at, f"closed-{stream}").items():
            ended = run(line, at.folder, before=without(number))
            # Where results go to stdout they cannot be given: an error, but files are whole.
            codes = (1,) if stream == "stdout" else (0,)
            if stream == "stderr":
                at.report.check(f"closed stderr, {name}", [ended.stderr] if ended.stderr else [])
            at.check(f"closed {stream}, {name}", ended, *codes, out=f"closed-{stream}")
    for line in ("superres", "-", "-o", "x.png"), ("evaluate", "--reference", ".", "-m", "rmse"):
        ended = run(line, at.folder, before=without(0))
        at.check(f"closed stdin that {line[0]} is to read", ended, 1, 2, says="stdin")
    for name, line in _commands(at, "full-stdout").items():
        with Path("/dev/full").open("wb") as full:
            ended = run(line, at.folder, stdout=full)
        says = "cannot write to stdout: No space left on device"
        at.check(f"full stdout, {name}", ended, 1, says=says, out="full-stdout")


def language(at: Conditions) -> None:
    """LANG=C, with and without Python's way out of it, and names that it cannot say."""
    make_pictures(at.folder / "фото", 2, 16)
    (at.folder / "data").rename(at.folder / "данные")
    (at.folder / "data").symlink_to("данные")
    for name, changes in (
        ("LANG=C", {}),
        ("LANG=C, ASCII", {"PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}),
    ):
        env = {k: v for k, v in environment().items() if not k.startswith("LC_")}
        env |= {"LANG": "C", "LC_ALL": "C", **changes}
        out = f"лица-{len(changes)}"
        for options in ((), ("--json", "--overwrite")):
            ended = run(at.superres(f"{out}/", *options, inputs="фото"), at.folder, env=env)
            at.check(f"{name}, superres {' '.join(options)}", ended, 0, out=out)
        if {p.name for p in (at.folder / out).iterdir()} != {
            "000_superres.png",
            "001_superres.png",
        }:
            at.report.check(name, ["other names"])
        ended = run(at.superres(f"{out}/", inputs="нет"), at.folder, env=env)
        at.check(f"{name}, a name that is not there", ended, 1)
        start, resume = commands(at.folder / "данные", at.folder / f"бег-{len(changes)}", steps=4)
        at.check(f"{name}, train", run(start, at.folder, env=env), 0)
        at.check(f"{name}, train --resume", run(resume, at.folder, env=env), 0)


def memory(at: Conditions) -> None:
    """Little address space: an error with a hint, whichever part did not get what it asked for."""
    make_pictures(at.folder / "large", 1, 900)
    for size in (64, 256, 512, 768, 1024, 1536, 2048, 3072):
        limited = _limit(resource.RLIMIT_AS, size * MEBIBYTE)
        lines = {
            "models list": ["models", "list"],
            "superres": at.superres("memory/", "--overwrite", inputs="large"),
            "train": commands(at.folder / "data", at.folder / f"run-{size}", steps=4)[0],
        }
        for name, line in lines.items():
            ended = run(line, at.folder, before=limited)
            if ended.code == -signal.SIGABRT and "bad_alloc" in ended.stderr:
                # PyTorch's libraries, as they are loaded: no code of ours could say it.
                at.report.counts[f"{size} MiB, {name}: aborted as PyTorch was loaded"] += 1
                continue
            at.check(f"{size} MiB, {name}", ended, 0, 1, 3, out="memory")


def _commands(at: Conditions, out: str) -> dict[str, list[object]]:
    """One of each kind that writes to stdout."""
    start, _ = commands(at.folder / "data", at.folder / out / "run", steps=4)
    return {
        "models list": ["models", "list"],
        "superres": at.superres(f"{out}/", inputs="in/000.png"),
        "superres --json": at.superres(f"{out}/", "--json", "--overwrite", inputs="in/000.png"),
        "evaluate": ["evaluate", at.folder / "in", at.folder / "in", "--metric", "rmse"],
        "train": start,
    }


def _limit(kind: int, size: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(kind, (size, size))


ALL = (full_disk, file_limit, read_only, no_home, streams, language, memory)


def soak(report: Report, count: int, seed: int, folder: Path, only: tuple[str, ...] = ()) -> None:
    """Each condition once.

    Args:
        count: So many conditions, in the order of `ALL`.
        seed: Of nothing.
    """
    for index, condition in enumerate(ALL[:count]):
        if not only or condition.__name__ in only:
            own = folder / str(index)
            own.mkdir()
            condition(Conditions(report, own))


if __name__ == "__main__":
    main("conditions", len(ALL), soak)

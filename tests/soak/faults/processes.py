"""The program in processes that are killed, limited, or given broken streams."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from ...cli.process import ENTRY

if sys.platform != "win32":
    import resource

ROOT = Path(__file__).parents[3]
CODES = {0, 1, 2, 3, 130, 143}  # the documented exit codes; -9 is the kill itself
_LIMIT = 300  # seconds that no process here may take


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int  # negative: by that signal
    seconds: float
    stdout: str
    stderr: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL

    def problems(self, *codes: int) -> list[str]:
        """The error, if the exit code is not one of these; without codes, not a documented one."""
        found = []
        if self.code not in (codes or CODES):
            found.append(f"exit code {self.code}: {self.stderr.strip()[-300:]}")
        if "Traceback" in self.stderr or "this is a defect" in self.stderr:
            found.append(f"traceback or defect: {self.stderr.strip()[-300:]}")
        if self.code in (1, 2, 3) and ("error: " not in self.stderr or "hint: " not in self.stderr):
            found.append(f"exit code {self.code} without error and hint: {self.stderr[-300:]!r}")
        return found


def environment(**changes: str) -> dict[str, str]:
    """One thread, no network, this tree's package."""
    fixed = {
        "COLUMNS": "100",
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": str(ROOT),
        "PYTHONFAULTHANDLER": "",
    }
    return {**os.environ, **fixed, **changes}


class Program:
    """`caflow ARGUMENTS`, running in a process and session of its own: it has no terminal.

    Args:
        env: Instead of `environment()`.
        before: Called in the process before it becomes the program: limits, closed streams.
        stdout: A file or descriptor; without, it is kept.
    """

    def __init__(
        self,
        arguments: Sequence[object],
        cwd: Path,
        env: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
        stdout: int | IO[bytes] = subprocess.PIPE,
    ) -> None:
        self.started = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-c", ENTRY, *map(str, arguments)],
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            env=env or environment(),
            start_new_session=True,
            preexec_fn=before,
        )

    def end(self, kill_after: float | None = None) -> Ended:
        """Wait for its end; killed with all its children once it is so old, in seconds."""
        try:
            out, err = self._process.communicate(timeout=kill_after or _LIMIT)
        except subprocess.TimeoutExpired:
            self._kill()
            out, err = self._process.communicate()
        except KeyboardInterrupt:
            self._kill()  # it has a session of its own
            raise
        seconds = time.monotonic() - self.started
        return Ended(self._process.returncode, seconds, _text(out), _text(err))

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _text(data: bytes | None) -> str:
    return (data or b"").decode(errors="replace")


def run(arguments: Sequence[object], cwd: Path, **options: Any) -> Ended:
    """The program to its end; options are those of `Program`."""
    return Program(arguments, cwd, **options).end()


def duration(ends: Sequence[Ended]) -> float:
    """Seconds that an undisturbed process takes."""
    return statistics.median(end.seconds for end in ends)


# --- forked from a process that has imported everything: all its time goes into the work itself ---

_CHANGES = {"os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate"}
_SAID = ("out", "err", "changes")
_PRELOAD = [
    *("caflow_cli.cli", "caflow_cli.cli.plan", "caflow_cli.cli.loaded_model"),
    *("caflow_cli.cli.listing", "caflow_cli.cli.sheets"),
    *("caflow_cli.training.curve", "caflow_cli.training.loop", "torch._dynamo"),
]


class Forked:
    """`caflow ARGUMENTS`, in a fork of a process that has imported everything.

    Args:
        kill_at: It kills itself just before it makes so many changes to files under `cwd` (opening
            for writing, renaming, linking, removing, making folders), counted from 1.
    """

    def __init__(
        self, arguments: Sequence[object], cwd: Path, *, kill_at: int | None = None
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOAD)
        folder = Path(os.path.realpath(cwd))
        self.changes: list[str] = []  # that it had made, or was about to make, at its end
        self._streams = [folder.parent / f".{folder.name}.{name}" for name in _SAID]
        words = list(map(str, arguments))
        self._process = context.Process(target=_work, args=(words, folder, kill_at))
        self._process.start()
        self.started = time.monotonic()  # behind the start of the server

    def end(self, kill_after: float | None = None) -> Ended:
        """Wait for its end; killed once it is so old, in seconds."""
        try:
            self._process.join(kill_after or _LIMIT)
        finally:
            self._process.kill()
        self._process.join()
        seconds = time.monotonic() - self.started
        said = [path.read_text(errors="replace") if path.exists() else "" for path in self._streams]
        for path in self._streams:
            path.unlink(missing_ok=True)
        self.changes = said[2].splitlines()
        assert self._process.exitcode is not None
        return Ended(self._process.exitcode, seconds, said[0], said[1])


def _work(arguments: list[str], folder: Path, kill_at: int | None) -> None:
    from caflow_cli.cli import main

    os.chdir(folder)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    out, err, changes = (
        os.open(folder.parent / f".{folder.name}.{name}", flags, 0o644) for name in _SAID
    )
    os.dup2(out, 1)
    os.dup2(err, 2)
    os.environ.update(environment())
    sys.argv = ["caflow", *arguments]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    seen = 0

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal seen
        opened = event == "open" and isinstance(args[2], int)
        opened = opened and bool(args[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
        if not (opened or event in _CHANGES) or not _inside(args[0], folder):
            return
        seen += 1
        what = "write" if opened else event.removeprefix("os.")
        os.write(changes, f"{what} {Path(os.fsdecode(args[0])).name}\n".encode())
        if seen == kill_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    main()


def _inside(path: Any, folder: Path) -> bool:
    if isinstance(path, int):
        return False
    text = os.fsdecode(path)
    # `shutil.rmtree` names what it removes relative to a folder that it holds open.
    return not text.startswith("/") or text.startswith(str(folder))

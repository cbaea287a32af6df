"""Run programs in their own processes, forked from one that has imported PyTorch and the package.

These imports take two seconds, longer than most programs of the tests. Python's fork server, one
per test process, does them once. A program whose environment has different Hub variables than the
server's imports the client of the Hub anew, which reads some of them at import.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import threading
import types
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any
from unittest import mock

__all__ = ["CONTEXT", "Process", "begin", "run"]

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        *("torch._dynamo", "torch.utils.data", "matplotlib.figure", "jinja2", "rich.progress"),
        *("matplotlib.backends.backend_agg", "caflow_cli.training.loop", "caflow_cli.restoration"),
        *("pydantic.type_adapter", "typer._adapters"),  # where the installed Typer has them
        *(f"caflow_cli.cli.{name}" for name in ("app", "run")),
        *(f"caflow_cli.hub.{name}" for name in ("publish", "resolve")),
    ]
)


def begin(target: Callable[..., None], *args: Any) -> Any:
    """Start a process that calls a function, which must be picklable by name."""
    process = CONTEXT.Process(target=target, args=args)
    # In the place of pytest's own `__main__`, which the process would import.
    with mock.patch.dict(sys.modules, {"__main__": types.ModuleType("__main__")}):
        process.start()
    return process


class Process:
    """`python -c CODE ARGUMENTS`, used like a `subprocess.Popen`; see `run`."""

    def __init__(
        self,
        code: str,
        *arguments: object,
        cwd: Path,
        stdin: bytes = b"",
        stderr: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
    ) -> None:
        reads = []
        with tempfile.TemporaryFile() as given, contextlib.ExitStack() as theirs:
            given.write(stdin)
            given.seek(0)
            streams = [given.fileno()]
            for end in (subprocess.PIPE, stderr):
                if end == subprocess.PIPE:
                    read, end = os.pipe()
                    theirs.callback(os.close, end)
                    reads.append(os.fdopen(read, "rb"))
                streams.append(end)
            ends = [Connection(os.dup(end), writable=n > 0) for n, end in enumerate(streams)]
            words = [code, *map(str, arguments)]
            self._process = begin(_become, ends, words, str(cwd), dict(env or os.environ))
            for end in ends:
                end.close()
        self.stdout, self.stderr = [*reads, None][:2]
        self.pid = self._process.pid

    @property
    def returncode(self) -> int | None:
        """Its exit code, or the negative number of the signal that ended it."""
        return self._process.exitcode

    def wait(self, timeout: float = 300) -> int | None:
        self._process.join(timeout)
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float = 300) -> tuple[bytes, bytes]:
        """Wait for its end, and return its stdout and stderr."""
        outputs = [stream for stream in (self.stdout, self.stderr) if stream]
        with ThreadPoolExecutor(2) as threads:
            reading = [threads.submit(stream.read) for stream in outputs]
            if self.wait(timeout) is None:
                self.send_signal(signal.SIGKILL)
                raise TimeoutError
            said = [one.result() for one in reading]
        for stream in outputs:
            stream.close()
        return said[0], b"".join(said[1:])


def run(
    code: str, *arguments: object, timeout: float = 300, **options
) -> subprocess.CompletedProcess:
    """`python -c CODE ARGUMENTS` to its end; options as of `Process`."""
    process = Process(code, *arguments, **options)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess([code, *arguments], process.returncode, out, err)


def _become(ends: list[Connection], words: list[str], cwd: str, env: dict[str, str]) -> None:
    """Run the program, and exit like the interpreter, but without PyTorch's teardown.

    Touching all imported objects would copy their memory, which takes longer than most programs.
    """
    gc.freeze()
    for number, end in enumerate(ends):
        os.dup2(end.fileno(), number)
        end.close()
    os.chdir(cwd)
    read_at_import = {k: v for k, v in os.environ.items() if k.startswith("HF_")}
    os.environ.clear()
    os.environ.update(env)
    if read_at_import != {k: v for k, v in env.items() if k.startswith("HF_")}:
        for name in list(sys.modules):
            if name.split(".")[0] == "huggingface_hub":
                del sys.modules[name]
    sys.argv, sys.path[0] = ["-c", *words[1:]], ""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mode = "w" if number else "r"
        errors = "backslashreplace" if number == 2 else "strict"
        buffering = 1 if number == 2 or os.isatty(number) else -1
        stream = open(number, mode, buffering, "utf-8", errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    status = 0
    try:
        exec(compile(words[0], "<string>", "exec"), {"__name__": "__main__"})
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        status = 1
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)

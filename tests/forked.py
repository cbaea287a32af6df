"""Programs in processes of their own, on Linux forked from one that has imported PyTorch.

Importing PyTorch takes two seconds, more than most programs of the tests take. A server, one for
each test process, imports it once, and every program is a fork of it with its own streams, folder,
environment, signals and exit code. The server imports nothing of this package, and nothing that
reads the environment when it is imported: a program does that anew.

Elsewhere every program is an interpreter of its own: Windows has no forks, and on macOS what is
forked from a process that uses the system's frameworks may crash.

As a script this file is the server, or, with `--client CODE ARGUMENTS`, the program
`python -c CODE ARGUMENTS`, for shells.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

__all__ = ["Process", "run", "shell_command"]

_PRELOAD = (
    *("numpy", "torch", "torch._dynamo", "torch.utils.checkpoint", "torch.utils.data"),
    *("safetensors.torch", "PIL.Image", "PIL.PngImagePlugin", "pydantic", "rich.console", "typer"),
    *("filelock", "httpx", "httpx2", "httpcore2", "tqdm", "yaml"),
    *("jinja2", "matplotlib.figure", "matplotlib.backends.backend_agg"),
)
_SERVER: list[str] = []  # the address, once it runs


class _Forked:
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
            words = [code, *map(str, arguments)]
            self._answers = _ask(_address(), streams, words, cwd, env or os.environ)
        self.stdout, self.stderr = [*reads, None][:2]
        self.pid = _number(self._answers)
        self.returncode: int | None = None

    def wait(self, timeout: float = 120) -> int:
        """Its exit code, or less the number of the signal that ended it."""
        if self.returncode is None:
            self._answers.settimeout(timeout)
            self.returncode = _number(self._answers)
            self._answers.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def communicate(self, timeout: float = 120) -> tuple[bytes, bytes]:
        """Everything that it says until its end."""
        outputs = [stream for stream in (self.stdout, self.stderr) if stream]
        with ThreadPoolExecutor(2) as threads:
            reading = [threads.submit(stream.read) for stream in outputs]
            try:
                self.wait(timeout)
            except TimeoutError:
                self.send_signal(signal.SIGKILL)
                raise
            said = [one.result() for one in reading]
        for stream in outputs:
            stream.close()
        return said[0], b"".join(said[1:])


class _Started(subprocess.Popen):
    """As `_Forked`, without a fork."""

    def __init__(
        self,
        code: str,
        *arguments: object,
        cwd: Path,
        stdin: bytes = b"",
        stderr: int = subprocess.PIPE,
        env: Mapping[str, str] | None = None,
    ) -> None:
        with tempfile.TemporaryFile() as given:
            given.write(stdin)
            given.seek(0)
            streams = {"stdin": given, "stdout": subprocess.PIPE, "stderr": stderr}
            words = [sys.executable, "-c", code, *map(str, arguments)]
            super().__init__(words, cwd=cwd, env=env, **streams)

    def communicate(self, timeout: float = 120) -> tuple[bytes, bytes]:
        try:
            out, err = super().communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        return out, err or b""


FORKS = sys.platform == "linux"
Process = _Forked if FORKS else _Started


def run(
    code: str, *arguments: object, timeout: float = 120, **options
) -> subprocess.CompletedProcess:
    """`python -c CODE ARGUMENTS` to its end.

    Args:
        timeout: Seconds after which it is killed.
        options: `cwd`, and if need be `stdin`, `stderr` (a descriptor) and `env` (all of it).
    """
    process = Process(code, *arguments, **options)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess([code, *arguments], process.returncode, out, err)


def shell_command(code: str) -> str:
    """What a shell runs as `python -c CODE`; arguments may follow."""
    import shlex

    if not FORKS:
        return shlex.join([sys.executable, "-c", code])
    # The client imports nothing that it does not need.
    words = [sys.executable, "-I", "-S", __file__, "--client", _address(), code]
    return shlex.join(words)


def _ask(
    address: str, streams: list[int], words: list[str], cwd: object, env: Mapping[str, str]
) -> socket.socket:
    """The server's line, which says the process's number, and later its exit code."""
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    line.connect(address)
    with tempfile.TemporaryFile() as request:  # it may be longer than what a socket holds
        request.write(json.dumps([words, str(cwd), dict(env)]).encode())
        request.flush()
        socket.send_fds(line, [b"run"], [*streams, request.fileno()])
    return line


def _number(line: socket.socket) -> int:
    """The next one that the server says."""
    said = b""
    while not said.endswith(b"\n"):
        part = line.recv(1)
        if not part:
            raise RuntimeError("the server of forks has ended")
        said += part
    return int(said)


def _address() -> str:
    """Start the server unless it runs."""
    if not _SERVER:
        folder = tempfile.mkdtemp()
        address = f"{folder}/socket"
        server = subprocess.Popen(
            [sys.executable, __file__, address], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert server.stdout.read(5) == b"ready"

        def end() -> None:
            server.stdin.close()
            server.wait()
            shutil.rmtree(folder, ignore_errors=True)

        atexit.register(end)
        _SERVER.append(address)
    return _SERVER[0]


def _serve(address: str) -> str:
    """Fork a program for every request. Returns, in the program, the code that it is to run."""
    import gc
    import importlib

    for name in _PRELOAD:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    if sys.dont_write_bytecode:  # or every program would compile this package anew
        sys.dont_write_bytecode, sys.pycache_prefix = False, str(Path(address).parent / "bytecode")
    gc.freeze()  # what is there is not looked through, and so not copied, in a fork
    ended, signalled = os.pipe()
    for end in (ended, signalled):
        os.set_blocking(end, False)
    signal.set_wakeup_fd(signalled)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(64)
    os.write(1, b"ready")
    lines: dict[int, socket.socket] = {}
    while True:
        ready, _, _ = select.select([listener, ended, 0], [], [])
        if 0 in ready:  # who started this one has ended
            os._exit(0)
        if ended in ready:
            os.read(ended, 4096)
            _tell_ends(lines)
        if listener not in ready:
            continue
        line, _ = listener.accept()
        _, (*streams, request), _, _ = socket.recv_fds(line, 16, 4)
        number = os.fork()
        if number == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for other in (ended, signalled):
                os.close(other)
            for other in (listener, line, *lines.values()):
                other.close()
            return _become(streams, request)
        for descriptor in (*streams, request):
            os.close(descriptor)
        lines[number] = line
        _say(line, number)


def _tell_ends(lines: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            with lines.pop(ended[0]) as line:
                _say(line, os.waitstatus_to_exitcode(ended[1]))


def _say(line: socket.socket, number: int) -> None:
    with contextlib.suppress(OSError):  # nobody listens any more
        line.sendall(f"{number}\n".encode())


def _become(streams: list[int], request: int) -> str:
    """Take over what was asked for; return the code."""
    with os.fdopen(request, "rb") as file:
        file.seek(0)
        words, cwd, env = json.loads(file.read())
    for number, descriptor in enumerate(streams):
        os.dup2(descriptor, number)
        os.close(descriptor)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    sys.argv = ["-c", *words[1:]]
    sys.path[0] = ""
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs ignore it
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        mode = "w" if number else "r"
        errors = "backslashreplace" if number == 2 else "strict"
        buffering = 1 if number == 2 or os.isatty(number) else -1
        stream = open(number, mode, buffering, "utf-8", errors, closefd=False)  # noqa: SIM115
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    return words[0]


def _perform(code: str) -> None:
    """Run the program, and end as the interpreter ends, but for taking PyTorch to pieces.

    Touching all that is imported would copy it, which takes longer than most programs.
    """
    try:
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
        status = 0
    except SystemExit as end:
        if not isinstance(end.code, int | None):
            raise
        status = end.code or 0
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def _client(address: str, words: list[str]) -> None:
    """Be the program: its streams, folder and environment are this process's."""
    line = _ask(address, [0, 1, 2], words, Path.cwd(), os.environ)
    _number(line)
    code = _number(line)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    if sys.argv[1] == "--client":
        _client(sys.argv[2], sys.argv[3:])
    _perform(_serve(sys.argv[1]))

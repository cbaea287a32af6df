"""Commands and programs in forks of this process, and what they leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import torch  # imported once: every command is a fork of this process
from PIL import Image

from .describing import JSON, described, digest


class Part:
    """A folder in which commands run, and what they did there, by the name of each case."""

    def __init__(self, name: str, folder: Path, tree: Path) -> None:
        self.name, self.folder, self.tree = name, folder, tree
        self.cases: dict[str, JSON] = {}
        self._seen: dict[str, str] = {}
        folder.mkdir(parents=True)

    def save(self, name: str, image: Image.Image, **options: Any) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path, **options)
        return path

    def caflow(self, case: str, words: str | list[str], **options: Any) -> JSON:
        """Run a command. `{data}` stands for the folder of real images."""
        if isinstance(words, str):
            words = words.split()
        words = [word.replace("{data}", os.environ["CAFLOW_TEST_DATA"]) for word in words]
        return self._record(case, [words], **options)[0]

    def python(self, case: str, code: str) -> JSON:
        """Run a program that prints JSON."""
        return self._record(case, [code])[0]

    def together(self, case: str, words: str, ranks: int) -> list[JSON]:
        """Run a command in several processes that know of each other, as `torchrun` starts them."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        envs = [
            {
                **{"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(ranks)},
                **{"LOCAL_WORLD_SIZE": str(ranks), "MASTER_ADDR": "127.0.0.1"},
                "MASTER_PORT": port,
            }
            for rank in range(ranks)
        ]
        return self._record(case, [words.split()] * ranks, envs=envs)

    def _record(
        self,
        case: str,
        works: list[Any],
        *,
        stdin: bytes = b"",
        env: dict[str, str] | None = None,
        envs: list[dict[str, str]] | None = None,
        interrupt: Path | None = None,
    ) -> list[JSON]:
        assert case not in self.cases, case
        self._written()  # what the case itself prepared is no output
        envs = envs or [env or {}] * len(works)
        started = [self._start(work, own, stdin) for work, own in zip(works, envs, strict=True)]
        if interrupt is not None:
            while not list(self.folder.glob(str(interrupt))):
                time.sleep(0.02)
            os.kill(started[0][0], signal.SIGINT)
        found = []
        for pid, out, err in started:
            _, status = os.waitpid(pid, 0)
            out.seek(0)
            err.seek(0)
            stdout, stderr = out.read(), err.read().decode(errors="replace")
            result = {"exit": os.waitstatus_to_exitcode(status), **self._parsed(stdout)}
            if "Traceback" in stderr:
                result["traceback"] = True
            found.append({**result, "stderr": self._plain(stderr)})
        together: JSON = dict(found[0]) if len(found) == 1 else {"processes": found}
        self.cases[case] = {**together, "files": self._written()}
        return found

    def _start(self, work: Any, env: dict[str, str], stdin: bytes) -> tuple[int, Any, Any]:
        given, out, err = (tempfile.TemporaryFile() for _ in range(3))  # noqa: SIM115
        given.write(stdin)
        given.seek(0)
        sys.stdout.flush()
        pid = os.fork()
        if pid:
            given.close()
            return pid, out, err
        code = 70
        try:
            for number, file in enumerate((given, out, err)):
                os.dup2(file.fileno(), number)
            sys.stdin, sys.stdout, sys.stderr = (
                open(number, mode, encoding="utf-8", closefd=False)  # noqa: SIM115
                for number, mode in ((0, "r"), (1, "w"), (2, "w"))
            )
            os.chdir(self.folder)
            os.environ.update(env)
            os.environ["PYTHONPATH"] = str(self.tree)
            sys.path[:] = [str(self.tree), *sys.path[1:]]
            torch.set_num_threads(1)
            code = _program(work)
        except BaseException:
            traceback.print_exc()
        finally:
            with contextlib.suppress(Exception):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _parsed(self, stdout: bytes) -> JSON:
        if stdout[:4] in (b"\x89PNG", b"RIFF", b"\xff\xd8\xff\xe0", b"II*\0"):
            return {"image": described(stdout)}
        lines = self._plain(stdout.decode(errors="replace")).splitlines()
        try:
            return {"lines": [json.loads(line) for line in lines]}
        except ValueError:
            pass
        with contextlib.suppress(ValueError):
            return {"lines": [json.loads("\n".join(lines))]}
        return {"text": lines}

    def _plain(self, text: str) -> str:
        for path, word in ((self.folder, "WORK"), (self.tree, "TREE")):
            text = text.replace(str(path), word)
        return text.replace(os.environ["CAFLOW_TEST_DATA"], "DATA")

    def _written(self) -> dict[str, JSON]:
        """Files that are new or changed since the last look."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            name = str(path.relative_to(self.folder))
            if not path.is_file() or path.name == ".lock":
                continue
            data = path.read_bytes()
            mark = digest(data)
            if self._seen.get(name) != mark:
                self._seen[name] = mark
                found[name] = described(data, path, self._plain)
        return found


def _program(work: Any) -> int:
    try:
        if isinstance(work, str):
            exec(compile(work, "<program>", "exec"), {"__name__": "__main__"})
            return 0
        from caflow_cli.cli import main

        sys.argv = ["caflow", *work]
        main()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    return 0

"""A Hub on this machine, and the program in processes that know it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import forked
import pytest
from cli.process import ENTRY
from local_hub import LocalHub


@pytest.fixture(scope="session")
def hub_server() -> Iterator[LocalHub]:
    server = LocalHub()
    yield server
    server.close()


@pytest.fixture
def hub(hub_server: LocalHub) -> LocalHub:
    """A Hub without repositories."""
    hub_server.reset()
    return hub_server


@pytest.fixture
def hub_environment(hub: LocalHub, tmp_path: Path) -> dict[str, str]:
    """Of a process that knows this Hub, and has a cache and no token of its own."""
    return {
        "COLUMNS": "100",
        "OMP_NUM_THREADS": "1",
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_CACHE": str(tmp_path / "hf" / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "",
    }


@pytest.fixture
def start(hub_environment: dict[str, str], tmp_path: Path) -> Callable[..., forked.Process]:
    """`start(*arguments, before=CODE, stderr=FILE, **environment)`: `caflow` in a process of its
    own, in `tmp_path`, that knows the Hub."""

    def begin(
        *arguments: object, before: str = "", stderr: int = subprocess.PIPE, **environment: str
    ) -> forked.Process:
        env = {**os.environ, **hub_environment, **environment}
        code = f"{before}\n{ENTRY}"
        return forked.Process(code, *arguments, cwd=tmp_path, stderr=stderr, env=env)

    return begin


@pytest.fixture
def run(start: Callable[..., forked.Process]) -> Callable[..., subprocess.CompletedProcess]:
    """`start`, and its end."""

    def complete(*arguments: object, **options: str) -> subprocess.CompletedProcess:
        process = start(*arguments, **options)
        stdout, stderr = process.communicate(timeout=120)
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    return complete

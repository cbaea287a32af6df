"""A Hub on this machine, and the program in processes that know it."""

from __future__ import annotations

import os
import subprocess

import forked
import pytest
from cli.process import ENTRY
from local_hub import LocalHub


@pytest.fixture(scope="session")
def hub_server():
    server = LocalHub()
    yield server
    server.close()


@pytest.fixture
def hub(hub_server):
    """A Hub without repositories."""
    hub_server.reset()
    return hub_server


@pytest.fixture
def hub_environment(hub, tmp_path):
    """Of a process that knows this Hub, and has a cache and no token of its own."""
    return {
        **os.environ,
        "COLUMNS": "100",
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_CACHE": str(tmp_path / "hf" / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "",
    }


@pytest.fixture
def start(hub_environment, tmp_path):
    """`start(*arguments, before=CODE, stderr=FILE, **environment)`: `caflow` in a process of its
    own, in `tmp_path`, that knows the Hub."""

    def begin(*arguments, before="", stderr=subprocess.PIPE, **environment):
        env = {**hub_environment, **environment}
        code = f"{before}\n{ENTRY}"
        return forked.Process(code, *arguments, cwd=tmp_path, stderr=stderr, env=env)

    return begin


@pytest.fixture
def run(start):
    """`start`, and its end."""

    def complete(*arguments, **options):
        process = start(*arguments, **options)
        stdout, stderr = process.communicate()
        return subprocess.CompletedProcess(arguments, process.returncode, stdout, stderr)

    return complete

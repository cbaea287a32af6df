"""A Hub on this machine, and the program in processes that know it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cli.process import caflow
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
        "HF_ENDPOINT": hub.endpoint,
        "HF_HOME": str(tmp_path / "hf"),
        "HF_HUB_CACHE": str(tmp_path / "hf" / "hub"),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_OFFLINE": "0",
        "HF_TOKEN": "",
    }


@pytest.fixture
def run_with_hub(tmp_path: Path, hub_environment: dict[str, str]) -> Callable:
    """`caflow` in a process of its own, in `tmp_path`; keywords change its environment."""

    def run(*arguments: object, **environment: str):
        return caflow(*arguments, cwd=tmp_path, **{**hub_environment, **environment})

    return run

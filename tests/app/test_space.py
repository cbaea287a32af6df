"""The folder of a Space, without the network."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SPACE = ROOT / "docs" / "space"


def test_it_names_the_extra_and_a_gradio_that_this_takes():
    assert (SPACE / "requirements.txt").read_text() == "caflow-cli[app]\n"
    front = (SPACE / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    fields = dict(line.split(": ", 1) for line in front.splitlines())
    assert (SPACE / fields["app_file"]).exists()
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    low, high = re.search(r'app = \["gradio>=(\d+)\.\d+,<(\d+)"', project).groups()
    assert int(low) <= int(fields["sdk_version"].split(".")[0]) < int(high)


@pytest.mark.page
def test_it_serves_the_page_where_the_space_says(tmp_path):
    pytest.importorskip("gradio", reason="the extra app is not installed")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port)}
    environment = {**os.environ, **address, "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([sys.executable, SPACE / "app.py"], cwd=tmp_path, env=environment)
    try:
        end = time.monotonic() + 300
        while True:
            assert process.poll() is None
            assert time.monotonic() < end
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/") as answer:
                    assert b"caflow" in answer.read()
                break
            except OSError:
                time.sleep(1)
    finally:
        process.terminate()
        process.wait(60)

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from caflow_cli import devices
from caflow_cli.devices import check_bf16, convolves_bf16, exact, select_device
from caflow_cli.errors import CaflowError


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "CPU", "", "mps:0", "cuda:", "cuda:99"])
def test_other_devices_are_refused(name):
    with pytest.raises(CaflowError, match=r"unknown device|'cuda:99' is not available") as caught:
        select_device(name)
    assert caught.value.exit_code == 2


def test_each_process_of_a_machine_has_a_card_of_its_own(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for rank, index in ((None, 0), ("0", 0), ("1", 1), ("2", 0)):
        if rank is not None:
            monkeypatch.setenv("LOCAL_RANK", rank)
        assert [select_device(name).index for name in ("auto", "cuda")] == [index] * 2
        assert select_device("cuda:1").index == 1


WITHOUT_BF16 = """
import torch
from caflow_cli.devices import check_bf16, convolves_bf16
from caflow_cli.layers import FixedConv
cpu = torch.device("cpu")
assert not convolves_bf16(cpu)
one = torch.ones(2, 1, 1, 1, dtype=torch.bfloat16)
assert torch.equal(FixedConv(one[:1], None)(3 * one), 3 * one)
check_bf16(cpu)
"""


@pytest.mark.skipif(platform.machine() not in ("x86_64", "AMD64"), reason="a setting for x86")
def test_bf16_is_asked_of_the_library_not_of_the_processor():
    """oneDNN without AVX-512 refuses it on any processor; a slow convolution is still right."""
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT_BF16],
        env={**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
    )
    assert "CaflowError: 'cpu' has no fast bfloat16 here" in run.stderr, run.stderr


def test_metal_is_not_asked_to_compute_in_bf16():
    assert not convolves_bf16(torch.device("mps"))
    with pytest.raises(CaflowError, match="no fast bfloat16"):
        check_bf16(torch.device("mps"))


def test_metal_must_be_named_and_there(monkeypatch):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(CaflowError, match="'mps' is not available"):
        select_device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert select_device("mps").type == "mps"
    assert select_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")


def test_scores_are_without_tf32_and_gradients_and_it_is_as_before_behind():
    backends = torch.backends.cudnn, torch.backends.cuda.matmul
    before = [backend.allow_tf32 for backend in backends]
    for allowed in (not before[0], before[0]):
        for backend, own in zip(backends, before, strict=True):
            backend.allow_tf32 = own if allowed == before[0] else allowed
        expected = [backend.allow_tf32 for backend in backends]
        with torch.inference_mode(), exact():
            assert not any(backend.allow_tf32 for backend in backends)
            assert not torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
        assert [backend.allow_tf32 for backend in backends] == expected


def test_no_other_module_asks_for_a_device_by_name():
    named = re.compile(
        r"torch\.(cuda|mps|backends)\b(?!\.mkldnn)|allow_tf32|channels_last\b|\"mps\""
    )
    package = Path(devices.__file__).parent
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.name not in ("devices.py", "options.py")  # which imports no torch
        for line in path.read_text(encoding="utf-8").splitlines()
        if named.search(line) and not line.lstrip().startswith("#")
    ]
    assert found == []

"""Devices: the only module that asks for one by name."""

from __future__ import annotations

import re

import torch

from ..errors import EXIT_USAGE, CaflowError

__all__ = ["select_device"]


def select_device(name: str = "auto") -> torch.device:
    """The device of `auto`, `cpu`, `cuda` or `cuda:N`; `auto` is CUDA where there is one.

    Raises:
        CaflowError: An unknown name, or a device that this machine lacks (exit code 2).
    """
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", name):
        raise CaflowError(
            f"unknown device {name!r}", "--device auto, cpu, cuda or cuda:N", EXIT_USAGE
        )
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    index = int(name.partition(":")[2] or 0)
    if index >= count:
        raise CaflowError(
            f"device {name!r} is not available: {count} CUDA devices here",
            "--device cpu",
            EXIT_USAGE,
        )
    return torch.device("cuda", index)

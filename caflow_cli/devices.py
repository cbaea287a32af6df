"""Devices: how they differ, and which precision each part of a model uses on them.

| | `cpu` | `cuda` | `mps` |
|---|---|---|---|
| scores, samples: nets and flows | float32 | float32, TF32 off | float32 |
| samples, if asked: convolutions of nets | bfloat16 | bfloat16 | no |
| training: convolutions of nets | bfloat16, or float32 | bfloat16, or float32 | float32 |
| training: the rest | float32 | float32, TF32 as PyTorch has it | float32 |
| sums of log-determinants and Gaussian terms | float64 | float64 | float64, on the CPU |
| 1×1 convolutions: composed outside training, inverted | float64 | float64 | float64, on the CPU |
| layout | channels_last | channels_last | contiguous |

Metal has no float64, so float64 computations move to the CPU (`to_float64`), and log-likelihoods
of a model on `mps` are tensors on the CPU. `layers/conv.py` has a path of its own for CPUs.
"""

import ctypes
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import check_usage

NAMES = "auto, cpu, cuda, cuda:N or mps"

# Device types that lack a feature, or on which its fast path has not been tested.
LACKING = {"float64": {"mps"}, "bf16": {"mps"}, "channels_last": {"mps"}}


def select_device(name: str = "auto") -> torch.device:
    """The device named `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    `auto` is CUDA if available, else the CPU; `mps` must be named. If a launcher starts several
    processes on a machine, each gets its own CUDA device unless N is given.

    Raises:
        CaflowError: The name is unknown, or this machine lacks the device (exit code 2).
    """
    known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name)
    check_usage(known is not None, f"unknown device {name!r}", f"--device {NAMES}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    if name == "mps":
        check_usage(
            torch.backends.mps.is_available(),
            "device 'mps' is not available: this machine or this PyTorch has no Metal support",
            "--device cpu",
        )
        return torch.device("mps")
    return _cuda_device(name, count)


def _cuda_device(name: str, count: int) -> torch.device:
    """One of `count` CUDA devices: `cuda:N`, else that of this process."""
    # The launcher numbers the processes of a machine.
    process = int(os.environ.get("LOCAL_RANK") or 0) % max(count, 1)
    index = int(name.partition(":")[2] or process)
    check_usage(
        index < count,
        f"device {name!r} is not available: found {count} CUDA devices",
        "--device cpu",
    )
    return torch.device("cuda", index)


def float64_device(device: torch.device) -> torch.device:
    """The device for float64 computations: the given one, or the CPU if it has no float64."""
    return torch.device("cpu") if device.type in LACKING["float64"] else device


def to_float64(x: Tensor) -> Tensor:
    return x.to(float64_device(x.device)).double()


def sum_float64(x: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """Sum over the given dimensions, or all, accumulated in float64; on `float64_device`."""
    return x.to(float64_device(x.device)).sum(dims, dtype=torch.float64)


def zeros_float64(count: int, x: Tensor) -> Tensor:
    return torch.zeros(count, dtype=torch.float64, device=float64_device(x.device))


def to_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    return to_float64(x) if dtype == torch.float64 else x.to(dtype)


def to_like(x: Tensor, other: Tensor) -> Tensor:
    """Convert x to another tensor's dtype and device; this reverses `to_float64`."""
    # The dtype first: float64 must not reach a device without float64.
    return x.to(other.dtype).to(other.device)


def convolves_bf16(device: torch.device) -> bool:
    """Whether convolutions run in bfloat16 on a device; on a CPU, whether oneDNN runs one now.

    Without oneDNN, a CPU trains ten times slower in bfloat16 than in float32 (docs/training.md).
    """
    if device.type != "cpu":
        return device.type not in LACKING["bf16"]
    x = torch.zeros(1, 1, 1, 1, dtype=torch.bfloat16)
    try:
        torch.mkldnn_convolution(x, x, None, [0, 0], [1, 1], [1, 1], 1)
    except RuntimeError:  # this CPU or this build of PyTorch has no such convolution
        return False
    return True


def check_bf16(device: torch.device) -> None:
    """Raise CaflowError (exit 2) for a device on which nets in bfloat16 are no faster."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = convolves_bf16(device) and _seconds(torch.bfloat16) < _seconds(torch.float32)
    check_usage(
        fast,
        f"{device.type!r} has no fast bfloat16 here: its convolutions are slower than in float32",
        "leave --precision out",
    )


@torch.no_grad()
def _seconds(dtype: torch.dtype) -> float:
    """The least time of ten small convolutions on the CPU."""
    x = torch.ones(2, 64, 32, 32, dtype=dtype).contiguous(memory_format=torch.channels_last)
    weight = torch.ones(64, 64, 3, 3, dtype=dtype)
    times = []
    for _ in range(10):
        start = time.perf_counter()
        F.conv2d(x, weight, padding=1)
        times.append(time.perf_counter() - start)
    return min(times)


def prefers_products(x: Tensor, size: int) -> bool:
    """Whether the gradients of a convolution of x are faster as matrix products.

    On a CPU this holds for 1×1 kernels in float32 or on few pixels, and for 3×3 kernels on fewer.

    Args:
        x: The input of the convolution, (B, C, H, W).
        size: The size of the kernel.
    """
    if x.device.type != "cpu":
        return False
    if x.dtype != torch.bfloat16:
        return size == 1
    return x.shape[-2] * x.shape[-1] <= (64 if size == 1 else 16)


@contextmanager
def exact() -> Iterator[None]:
    """Context for scores and samples: no gradients, and no TF32, whose 10 bits are too few."""
    backends: tuple[Any, ...] = (torch.backends.cudnn, torch.backends.cuda.matmul)
    before = [backend.allow_tf32 for backend in backends]
    try:
        for backend in backends:
            backend.allow_tf32 = False
        with torch.inference_mode(False), torch.no_grad():
            yield
    finally:
        for backend, was in zip(backends, before, strict=True):
            backend.allow_tf32 = was


def memory_format(device: torch.device) -> torch.memory_format:
    """The memory layout in which convolutions on a device are fastest."""
    lacking = device.type in LACKING["channels_last"]
    return torch.contiguous_format if lacking else torch.channels_last


def to_layout(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=memory_format(x.device))


def keep_memory() -> None:
    """Make this process keep freed memory of any size for reuse; meant for command-line programs.

    By default glibc maps every block above 32 MB anew, and the system zeroes its pages each time,
    a quarter of the time at 1024×1024 pixels. Peak memory does not change. No-op without glibc.
    """
    with suppress(AttributeError, OSError, TypeError):  # another libc, or Windows
        ctypes.CDLL(None).mallopt(-1, -1)  # M_TRIM_THRESHOLD: return nothing to the system
        ctypes.CDLL(None).mallopt(-4, 0)  # M_MMAP_MAX


def trim_memory() -> None:
    """Return free heap memory to the system, also from between used blocks; no-op without glibc."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


class Uninitialized(TorchFunctionMode):
    """Context that skips the initialization of new modules, whose values come from a file."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"]
        return args[0] if func in (Tensor.uniform_, Tensor.normal_) else func(*args, **kwargs)

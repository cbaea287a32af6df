"""Devices. Only this module knows how they differ, and in which precision each part works.

| | `cpu` | `cuda` | `mps` |
|---|---|---|---|
| scores, samples: nets and flows | float32 | float32, TF32 off | float32 |
| samples, if asked: convolutions of nets | bfloat16 | bfloat16 | no |
| training: convolutions of nets | bfloat16, or float32 | bfloat16, or float32 | float32 |
| training: the rest | float32 | float32, TF32 as PyTorch has it | float32 |
| sums of log-determinants and Gaussian terms | float64 | float64 | float64, on the CPU |
| 1×1 convolutions composed, inverted | float64 | float64 | float64, on the CPU |
| layout | channels_last | channels_last | contiguous |
| `torch.compile` | a C++ compiler | Triton; CUDA graphs for samples | no |

Metal has no float64. Float64 computations are moved to the CPU (`to_float64`), so the
log-likelihoods of a model on `mps` are tensors on the CPU.
"""

import ctypes
import importlib.util
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from .errors import check_usage

NAMES = "auto, cpu, cuda, cuda:N or mps"

try:  # features of the processor, as Linux names them; elsewhere nothing is known
    _FEATURES = set(Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").split())
except OSError:
    _FEATURES = set()
# Device types that lack a thing, or whose fast way has not been tried.
LACKING = {"float64": {"mps"}, "bf16": {"mps"}, "fast bf16": {"mps"}, "channels_last": {"mps"}}
# oneDNN has bfloat16 convolutions where a CPU has AVX-512, or Arm's bf16. Elsewhere a CPU trains
# ten times slower in bfloat16 than in float32 (docs/training.md).
if not ({"avx512bw", "avx512dq", "avx512vl"} <= _FEATURES or "bf16" in _FEATURES):
    LACKING["bf16"].add("cpu")
# To multiply in bfloat16, and not only convert, takes more.
if not {"avx512_bf16", "amx_bf16"} & _FEATURES:
    LACKING["fast bf16"].add("cpu")


def select_device(name: str = "auto") -> torch.device:
    """The device named `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.

    `auto` is CUDA if available, else the CPU. It is never `mps`, which must be named. Of several
    processes on a machine, each has a CUDA device of its own unless N is named.

    Raises:
        CaflowError: The name is unknown, or this machine lacks the device (exit code 2).
    """
    known = re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", name) is not None
    check_usage(known, f"unknown device {name!r}", f"--device {NAMES}")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "cpu" or (name == "auto" and not count):
        return torch.device("cpu")
    if name == "mps":
        check_usage(
            torch.backends.mps.is_available(),
            "device 'mps' is not available: this machine or this PyTorch has no Metal",
            "--device cpu",
        )
        return torch.device("mps")
    # A launcher says which of a machine's processes this is.
    process = int(os.environ.get("LOCAL_RANK") or 0) % max(count, 1)
    index = int(name.partition(":")[2] or process)
    check_usage(
        index < count,
        f"device {name!r} is not available: {count} CUDA devices here",
        "--device cpu",
    )
    return torch.device("cuda", index)


def float64_device(device: torch.device) -> torch.device:
    """The device for float64 computations of a device: the same one, or the CPU."""
    return torch.device("cpu") if device.type in LACKING["float64"] else device


def to_float64(x: Tensor) -> Tensor:
    return x.to(float64_device(x.device)).double()


def sum_float64(x: Tensor, dims: tuple[int, ...] | None = None) -> Tensor:
    """Sum over dimensions, or all, accumulated in float64: on `float64_device`."""
    return x.to(float64_device(x.device)).sum(dims, dtype=torch.float64)


def zeros_float64(count: int, x: Tensor) -> Tensor:
    return torch.zeros(count, dtype=torch.float64, device=float64_device(x.device))


def to_dtype(x: Tensor, dtype: torch.dtype) -> Tensor:
    return to_float64(x) if dtype == torch.float64 else x.to(dtype)


def to_like(x: Tensor, other: Tensor) -> Tensor:
    """Convert x to another tensor's type and device. This is the way back from `to_float64`."""
    # The type first: float64 must not reach a device that has none.
    return x.to(other.dtype).to(other.device)


def net_type(own: torch.dtype, device: torch.device, training: bool, bf16: bool) -> torch.dtype:
    """The type for a net's convolutions: bfloat16 only in training, and only if requested."""
    return torch.bfloat16 if training and bf16 and device.type not in LACKING["bf16"] else own


def check_bf16(device: torch.device) -> None:
    """Refuse a device on which nets in bfloat16 are no faster: CaflowError (exit 2)."""
    check_usage(
        torch.cuda.is_bf16_supported(including_emulation=False)
        if device.type == "cuda"
        else device.type not in LACKING["fast bf16"],
        f"{device.type!r} has no fast bfloat16 here: on a CPU it takes AVX-512 bf16 or AMX",
        "leave --precision out",
    )


def prefers_products(x: Tensor, size: int) -> bool:
    """Whether the gradients of a convolution of x are faster as products of matrices.

    On a CPU they are for kernels of 1×1 in float32 or on few pixels, and for those of 3×3 on fewer.

    Args:
        x: What is convolved, (B, C, H, W).
        size: Of the kernel.
    """
    if x.device.type != "cpu":
        return False
    if x.dtype != torch.bfloat16:
        return size == 1
    return x.shape[-2] * x.shape[-1] <= (64 if size == 1 else 16)


@contextmanager
def exact() -> Iterator[None]:
    """For scores and samples: no gradients, and no TF32, whose ten bits are too few."""
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
    """Let this process reuse freed memory of any size, and hold it to the end: for programs.

    By default glibc maps every block above 32 MB anew, and the system zeroes its pages each time: a
    quarter of the time at 1024×1024 pixels. The peak stays. Without glibc this does nothing.
    """
    with suppress(AttributeError, OSError, TypeError):  # of another libc, or of Windows
        ctypes.CDLL(None).mallopt(-1, -1)  # M_TRIM_THRESHOLD: hands nothing back
        ctypes.CDLL(None).mallopt(-4, 0)  # M_MMAP_MAX


def trim_memory() -> None:
    """Hand memory that is free, also between what is used, back to the system, if glibc can."""
    with suppress(AttributeError, OSError, TypeError):
        ctypes.CDLL(None).malloc_trim(0)


def check_compiler(device: torch.device) -> None:
    """Refuse a device for which nothing can be compiled: CaflowError (exit 2)."""
    compiler = os.environ.get("CXX", "clang++" if sys.platform == "darwin" else "g++")
    lacks = {
        "cpu": shutil.which(compiler) is None and f"there is no C++ compiler {compiler!r}",
        "cuda": importlib.util.find_spec("triton") is None and "there is no Triton",
        "mps": "torch.compile is not used on 'mps'",
    }.get(device.type)
    check_usage(not lacks, str(lacks), "leave --compile out")


class Uninitialised(TorchFunctionMode):
    """A context in which modules leave their new tensors as they are: a file gives the values."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"]
        return args[0] if func in (Tensor.uniform_, Tensor.normal_) else func(*args, **kwargs)

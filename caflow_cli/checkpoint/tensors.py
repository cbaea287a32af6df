"""The tensors of a model file: one safetensors file, written whole or not at all."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ..config import Config
from ..errors import EXIT_WEIGHTS, CaflowError
from .info import metadata_of

__all__ = ["checkpoint_bytes", "in_bf16", "read_tensors", "write_checkpoint", "write_tensors"]

BITS = 5  # significant ones of a packed convolution


def checkpoint_bytes(
    tensors: dict[str, Tensor],
    config: Config,
    training: dict[str, Any] | None = None,
    *,
    bf16_convs: bool = False,
    bits: int = BITS,
) -> bytes:
    """The bytes of a model file.

    Args:
        tensors: By their names in files (`CAFlow.tensors`).
        config: Of the model.
        training: A record for the header.
        bf16_convs: Store the tensors that `in_bf16` selects in bfloat16. This halves the size.
        bits: Significant ones of these tensors. 5 take a quarter off what a zip makes of them, and
            cost some 0.002 bits/dim; 4 a third, and 0.005 to 0.012.
    """
    stored = {
        name: _stored(tensor, bits if bf16_convs and in_bf16(name, tensor) else None)
        for name, tensor in tensors.items()
    }
    return save(stored, metadata_of(config, training or {}))


def write_checkpoint(
    path: Path,
    tensors: dict[str, Tensor],
    config: Config,
    training: dict[str, Any] | None = None,
    *,
    bf16_convs: bool = False,
) -> None:
    """Write `checkpoint_bytes` to `path` (`*.safetensors`), whole or not at all."""
    _write(path, checkpoint_bytes(tensors, config, training, bf16_convs=bf16_convs))


def write_tensors(path: Path, tensors: dict[str, Tensor]) -> None:
    """Write a safetensors file, whole or not at all. Its permissions follow the umask."""
    _write(path, save(tensors))


def _write(path: Path, content: bytes) -> None:
    # Not longer than names may be; `RunFolder` finds what a killed process leaves.
    temporary = path.with_name(f".{path.name[-100:]}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise CaflowError(
            f"cannot write {str(path)!r}: {error.strerror or error}", "choose a writable folder"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink()


def in_bf16(name: str, tensor: Tensor) -> bool:
    """Whether packing stores this tensor in bfloat16: a net convolution, not in T's finest scale.

    Only convolutions of nets have four dimensions; LU factors have two. Every latent inherits the
    rounding of T's finest scale. To 8 significant bits, rounding all nets of a trained model moved
    scores by up to 8.6 nats a picture; rounding all nets except that scale's, by up to 3.4.
    """
    return tensor.ndim == 4 and not name.startswith("T.scales.0.")


def _stored(tensor: Tensor, bits: int | None) -> Tensor:
    """The tensor, or what of it fits into so many significant bits, in bfloat16."""
    value = tensor.detach().cpu()
    return (value if bits is None else _rounded(value, bits).bfloat16()).contiguous()


def _rounded(value: Tensor, bits: int) -> Tensor:
    """The nearest values of so many significant bits: the others would not compress."""
    mantissa, exponent = torch.frexp(value)
    return torch.ldexp((mantissa * 2**bits).round() / 2**bits, exponent)


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a model file whose header `read_info` has accepted.

    Raises:
        CaflowError: (exit 3) the file cannot be read, a value is not finite, or a stored
            permutation is not one.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise CaflowError(
            f"cannot read {str(path)!r}: {' '.join(str(error).split())}",
            "copy the file again",
            EXIT_WEIGHTS,
        ) from error
    for name, tensor in tensors.items():
        _check_values(name, tensor, str(path))
    return tensors


def _check_values(name: str, tensor: Tensor, where: str) -> None:
    if tensor.is_floating_point():
        sound = bool(tensor.isfinite().all())
    elif name.endswith(".permutation"):
        sound = torch.equal(tensor.sort().values, torch.arange(len(tensor)))
    else:
        return
    if not sound:
        what = "values that are not finite" if tensor.is_floating_point() else "no permutation"
        raise CaflowError(
            f"{where!r} holds {what} in {name!r}",
            "download or copy the file again, or pack an earlier state of the run",
            EXIT_WEIGHTS,
        )

"""The header of a safetensors file. It is read and checked before any tensor is read.

A file is 8 bytes n (little-endian), n bytes of JSON, and the tensors' bytes without a gap:

    {"__metadata__": {name: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}, ...}

Whatever the header claims, no more than `MAX_HEADER` bytes are read here, and no memory is taken
for tensors. Source: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import math
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EXIT_WEIGHTS, CaflowError
from .foreign import HEAD, foreign
from .strict_json import strict_json

__all__ = ["MAX_HEADER", "Header", "TensorInfo", "read_header"]

MAX_HEADER = 4 << 20  # bytes; a model of 4,000 tensors has half a MB

_WIDTH = {
    **dict.fromkeys(("BOOL", "I8", "U8"), 1),
    **dict.fromkeys(("BF16", "F16", "I16", "U16"), 2),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F64", "I64", "U64"), 8),
}


@dataclass(frozen=True)
class TensorInfo:
    """The description of a tensor in a file, without its values."""

    dtype: str  # as safetensors spells it: "F32"
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Header:
    """The tensors that a safetensors file claims to hold. The size of the file fits the claim."""

    tensors: dict[str, TensorInfo]  # by name
    metadata: dict[str, str]


def read_header(path: Path) -> Header:
    """Read the header of a safetensors file. The content decides whether it is one, not the suffix.

    Raises:
        CaflowError: (exit 3) there is no such file; it is of another kind, which the message names
            (a pickle is never opened); or it is damaged. A damaged file is cut short, is longer
            than its tensors, has a header that is too large or not strict JSON, or has tensors that
            overlap, leave gaps or do not fit their shapes.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            raise OSError(0, "it is a folder, a pipe or a device")
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            head = file.read(HEAD)
            length = int.from_bytes(head[:8], "little")
            plausible = len(head) > 8 and head[8:9] == b"{" and length < 1 << 40
            if not plausible:
                raise _other(path, head)
            if length > MAX_HEADER:
                raise _damaged(path, f"its header claims {length} bytes, more than {MAX_HEADER}")
            file.seek(8)
            text = file.read(length)
    except FileNotFoundError as error:
        raise CaflowError(
            f"no model file {str(path)!r}", "caflow models list", EXIT_WEIGHTS
        ) from error
    except OSError as error:
        raise CaflowError(
            f"cannot read {str(path)!r}: {error.strerror or error}",
            "name a .safetensors file that you may read",
            EXIT_WEIGHTS,
        ) from error
    if len(text) < length:
        raise _damaged(path, "it ends within its header")
    try:
        return _parse(strict_json(text), size - 8 - length)
    except ValueError as error:
        raise _damaged(path, " ".join(str(error).split())) from error


def _other(path: Path, head: bytes) -> CaflowError:
    if not head:
        return _damaged(path, "it is empty")
    kind = foreign(head)
    if kind is None:
        return _damaged(path, "it begins like none")
    what, hint = kind
    return CaflowError(f"{str(path)!r} is not safetensors: it is a {what}", hint, EXIT_WEIGHTS)


def _damaged(path: Path, reason: str) -> CaflowError:
    return CaflowError(
        f"{str(path)!r} is not a readable safetensors file: {reason}",
        "download or copy the file again",
        EXIT_WEIGHTS,
    )


def _parse(content: Any, room: int) -> Header:
    """Read a header from JSON; its tensors take `room` bytes in all. ValueError if invalid."""
    if not isinstance(content, dict):
        raise ValueError("its header is not a table")
    metadata = content.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise ValueError("its metadata is not a table of texts")
    tensors: dict[str, TensorInfo] = {}
    spans: list[tuple[int, int]] = []
    for name, values in content.items():
        try:
            tensors[name], span = _tensor(values)
        except ValueError as error:
            raise ValueError(f"tensor {name[:80]!r} {error}") from None
        spans.append(span)
    end = 0
    for begin, after in sorted(spans):
        if begin != end:
            raise ValueError(f"its tensors overlap or leave a gap at byte {min(begin, end)}")
        end = after
    if end != room:
        raise ValueError(f"its tensors take {end} bytes, and it holds {room}")
    return Header(tensors, metadata)


def _tensor(values: Any) -> tuple[TensorInfo, tuple[int, int]]:
    if not isinstance(values, dict) or values.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError("is not described by dtype, shape and data_offsets")
    dtype, shape, offsets = values["dtype"], values["shape"], values["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _WIDTH:
        raise ValueError(f"is of dtype {str(dtype)[:20]!r}")
    if not _are_sizes(shape) or len(shape) > 8:
        raise ValueError("has an impossible shape")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ValueError("has impossible offsets")
    begin, end = offsets
    if end - begin != math.prod(shape) * _WIDTH[dtype]:
        raise ValueError(f"of shape {shape} takes {end - begin} bytes")
    return TensorInfo(dtype, tuple(shape)), (begin, end)


def _are_sizes(values: Any) -> bool:
    return isinstance(values, list) and all(
        isinstance(v, int) and not isinstance(v, bool) and 0 <= v < 1 << 63 for v in values
    )

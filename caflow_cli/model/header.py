"""The header of a safetensors file from a stranger, read before any tensor and without torch.

A file is 8 bytes n (little-endian), n bytes of JSON, and the tensors' bytes without a gap:

    {"__metadata__": {name: text}, name: {"dtype", "shape", "data_offsets": [begin, end]}, ...}

The safetensors library checks shapes and offsets against the file's size. It would take 728 MB for
a header of 67 MB, and accepts keys that occur twice; so size and JSON are checked here, first.
Source: https://huggingface.co/docs/safetensors
"""

from __future__ import annotations

import json
import math
import re
import stat
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import EXIT_WEIGHTS, CaflowError

__all__ = ["MAX_HEADER", "TensorInfo", "read_header", "strict_json"]

MAX_HEADER = 4 << 20  # bytes; a model of 4,000 tensors has half a MB
_HEAD = 1024  # bytes by which a kind of file is known


class TensorInfo(NamedTuple):
    """The description of a tensor in a file, without its values."""

    dtype: str  # as safetensors spells it: "F32"
    shape: tuple[int, ...]


def read_header(path: Path) -> tuple[dict[str, TensorInfo], dict[str, str]]:
    """Read the tensors of a safetensors file, by name, and its metadata.

    The content decides whether it is one, not the suffix.

    Raises:
        CaflowError: (exit 3) there is no such file; it is of another kind, which the message names
            (a pickle is never opened); or it is damaged. A damaged file is cut short, is longer
            than its tensors, has a header that is too large or not strict JSON, or has tensors that
            overlap, leave gaps or do not fit their shapes.
    """
    from safetensors import SafetensorError, safe_open

    try:
        if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its writer
            raise OSError(0, "it is a folder, a pipe or a device")
        with path.open("rb") as file:
            head = file.read(_HEAD)
            length = int.from_bytes(head[:8], "little")
            if not (len(head) > 8 and head[8:9] == b"{" and length < 1 << 40):
                raise _other(path, head)
            if length > MAX_HEADER:
                raise _damaged(path, f"its header claims {length} bytes, more than {MAX_HEADER}")
            file.seek(8)
            text = file.read(length)
        if len(text) < length:
            raise _damaged(path, "it ends within its header")
        strict_json(text)
        with safe_open(path, framework="np") as opened:
            slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118
            tensors = {
                n: TensorInfo(s.get_dtype(), tuple(s.get_shape())) for n, s in slices.items()
            }
            return tensors, opened.metadata() or {}
    except FileNotFoundError as error:
        raise CaflowError(
            f"no model file {str(path)!r}", "caflow models list", EXIT_WEIGHTS
        ) from error
    except (OSError, MemoryError) as error:
        raise CaflowError(
            f"cannot read {str(path)!r}: {getattr(error, 'strerror', None) or error}",
            "name a .safetensors file that you may read",
            EXIT_WEIGHTS,
        ) from error
    except (ValueError, SafetensorError) as error:
        raise _damaged(path, " ".join(str(error).split())) from error


def strict_json(text: str | bytes) -> Any:
    """Parse a JSON text (bytes: UTF-8) more strictly than `json.loads`.

    Raises:
        ValueError: It is not JSON, an object has a key twice, a number is not finite, or it is
            nested too deeply for Python.
    """
    try:
        return json.loads(
            text if isinstance(text, str) else text.decode("utf-8"),
            object_pairs_hook=_distinct,
            parse_float=_finite,
            parse_constant=_finite,
        )
    except RecursionError:
        raise ValueError("nested too deeply") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"the key {key[:80]!r} occurs twice")
        values[key] = value
    return values


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:80]} is not a finite number")
    return value


_PICKLE = (
    "pickle, which can run any program when it is opened",
    "where you trust it: CAFlow(config).load_state_dict(torch.load(FILE, weights_only=True)), then "
    "save_pretrained(DIR)",
)
_AGAIN = "download the .safetensors file itself"
# How a file that is not safetensors begins -> (what it is, what to do).
_KINDS: list[tuple[re.Pattern[bytes], tuple[str, str]]] = [
    # The name of a zip's first member stands at byte 30.
    (re.compile(rb"PK\x03\x04.{26}[^\0]*?\.pkl", re.DOTALL), _PICKLE),
    (re.compile(rb"PK\x03\x04|\x1f\x8b"), ("zip or gzip file", "unpack it")),
    # Protocols 2 to 5, then the printable 0 and 1.
    (re.compile(rb"\x80[\x02-\x05]"), _PICKLE),
    (re.compile(rb"\(?[dlt](p\d+)?\n|c[\w.]+\n[\w.]+\n|[\]}]q[\x00-\xff]|\(c[\w.]+\n"), _PICKLE),
    (re.compile(rb"version https://git-lfs"), ("Git LFS pointer", "git lfs pull")),
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE), ("web page", _AGAIN)),
    (re.compile(rb"\s*[{\[]"), ("JSON text", "name the .safetensors file beside it")),
]


def _other(path: Path, head: bytes) -> CaflowError:
    for pattern, (what, hint) in _KINDS:
        if pattern.match(head):
            message = f"{str(path)!r} is not safetensors: it is a {what}"
            return CaflowError(message, hint, EXIT_WEIGHTS)
    return _damaged(path, "it begins like none" if head else "it is empty")


def _damaged(path: Path, reason: str) -> CaflowError:
    # Escaped: what could move a terminal's cursor.
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in reason[:200])
    return CaflowError(
        f"{str(path)!r} is not a readable safetensors file: {text}",
        "download or copy the file again",
        EXIT_WEIGHTS,
    )

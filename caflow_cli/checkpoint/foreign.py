"""The kind of a file that is not safetensors, told by its content, not its name."""

from __future__ import annotations

import re

__all__ = ["HEAD", "foreign"]

HEAD = 1024  # bytes that `foreign` looks at

_PICKLE = (
    "pickle, which can run any program when it is opened",
    "where you trust it: CAFlow(config).load_state_dict(torch.load(FILE, weights_only=True)), then "
    "save_pretrained(DIR)",
)
_ARRAYS = (
    "NumPy file",
    "CAFlow(config).load_state_dict of its arrays as tensors, then save_pretrained(DIR)",
)
_AGAIN = "download the .safetensors file itself"
# How the file begins -> (what it is, what to do).
_KINDS: list[tuple[re.Pattern[bytes], tuple[str, str]]] = [
    # The name of a zip's first member stands at byte 30.
    (re.compile(rb"PK\x03\x04.{26}[^\0]*?\.pkl", re.DOTALL), (f"PyTorch {_PICKLE[0]}", _PICKLE[1])),
    (re.compile(rb"PK\x03\x04.{26}[^\0]*?\.npy", re.DOTALL), _ARRAYS),
    (re.compile(rb"PK\x03\x04"), ("zip archive", "unpack it")),
    (re.compile(rb"\x93NUMPY"), _ARRAYS),
    # Protocols 2 to 5, then the printable 0 and 1.
    (re.compile(rb"\x80[\x02-\x05]"), _PICKLE),
    (re.compile(rb"\(?[dlt](p\d+)?\n|c[\w.]+\n[\w.]+\n|[\]}]q[\x00-\xff]|\(c[\w.]+\n"), _PICKLE),
    (re.compile(rb".{257}ustar", re.DOTALL), ("tar archive", "unpack it")),
    (re.compile(rb"\x1f\x8b"), ("gzip file", "unpack it")),
    (re.compile(rb"\x89HDF\r\n"), ("HDF5 file", _AGAIN)),
    (re.compile(rb"GGUF"), ("GGUF file", _AGAIN)),
    (re.compile(rb"\x89PNG|\xff\xd8\xff|RIFF"), ("picture", _AGAIN)),
    (re.compile(rb"version https://git-lfs"), ("Git LFS pointer", "git lfs pull")),
    (re.compile(rb"\s*<(!doctype|html|\?xml)", re.IGNORECASE), ("web page", _AGAIN)),
    (re.compile(rb"\s*[{\[]"), ("JSON text", "name the .safetensors file beside it")),
]


def foreign(head: bytes) -> tuple[str, str] | None:
    """The kind of file that begins with these bytes, and what to do about it; None if unknown."""
    return next((kind for pattern, kind in _KINDS if pattern.match(head)), None)

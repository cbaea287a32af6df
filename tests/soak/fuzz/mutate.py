"""From a good file to one that is nearly as good."""

from __future__ import annotations

import copy
import json
import random
import struct
import zlib
from collections.abc import Sequence
from typing import Any

__all__ = ["headed", "mutated", "other_json", "other_safetensors", "resealed_png"]

_ENDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 64, 2**31, 2**53, 2**64, 10**30, 0.5, -0.0, 1e308, 1e-320,
    "", "superres", "shared", "../x", "F32", "F64", "\ud800", "x" * 5000, [], {}, [[[]]], [0] * 50,
)  # fmt: skip
_TOKENS = (
    b"../",
    b"\0",
    b"{",
    b"}",
    b"[",
    b'"',
    b"null",
    b"-1",
    b"1e999",
    b"NaN",
    b"true",
    b"\xff",
)


def mutated(seeds: Sequence[bytes], rng: random.Random) -> bytes:
    """One of the seeds, changed in one place to a few."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.choice((1, 1, 1, 2, 3, 8))):
        data = _change(data, seeds, rng)
    return bytes(data)


def _change(data: bytearray, seeds: Sequence[bytes], rng: random.Random) -> bytearray:
    at = rng.randrange(len(data) + 1)
    length = rng.choice((1, 1, 2, 4, 8, 64))
    kind = rng.randrange(8)
    if kind == 0 and at < len(data):
        data[at] ^= 1 << rng.randrange(8)
    elif kind == 1 and at < len(data):
        data[at] = rng.randrange(256)
    elif kind == 2:
        value = rng.choice(_ENDS)
        word = struct.pack(rng.choice("<>") + rng.choice("BHI"), *[0])
        data[at : at + len(word)] = (value & (1 << 8 * len(word)) - 1).to_bytes(
            len(word), rng.choice(("little", "big"))
        )
    elif kind == 3:
        del data[at : at + length]
    elif kind == 4:
        data[at:at] = data[at : at + length] * rng.choice((1, 2, 20))
    elif kind == 5:
        del data[at:]
    elif kind == 6:
        other = rng.choice(seeds)
        start = rng.randrange(len(other) + 1)
        data[at : at + length] = other[start : start + length]
    else:
        data[at:at] = rng.choice(_TOKENS)
    return data


def resealed_png(data: bytes) -> bytes:
    """A PNG with the checksums of its chunks put right, so that what was changed is read."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    out, at = bytearray(data[:8]), 8
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        body = data[at + 4 : at + 8 + length]
        out += data[at : at + 4] + body + struct.pack(">I", zlib.crc32(body))
        at += 12 + length
    return bytes(out)


def other_json(data: bytes, rng: random.Random) -> bytes:
    """A JSON text with one of its values, keys or items changed; other bytes as they are."""
    try:
        value = json.loads(data)
        for _ in range(rng.choice((1, 1, 2))):
            value = _other(value, rng)
        return json.dumps(value).encode(errors="surrogatepass")
    except (ValueError, RecursionError):
        return data


def _other(value: Any, rng: random.Random) -> Any:
    if isinstance(value, str) and value.startswith("{") and rng.random() < 0.9:
        return other_json(value.encode(), rng).decode(errors="replace")
    if not isinstance(value, dict | list) or not value or rng.random() < 0.15:
        return copy.deepcopy(rng.choice(_VALUES))  # what is changed next must not be the table
    keys = list(value) if isinstance(value, dict) else range(len(value))
    key = rng.choice(keys)
    kind = rng.randrange(8)
    if kind == 0:
        del value[key]
    elif kind == 1 and isinstance(value, dict):
        value[str(rng.choice(_VALUES))] = value[key]
    elif kind == 1:
        value += [value[key]] * rng.choice((1, 100))
    elif kind == 2 and isinstance(value[key], int | float):
        value[key] = value[key] * rng.choice((-1, 0, 2, 0.5, 1000))
    else:
        value[key] = _other(value[key], rng)
    return value


def other_safetensors(data: bytes, rng: random.Random) -> bytes:
    """A safetensors file with its header changed as by `other_json`."""
    (length,) = struct.unpack_from("<Q", data.ljust(8, b"\0"))
    if length > len(data) - 8:
        return data
    header = other_json(data[8 : 8 + length], rng)
    return struct.pack("<Q", len(header)) + header + data[8 + length :]


def headed(header: dict[str, Any], tensors: bytes = b"") -> bytes:
    """A safetensors file of that header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors

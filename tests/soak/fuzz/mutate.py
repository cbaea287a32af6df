"""From a good file to one that is nearly as good: no knowledge of formats but for checksums."""

from __future__ import annotations

import json
import random
import struct
import zlib
from collections.abc import Sequence

__all__ = ["mutated", "resealed_png", "resealed_safetensors"]

_ENDS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)
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


def resealed_safetensors(data: bytes) -> bytes:
    """A safetensors file that states the length of its header as it is."""
    end = data.rfind(b"}", 0, 100_000) + 1
    if end < 10:
        return data
    return struct.pack("<Q", end - 8) + data[8:end] + data[end:]


def headed(header: dict, tensors: bytes = b"") -> bytes:
    """A safetensors file of that header."""
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors

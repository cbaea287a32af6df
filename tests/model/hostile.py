"""Model files that nobody should open, and how they are made."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow


class Bomb:
    """A pickle that runs a program when it is opened."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("the-pickle-was-opened",)


def _saved(**options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save({"weights": torch.ones(3), "bomb": Bomb()}, stream, **options)
    return stream.getvalue()


def _arrays(save: Callable[..., None]) -> bytes:
    stream = io.BytesIO()
    save(stream, np.array([Bomb()], dtype=object))
    return stream.getvalue()


def _zip() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("model.safetensors", b"x")
    return stream.getvalue()


FOREIGN = {
    "torch-zip": _saved(),
    "torch-legacy": _saved(_use_new_zipfile_serialization=False),
    **{f"pickle-{protocol}": pickle.dumps({"a": Bomb()}, protocol) for protocol in range(6)},
    "npy": _arrays(np.save),
    "npz": _arrays(np.savez),
    "zip": _zip(),
    "gzip": b"\x1f\x8b\x08" + bytes(100),
    "lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n",
    "html": b"\n<!DOCTYPE html><html><body>Not found</body></html>",
    "json": b'{\n  "schema": 1,\n  "config": {}\n}\n',
    "png": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "empty": b"",
    "zeros": bytes(100),
}


def tensor(shape: list[int], begin: int, end: int, dtype: str = "F32") -> dict[str, Any]:
    """A tensor's description in a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def safetensors(header: Any, data: bytes = b"", length: int | None = None) -> bytes:
    """A file of this header (a value, or its text), whatever it says."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def parts(path: Path) -> tuple[dict[str, Any], bytes]:
    """Header and data of a file."""
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def record(header: dict[str, Any]) -> dict[str, Any]:
    """The config and training record in the header of a model file."""
    return json.loads(header["__metadata__"]["caflow"])


def assert_refused(path, named="", load=CAFlow.load):
    with pytest.raises(CaflowError) as caught:
        load(path)
    error = caught.value
    assert error.exit_code == 3
    assert named in error.message
    assert str(path) in error.message
    for line in (error.message, error.hint):
        assert len(line.splitlines()) == 1
        assert len(line) < 600
    return error

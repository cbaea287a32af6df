"""Storage of decoded pictures, in memory or in a file that is mapped into memory."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import CaflowError
from ..images import atomic_write

__all__ = ["Store"]

_Names = tuple[list[str], list[str]]  # of what was loaded, and of what was skipped
_Shape = tuple[int, ...]


@dataclass(frozen=True)
class Store:
    """Keeps decoded sets: in memory, or, above `limit` bytes, in a mapped file in `folder`.

    The system keeps as much of the file in memory as fits, and processes of one machine share it. A
    file is used again while its source is unchanged, so a resumed run starts at once.

    Args:
        folder: Made when it is needed; None: always in memory.
        limit: Bytes.
    """

    folder: Path | None = None
    limit: int = 0

    def build(
        self,
        name: str,
        shapes: Sequence[_Shape],
        fingerprint: Callable[[], str],
        fill: Callable[[list[torch.Tensor]], _Names],
    ) -> tuple[list[torch.Tensor], _Names]:
        """Create uint8 tensors of these shapes and fill them; also return the result of `fill`."""
        sizes = [math.prod(shape) for shape in shapes]
        if self.folder is None or sum(sizes) <= self.limit:
            tensors = [torch.empty(shape, dtype=torch.uint8) for shape in shapes]
            return tensors, fill(tensors)
        digest = hashlib.sha256(fingerprint().encode()).hexdigest()[:16]
        data, index = (self.folder / f"{name}-{digest}{suffix}" for suffix in (".u8", ".json"))
        try:
            if not (data.exists() and index.exists()):
                self._write(data, index, shapes, fill)
            names, skipped = json.loads(index.read_text(encoding="utf-8"))
            return _map(data, shapes), (names, skipped)
        except OSError as error:
            raise CaflowError(
                f"cannot keep {sum(sizes) / 2**30:.1f} GiB of decoded pictures in "
                f"{str(self.folder)!r}: {error.strerror or error}",
                "free space there, or keep them in memory: --set data_memory_gb=N",
            ) from error

    def _write(
        self,
        data: Path,
        index: Path,
        shapes: Sequence[_Shape],
        fill: Callable[[list[torch.Tensor]], _Names],
    ) -> None:
        data.parent.mkdir(parents=True, exist_ok=True)
        temporary = data.with_name(f".{data.name}.{os.getpid()}.tmp")
        try:
            _reserve(temporary, sum(math.prod(shape) for shape in shapes))
            names = fill(_map(temporary, shapes))
            temporary.replace(data)
            atomic_write(index, json.dumps(names).encode())
        finally:
            temporary.unlink(missing_ok=True)


def _reserve(path: Path, size: int) -> None:
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            # A hole in the file would kill the process that maps it once the disk is full.
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)


def _map(path: Path, shapes: Sequence[_Shape]) -> list[torch.Tensor]:
    sizes = [math.prod(shape) for shape in shapes]
    # `torch.from_file` takes no names that are not UTF-8.
    whole = torch.from_numpy(np.memmap(path, np.uint8, "r+", shape=(sum(sizes),)))
    return [part.view(shape) for part, shape in zip(whole.split(sizes), shapes, strict=True)]

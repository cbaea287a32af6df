"""Numbered paths, and checks of paths that return False on errors, such as of a long name.

`Path.exists` and similar methods raise OSError before Python 3.14. The code that opens the file
reports the reason.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["exists", "is_file", "is_folder", "numbered"]

_Path = str | os.PathLike[str]


def exists(path: _Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: _Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: _Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112


def numbered(path: Path, keep: int) -> list[Path]:
    """The path for each rank: the path itself, or with `_01` and so on before its suffix."""
    if keep == 1:
        return [path]
    digits = max(2, len(str(keep)))
    return [
        path.with_name(f"{path.stem}_{rank:0{digits}d}{path.suffix}") for rank in range(1, keep + 1)
    ]

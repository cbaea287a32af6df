"""Checks of paths that return False on errors, such as a name that is too long.

`Path.exists` and similar methods raise OSError before Python 3.14. The code that opens the file
reports the reason.
"""

from __future__ import annotations

import os

__all__ = ["exists", "is_file", "is_folder"]

_Path = str | os.PathLike[str]


def exists(path: _Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: _Path) -> bool:
    return os.path.isfile(path)  # noqa: PTH113


def is_folder(path: _Path) -> bool:
    return os.path.isdir(path)  # noqa: PTH112

"""Whether the files of a folder are whole, and what a killed process has left there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["leftovers", "problems_in"]


def files_in(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def is_hidden(path: Path, folder: Path) -> bool:
    """Whether its name, or that of a folder around it, says that it is no output."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)


def leftovers(folder: Path) -> list[str]:
    """Hidden files, but for the lock of a run, which stays."""
    return [
        str(path.relative_to(folder))
        for path in sorted(folder.rglob("*"))
        if is_hidden(path, folder) and path.name != ".lock"
    ]


def problems_in(folder: Path) -> list[str]:
    """One line for each visible file that is not whole."""
    found = []
    for path in files_in(folder):
        if is_hidden(path, folder):
            continue
        try:
            _open(path)
        except (OSError, ValueError, SyntaxError, SafetensorError) as error:
            found.append(f"{path.relative_to(folder)} is not whole: {type(error).__name__} {error}")
    for state in folder.glob("state/step-*"):
        names = {path.name for path in state.iterdir()}
        wanted = {"model.safetensors", "ema.safetensors", "optimizer.safetensors", "state.json"}
        if names != wanted:
            found.append(f"{state.name} holds {sorted(names)}")
    return found


def _open(path: Path) -> None:
    if path.suffix == ".safetensors":
        load_file(path)
    elif path.suffix == ".png":
        with Image.open(path) as image:
            image.load()
    elif path.suffix == ".toml":
        tomllib.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".jsonl":
        lines = path.read_text(encoding="utf-8").split("\n")
        for line in lines[:-1]:  # a journal is appended to: its last line may be cut short
            json.loads(line)
    elif path.suffix != ".u8":
        raise ValueError("a file that nothing here writes")

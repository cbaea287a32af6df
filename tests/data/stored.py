"""Sets of images for tests, as folders and as zips."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from caflow_cli.data.examples import Examples, keep, open_split
from caflow_cli.errors import CaflowError
from caflow_cli.images import encode_png

kinds = pytest.mark.parametrize("kind", ["folder", "zip"])


def flat(value: int, height: int = 8, width: int | None = None) -> bytes:
    """A PNG of one gray, square unless it has a width of its own."""
    return encode_png(np.full((height, width or height, 3), value, np.uint8))


def pairs(split: str, count: int, first: int = 0) -> dict[str, bytes]:
    """So many pairs in `A/` and `B/` of a folder; each target is 100 levels above its condition."""
    names = range(first, first + count)
    return {f"{split}A/{i:03}.png": flat(i) for i in names} | {
        f"{split}B/{i:03}.png": flat(100 + i) for i in names
    }


def store(where: Path, files: dict[str, bytes], kind: str = "zip") -> Path:
    """The files as a folder or as a zip, in the place of an older one."""
    if kind == "folder":
        root = where / "data"
        root.mkdir()
        for name, data in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(data)
        return root
    path = where / "data.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def load(
    path: str | Path, split: Any = "train", size: int | None = 8, most: float = 1e9, **options: Any
) -> tuple[Examples, list[list[np.ndarray]]]:
    """The examples of a split, and all of their images."""
    with open_split(path, split, size, **options) as opened:
        examples = keep(opened, most, str(path))
        return examples, [examples.read(row) for row in range(len(examples))]


def names(path: str | Path, split: Any = "train", **options: Any) -> list[str]:
    return load(path, split, **options)[0].names


def values(path: str | Path, split: Any = "train", **options: Any) -> list[list[int]]:
    """The first value of every image of every example."""
    return [[int(i[0, 0, 0]) for i in images] for images in load(path, split, **options)[1]]


def refusal(path: str | Path, split: Any = "train", **options: Any) -> CaflowError:
    with pytest.raises(CaflowError) as caught:
        load(path, split, **options)
    assert caught.value.hint
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value

"""Images and masks, made from nothing, as files."""

from pathlib import Path

import numpy as np
from PIL import Image

# 8x8, and without symmetry.
PHOTO = (
    np.add.outer(np.arange(8) * 20, np.arange(8) * 12)[..., None] + np.array([10, 40, 0])
).astype(np.uint8)
ALPHA = np.tile(np.array([0, 0, 60, 200, 255, 255, 255, 255], np.uint8), (8, 1))


def save(path: Path, height: int, width: int, seed: int = 0) -> Path:
    """A colorful ramp with a little noise."""
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, 3))
    values = (rows * 3 + columns)[..., None] + [20, 40, 60] + noise
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)
    return path


def save_mask(path: Path, height: int, width: int) -> Path:
    """A mask that is white in a sixteenth of the image."""
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


def pixels(path: str | Path) -> np.ndarray:
    """uint8 (H, W, 3)."""
    return np.asarray(Image.open(path).convert("RGB"))


def touch(*names: str | Path, data: bytes = b"") -> None:
    """Write files, and the folders that they are in."""
    for name in names:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)

"""Folders of small images that comparisons take."""

from pathlib import Path

import numpy as np
from helpers import smooth_image

from caflow_cli.images import read_image, write_png


def fill(folder: Path, seed: int, names=("a", "b", "c"), size=24) -> Path:
    images = smooth_image(len(names), 3, size, seed).permute(0, 2, 3, 1).numpy()
    for name, image in zip(names, images, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write_png(folder / f"{name}.png", image)
    return folder


def rmse(a: Path, b: Path) -> float:
    x, y = (read_image(p).astype(float) for p in (a, b))
    return float(np.sqrt(np.mean((x - y) ** 2)))

"""A faded photograph with two cracks across it."""

import numpy as np

from caflow_cli.assets import example_path
from caflow_cli.images import read_image


def faded() -> np.ndarray:
    """The cat as an old print: uint8 (192, 192, 3)."""
    return (read_image(example_path("cat_192")) * 0.5 + 60).astype(np.uint8)


def cracked() -> tuple[np.ndarray, np.ndarray]:
    """The same with light cracks, and where they are."""
    damage = np.zeros((192, 192), bool)
    for x in range(192):
        y = 60 + x // 5 + round(4 * np.sin(x / 9) + 2 * np.sin(x / 3.1))
        damage[y : y + 2 + x // 13 % 2, x] = True
    for y in range(110):
        x = 120 - y // 3 + round(2 * np.sin(y / 6))
        damage[y, x : x + 2] = True
    return np.where(damage[..., None], np.uint8([250, 246, 238]), faded()), damage

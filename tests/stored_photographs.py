"""Photographs of any size in memory, for tests of what learns from them."""

from __future__ import annotations

import numpy as np
import torch

from caflow_cli.data import Photographs


def photographs(sizes: list[tuple[int, int]], seed: int = 0) -> Photographs:
    """Noise of these heights and widths."""
    generator = np.random.default_rng(seed)
    pictures = [generator.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in sizes]
    ends = np.cumsum([picture.size for picture in pictures]).tolist()
    places = [[end - p.size, *p.shape[:2]] for end, p in zip(ends, pictures, strict=True)]
    pixels = torch.from_numpy(np.concatenate([picture.ravel() for picture in pictures]))
    return Photographs(pixels, torch.tensor(places), [f"{k}.png" for k in range(len(sizes))])

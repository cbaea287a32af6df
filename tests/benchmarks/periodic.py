#!/usr/bin/env python3
"""How much of the fine detail of images repeats every 2, 4 or 8 pixels, as a network's grid does.

    python tests/benchmarks/periodic.py results/

Prints the share of each period along x and y: the ratio of two means over the images.
"""

from __future__ import annotations

import sys

import numpy as np
import torch.nn.functional as F

from caflow_cli.data.examples import open_split
from caflow_cli.images import Pixels, in_8_bits
from caflow_cli.restoration import to_batch

BLOCK = 56  # pixels, seven periods of 8
PERIODS = (2, 4, 8)


def periodic(image: Pixels, axis: int, period: int) -> tuple[float, float]:
    """The energy of fine detail that repeats every `period` pixels along an axis, and that of all.

        h = x - its mean over 5×5 pixels
        m_p = mean_k h[p + period k] along the axis, less its mean over the phases p

    m_p is taken of blocks of 56×56 pixels, over all lines across the axis. The two energies are the
    mean of m_p² over phases, blocks and channels, and the mean of h². By chance the ratio of the
    two is (period - 1) / 56², at most 0.2 %.

    Args:
        image: (H, W, 3), of 60 pixels or more a side.
        axis: 0 for y, 1 for x.
        period: A divisor of 56.
    """
    x = to_batch([image]).double().movedim(axis + 2, 3)
    fine = x[..., 2:-2, 2:-2] - F.avg_pool2d(x, 5, stride=1)
    step = BLOCK // 2
    blocks = fine.unfold(2, BLOCK, step).unfold(3, BLOCK, step)
    profiles = blocks.mean(dim=4)  # across the axis
    of_phases = profiles.unflatten(4, (BLOCK // period, period)).mean(dim=4)
    apart = of_phases - of_phases.mean(dim=4, keepdim=True)
    return apart.square().mean().item(), fine.square().mean().item()


def main() -> None:
    energies: dict[str, list[tuple[float, float]]] = {}
    with open_split(sys.argv[1], "all") as reader:
        for index in range(len(reader)):
            image = in_8_bits(reader.read(index)[-1])
            if min(image.shape[:2]) >= BLOCK + 4:
                for axis, name in enumerate("yx"):
                    for period in PERIODS:
                        found = periodic(image, axis, period)
                        energies.setdefault(f"{name}{period}", []).append(found)
    for name, pairs in energies.items():
        repeated, everything = np.mean(pairs, 0)
        print(f"{name}  {repeated / everything:.4f}")


if __name__ == "__main__":
    main()

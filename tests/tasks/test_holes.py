"""Holes of training: of every kind, of any size, and repeatable."""

import math

import numpy as np
import torch

from caflow_cli.tasks.holes import central_hole, draw_from_masks, draw_hole


def test_random_holes_are_of_three_kinds_and_never_empty():
    generator = torch.Generator().manual_seed(0)
    mixed = [draw_hole("mixed", 64, 64, generator) for _ in range(600)]
    shares = np.array([hole.mean() for hole in mixed])
    assert shares.min() > 0
    assert shares.max() < 0.95
    assert central_hole(64, 64).mean() == central_hole(64, 64)[16:48, 16:48].all() / 4
    central = np.array([np.array_equal(hole, central_hole(64, 64)) for hole in mixed])
    assert 0.42 < central.mean() < 0.58
    solid = np.array([_is_rectangle(hole) for hole in mixed])
    assert 0.04 < (solid & ~central).mean() < 0.2  # one rectangle alone
    rest = [hole for hole, s in zip(mixed, solid, strict=True) if not s]
    assert len(rest) > 150
    random = [draw_hole("random", 64, 64, generator) for _ in range(100)]
    assert not any(np.array_equal(hole, central_hole(64, 64)) for hole in random)
    everywhere = np.mean(mixed, axis=0)
    assert everywhere[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 0  # corners too


def _is_rectangle(hole: np.ndarray) -> bool:
    rows, columns = hole.any(1), hole.any(0)
    return bool(np.array_equal(hole, rows[:, None] & columns[None]))


def test_a_hole_takes_equally_many_numbers_whatever_it_is_and_fits_every_image():
    after = set()
    for kind in ("mixed", "central", "random"):
        generator = torch.Generator().manual_seed(4)
        for height, width in ((16, 16), (8, 40), (32, 16)):
            holes = [draw_hole(kind, height, width, generator) for _ in range(20)]
            assert all(hole.shape == (height, width) and hole.any() for hole in holes)
        after.add(float(torch.rand((), generator=generator)))
    assert len(after) == 1


def damage() -> list[np.ndarray]:
    """Masks: a line of three pixels' width, a dot, and one that is white all over."""
    line, dot = np.zeros((60, 90), np.bool_), np.zeros((40, 40), np.bool_)
    line[30:33] = True
    dot[20, 20] = True
    return [line, dot, np.ones((50, 50), np.bool_)]


def test_parts_of_masks_lie_everywhere_turned_and_scaled():
    generator = torch.Generator().manual_seed(0)
    masks = damage()[:1]
    holes = [draw_from_masks(masks, 1.0, "central", 32, 32, generator) for _ in range(400)]
    assert min(hole.sum() for hole in holes) > 0
    assert np.mean(holes, axis=0).min() > 0
    widths, angles = [], []
    for hole in holes:
        y, x = np.nonzero(hole)
        if len(y) < 30:
            continue  # a corner of the line
        spread = np.linalg.eigh(np.cov(np.stack([y, x])))
        widths.append(math.sqrt(12 * spread.eigenvalues[0]))
        angles.append(math.atan2(*spread.eigenvectors[:, 1]) % math.pi)
    assert min(widths) < 2.9  # three pixels, 0.75 to 2 times
    assert 5 < np.quantile(widths, 0.9) < 6.5
    assert np.histogram(angles, 4, (0, math.pi))[0].min() > 0.12 * len(angles)


def test_a_share_of_the_holes_are_parts_of_masks_and_large_ones_are_drawn_otherwise():
    generator = torch.Generator().manual_seed(1)
    masks = damage()[1:2]
    holes = [draw_from_masks(masks, 0.3, "central", 32, 32, generator) for _ in range(400)]
    small = np.mean([hole.sum() <= 9 for hole in holes])
    assert 0.23 < small < 0.37
    assert all(hole.sum() <= 9 or np.array_equal(hole, central_hole(32, 32)) for hole in holes)
    masks = damage()[2:]
    holes = [draw_from_masks(masks, 1.0, "central", 16, 16, generator) for _ in range(50)]
    assert all(hole.mean() <= 0.4 for hole in holes)

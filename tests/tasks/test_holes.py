"""Holes of training: of every kind, of any size, and repeatable."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image

from caflow_cli.tasks.holes import central_hole, draw_hole


def test_the_central_hole_is_a_quarter():
    hole = central_hole(64, 64)
    assert hole.mean() == 0.25
    assert hole[16:48, 16:48].all()


def test_random_holes_are_of_three_kinds_and_never_empty():
    generator = torch.Generator().manual_seed(0)
    mixed = [draw_hole("mixed", 64, 64, generator) for _ in range(600)]
    shares = np.array([hole.mean() for hole in mixed])
    assert shares.min() > 0
    assert shares.max() < 0.95
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


def test_a_hole_takes_equally_many_numbers_whatever_it_is():
    after = []
    for kind in ("mixed", "central", "random"):
        generator = torch.Generator().manual_seed(4)
        draw_hole(kind, 64, 64, generator)
        after.append(float(torch.rand((), generator=generator)))
    assert len(set(after)) == 1


def test_holes_fit_small_and_oblong_pictures():
    generator = torch.Generator().manual_seed(1)
    for height, width in ((16, 16), (8, 40), (32, 16)):
        for _ in range(30):
            hole = draw_hole("mixed", height, width, generator)
            assert hole.shape == (height, width)
            assert hole.any()
    assert Image.fromarray(hole).size == (16, 32)

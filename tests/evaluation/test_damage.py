from __future__ import annotations

import hashlib

import numpy as np
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.damage import damage, mask_of


def scratch(height: int, width: int) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[1, ::2] = 255
    return mask


def test_masks_are_spread_over_the_whole_set():
    assert [mask_of(k, 5, 5) for k in range(5)] == [0, 1, 2, 3, 4]
    assert [mask_of(k, 5, 3) for k in range(5)] == [0, 1, 2, 0, 1]
    assert [mask_of(k, 4, 100) for k in range(4)] == [0, 25, 50, 75]


def test_a_mask_is_tiled_and_cut_from_a_corner_that_is_always_the_same():
    mask = scratch(7, 10)
    found = damage(mask, 30, 45, 3, 8)
    assert found.shape == (30, 45)
    assert set(np.unique(found)) == {0, 255}
    assert np.array_equal(found[7:], found[:-7])
    assert np.array_equal(found[:, 10:], found[:, :-10])
    assert np.array_equal(found, damage(np.dstack([mask] * 3), 30, 45, 3, 8))
    corners = {damage(mask, 30, 45, seed, k).tobytes() for seed in (0, 1) for k in range(6)}
    assert len(corners) > 4


def test_the_corner_follows_from_sha256_of_seed_and_place():
    mask = np.zeros((7, 10), np.uint8)
    mask[4, 6] = 255
    # Eight bytes of the digest each, modulo the mask's sides.
    digest = int(hashlib.sha256(b"3:8").hexdigest(), 16)
    top, left = (digest >> 192) % 7, (digest >> 128 & 2**64 - 1) % 10
    ((row, column),) = np.argwhere(damage(mask, 7, 10, 3, 8))
    assert ((top + row) % 7, (left + column) % 10) == (4, 6)
    assert (row, column) == (3, 2)


def test_no_part_is_without_a_hole():
    mask = np.zeros((400, 400), np.uint8)
    mask[17, 300] = 128
    for index in range(5):
        found = damage(mask, 20, 30, 0, index)
        assert (found > 0).sum() == 1
    with pytest.raises(CaflowError, match="nothing in it is white"):
        damage(np.full((9, 9), 127, np.uint8), 5, 5, 0, 0)

"""Tiles: they cover a picture with even overlaps, and their shares of it sum to one."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.inference.tiling import check_size, plan_tiles


@pytest.mark.parametrize("length", [16, 224, 240, 256, 512, 1040, 4096, 8176])
@pytest.mark.parametrize("side", [224, 1024])
def test_tiles_cover_with_even_overlaps(length, side):
    tiles = plan_tiles((length, 48), 16, side)
    tops = tiles.tops
    assert tops[0] == 0
    assert tops[-1] + tiles.shape[0] == length
    assert all(top % 32 == 0 for top in tops)  # as coarse as what a trunk pools
    overlaps = [before + tiles.shape[0] - after for before, after in pairwise(tops)]
    assert all(overlap >= 192 for overlap in overlaps)
    assert max(overlaps, default=192) < 192 + 4 * 16
    if len(tops) > 1:  # neither fewer tiles nor smaller ones would do
        assert tiles.shape[0] <= side + 2 * 16
        assert (len(tops) - 1) * (side - 192) < length - 192
        assert len(tops) * (tiles.shape[0] - 3 * 16 - 192) < length - 192
    assert tiles.lefts == (0,)
    total = np.zeros(length)
    for top, weight in zip(tops, tiles.row_weights(), strict=True):
        total[top : top + tiles.shape[0]] += weight
        assert weight.min() >= 0
        if top > 0:
            assert not weight[:80].any()  # where the tile's own border shows
    np.testing.assert_allclose(total, 1, atol=1e-6)
    np.testing.assert_array_equal(tiles.column_weights(), [np.ones(48)])


def test_two_tiles_share_their_overlap_evenly():
    """A ramp about the middle: the weight of one, from its edge, is that of the other from its."""
    tiles = plan_tiles((1000 // 16 * 16, 48), 16, 512)
    rows = tiles.row_weights()
    assert len(rows) > 1
    for (top, one), (after, other) in pairwise(zip(tiles.tops, rows, strict=True)):
        overlap = top + len(one) - after
        np.testing.assert_array_equal(one[-overlap:], other[:overlap][::-1])
        assert 0 < one[-overlap // 2] < 1


def test_a_tile_holds_the_same_part_of_a_picture_and_of_its_rows_of_latents():
    tiles = plan_tiles((272, 400), 16, 256)
    assert len(tiles) == 2 * 4
    rows, columns = torch.meshgrid(torch.arange(272), torch.arange(400), indexing="ij")
    picture = torch.stack([rows, columns])[None].float()
    latent = picture[0, :, ::8, ::8]
    for corner in tiles:
        (top, left), height = corner, tiles.shape[0]
        band = latent[:, top // 8 : (top + height) // 8]
        part, z = tiles.cut(picture, corner), tiles.cut_latent(band, left)
        assert part.shape == (1, 2, *tiles.shape)
        assert tuple(part[0, :, 0, 0].int().tolist()) == corner
        assert torch.equal(z, part[..., ::8, ::8])


@pytest.mark.parametrize("multiple", [128, 512, 2048])
def test_tiles_of_models_of_many_scales_are_larger(multiple):
    tiles = plan_tiles((2 * 8192, 8192), multiple)
    assert tiles.tops[-1] + tiles.shape[0] == 2 * 8192
    assert tiles.lefts[-1] + tiles.shape[1] == 8192
    assert all(after < before + tiles.shape[0] for before, after in pairwise(tiles.tops))


def test_places_are_spread_over_the_picture():
    cond = torch.arange(2048)[None, None, None, :].expand(1, 1, 320, 2048).float()
    places = plan_tiles((320, 2048), 16, 256).places(cond)
    assert places.shape == (4, 1, 256, 256)
    assert places[:, 0, 0, 0].tolist() == [0, 576, 1184, 1792]
    assert plan_tiles((48, 64), 16).places(cond[..., :48, :64]).shape == (1, 1, 48, 64)


def test_what_fits_into_memory_is_one_piece():
    assert len(plan_tiles((1024, 2048), 16)) == 1
    assert len(plan_tiles((1024, 2064), 16)) > 1


def test_more_than_anybody_waits_for_is_refused():
    check_size((8192, 8192))
    with pytest.raises(CaflowError, match="16000×12000, 192 megapixels: more than 67") as caught:
        check_size((12000, 16000))
    assert caught.value.hint == (
        "crop the picture into 3 parts or more; or shrink its sides 1.7 times before (--scale "
        "changes only the size of what is written)"
    )
    with pytest.raises(CaflowError):
        check_size((8192, 8193))


def test_tiles_are_found_by_what_they_see_and_by_what_they_overlap():
    tiles = plan_tiles((208, 1040), 16, 224)
    assert tiles.tops == (0,)
    assert len(tiles.lefts) > 4
    cells = torch.zeros(13, 65, dtype=torch.bool)
    cells[3, tiles.lefts[-1] // 16 + tiles.shape[1] // 16 - 1] = True  # at the right end
    assert tiles.touching(cells, 16) == [(0, tiles.lefts[-1])]
    near = [left for left in tiles.lefts if left > tiles.lefts[-1] - tiles.shape[1]]
    assert tiles.overlapping([(0, tiles.lefts[-1])]) == [(0, left) for left in near]
    assert len(near) < len(tiles)
    assert not tiles.touching(torch.zeros_like(cells), 16)

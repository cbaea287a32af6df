"""Sets of masks: any size, white and black, as they are in the files."""

from __future__ import annotations

import numpy as np
import pytest

from caflow_cli.data import load_masks
from caflow_cli.errors import CaflowError
from caflow_cli.images import encode_png

from .stored import flat, kinds, store


def mask(height: int, width: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((height, width)) < 0.3


def png(white: np.ndarray) -> bytes:
    return encode_png(np.where(white, 255, 0).astype(np.uint8)[..., None].repeat(3, axis=-1))


SIZES = [(7, 9), (16, 16), (5, 31)]


@kinds
def test_masks_of_any_size_come_back_and_black_ones_are_left_out(tmp_path, kind):
    files = {f"train/{k}.png": png(mask(*size, k)) for k, size in enumerate(SIZES)}
    files |= {"train/9.png": flat(127), "val/a.png": flat(128), "test/a.png": flat(255)}
    path = store(tmp_path, files, kind)
    found = load_masks(path, "train")
    assert len(found) == 3
    for k, size in enumerate(SIZES):
        assert found[k].dtype == np.bool_
        np.testing.assert_array_equal(found[k], mask(*size, k))
    assert load_masks(path, "val")[0].all()


def test_some_are_held_out_for_validation(tmp_path):
    path = store(tmp_path, {f"{k}.png": flat(255, 3 + k) for k in range(9)}, "folder")
    sides = {split: {m.shape[0] for m in load_masks(path, split)} for split in ("train", "val")}
    assert len(sides["train"]) == 7
    assert len(sides["val"] - sides["train"]) == 1


def test_what_is_no_set_of_masks_is_one_error(tmp_path):
    black = store(
        tmp_path, {f"{split}/0.png": flat(0) for split in ("train", "val", "test")}, "zip"
    )
    for path, said in ((black, "nothing is white"), (tmp_path / "none", "no data at")):
        with pytest.raises(CaflowError, match=f"^masks: {said}") as caught:
            load_masks(path, "train")
        assert "--data" not in caught.value.hint

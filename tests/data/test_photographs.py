"""Sets of pictures of any size: whole, in order, in memory or mapped."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.data import Store, load_photograph_pairs, load_photographs
from caflow_cli.errors import CaflowError
from caflow_cli.images import encode_png

from .stored import flat, kinds, picture, store

SIZES = [(9, 30), (8, 8), (21, 12), (40, 11)]


def files(sizes=SIZES):
    found = {f"train/{k}.png": encode_png(picture(*size, seed=k)) for k, size in enumerate(sizes)}
    return found | {"val/a.png": flat(0, 10, 14), "test/a.png": flat(0)}


@kinds
def test_every_picture_is_kept_whole(tmp_path, kind):
    path = store(tmp_path, files(), kind)
    found = load_photographs(path, "train", 8)
    assert found.names == ["0.png", "1.png", "2.png", "3.png"]
    assert len(found) == 4
    for index, size in enumerate(SIZES):
        assert found[index].shape == (3, *size)
        np.testing.assert_array_equal(
            found[index].permute(1, 2, 0).numpy(), picture(*size, seed=index)
        )
    assert found.pixels.nbytes == 3 * sum(h * w for h, w in SIZES)
    assert load_photographs(path, "val", 8)[0].shape == (3, 10, 14)
    assert load_photographs(path, "train", 8, limit=2).names == ["0.png", "2.png"]


def pairs(sizes, others=None):
    found = {f"train/A/{k}.png": encode_png(picture(*s, seed=k)) for k, s in enumerate(sizes)}
    others = {
        f"train/B/{k}.png": encode_png(picture(*s, seed=9 - k))
        for k, s in enumerate(others or sizes)
    }
    return found | others | {f"{s}/{side}/0.png": flat(0) for s in ("val", "test") for side in "AB"}


@kinds
@pytest.mark.parametrize("bound", [None, 0])
def test_pairs_are_kept_whole(tmp_path, kind, bound):
    cache = Store() if bound is None else Store(tmp_path / "cache", bound)
    path = store(tmp_path, pairs(SIZES), kind)
    conditions, targets = load_photograph_pairs(path, "train", 8, store=cache)
    assert conditions.names == targets.names == ["0", "1", "2", "3"]
    for index, size in enumerate(SIZES):
        for found, seed in ((conditions, index), (targets, 9 - index)):
            np.testing.assert_array_equal(
                found[index].permute(1, 2, 0).numpy(), picture(*size, seed=seed)
            )


def test_the_pictures_of_a_pair_have_one_size(tmp_path):
    path = store(tmp_path, pairs([(16, 32)], [(8, 16)]), "folder")
    with pytest.raises(CaflowError, match="the pair '0' are 32x16 and 16x8") as caught:
        load_photograph_pairs(path, "train", 8)
    assert "--crop whole" in caught.value.hint


def test_a_large_set_is_decoded_once_and_mapped(tmp_path, monkeypatch):
    broken = {f"train/b{k:03}.png": flat(k) for k in range(120)} | {"train/b007.png": b"none"}
    path = store(tmp_path, files() | broken, "zip")
    memory = load_photographs(path, "train", 8)
    kept = Store(tmp_path / "cache")
    assert memory.skipped == ["b007.png"]
    assert load_photographs(path, "train", 8, store=kept).names == memory.names
    monkeypatch.setattr(
        "caflow_cli.data.photographs.decode_examples", lambda *_: pytest.fail("decoded again")
    )
    mapped = load_photographs(path, "train", 8, store=kept)
    assert (mapped.names, mapped.skipped) == (memory.names, memory.skipped)
    for index in range(len(memory)):
        assert torch.equal(mapped[index], memory[index])


def test_a_smaller_picture_is_named(tmp_path):
    path = store(tmp_path, files([(30, 30), (7, 30)]), "zip")
    with pytest.raises(CaflowError, match=r"'train/1.png' is 30x7, smaller than 8x8") as caught:
        load_photographs(path, "train", 8)
    assert "at most 7" in caught.value.hint


def test_a_turned_picture_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    stream = io.BytesIO()
    Image.fromarray(picture(10, 24)).save(stream, "PNG", exif=exif)
    path = store(tmp_path, files() | {"train/t.png": stream.getvalue()}, "zip")
    found = load_photographs(path, "train", 8)
    upright = np.rot90(picture(10, 24), -1)
    np.testing.assert_array_equal(found[4].permute(1, 2, 0).numpy(), upright)


@pytest.mark.parametrize("turned", [True, False])
def test_a_pair_may_be_turned_by_its_exif_alone(tmp_path, turned):
    exif, stream = Image.Exif(), io.BytesIO()
    if turned:
        exif[0x0112] = 6
    Image.fromarray(picture(10, 24)).save(stream, "PNG", exif=exif)
    set_of_one = pairs([(24, 10)], [(24, 10)]) | {"train/A/0.png": stream.getvalue()}
    path = store(tmp_path, set_of_one, "zip")
    if not turned:
        with pytest.raises(CaflowError, match="is 24x10"):
            load_photograph_pairs(path, "train", 8)
        return
    conditions, targets = load_photograph_pairs(path, "train", 8)
    upright = np.rot90(picture(10, 24), -1)
    np.testing.assert_array_equal(conditions[0].permute(1, 2, 0).numpy(), upright)
    assert targets[0].shape == conditions[0].shape


def test_the_middle_of_each(tmp_path):
    found = load_photographs(store(tmp_path, files(), "zip"), "train", 8)
    middle = found.centres(torch.tensor([0, 3]), 8)
    np.testing.assert_array_equal(middle[0], picture(9, 30).transpose(2, 0, 1)[:, :8, 11:19])
    np.testing.assert_array_equal(
        middle[1], picture(40, 11, seed=3).transpose(2, 0, 1)[:, 16:24, 1:9]
    )

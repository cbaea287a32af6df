"""Decoding: sizes, channels, damaged files, in memory or at each visit."""

from pathlib import Path

import numpy as np
import pytest
from helpers import noise
from PIL import Image

from caflow_cli.data.examples import DamagedError, gray_sides, open_split
from caflow_cli.images import encode_png

from .stored import flat, kinds, load, pairs, refusal, store, values


def one(tmp_path: Path, image: np.ndarray, size: int, **options) -> np.ndarray:
    files = {"train/a.png": encode_png(image), "val/b.png": flat(0), "test/b.png": flat(0)}
    [[found]] = load(store(tmp_path, files), size=size, **options)[1]
    return found


@pytest.mark.parametrize(
    ("height", "width", "box"),
    [(20, 32, (6, 0, 26, 20)), (33, 20, (0, 6, 20, 26)), (24, 24, (0, 0, 24, 24))],
)
def test_other_shapes_are_cropped_and_shrunk(tmp_path, height, width, box):
    image = noise(height, width)
    assert np.array_equal(one(tmp_path, noise(8, 8), 8), noise(8, 8))
    expected = Image.fromarray(image).crop(box).resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(one(tmp_path, image, 16), np.asarray(expected))
    gray = Image.fromarray(image).convert("L").crop(box)
    expected = gray.resize((16, 16), Image.Resampling.LANCZOS)
    found = one(tmp_path, image, 16, channels=(1,))
    np.testing.assert_array_equal(found[..., 0], np.asarray(expected))


@kinds
def test_images_of_any_size_stay_whole(tmp_path, kind):
    sizes = [(9, 30), (8, 8), (21, 12), (40, 11)]
    files = {f"train/{k}.png": encode_png(noise(*s, seed=k)) for k, s in enumerate(sizes)}
    path = store(tmp_path, files | {"val/a.png": flat(0), "test/a.png": flat(0)}, kind)
    for index, [image] in enumerate(load(path, size=None, least=8)[1]):
        np.testing.assert_array_equal(image, noise(*sizes[index], seed=index))
    error = refusal(path, size=None, least=9)
    assert "'train/1.png' is 8x8, smaller than 9x9" in error.message
    assert "at most 8" in error.hint


def test_pairs_of_other_shapes_are_refused_and_of_other_sizes_cropped_alike(tmp_path):
    ends = pairs("val/", 1) | pairs("test/", 1)
    files = pairs("train/", 3) | {"train/A/w.png": flat(0, 8, 12), "train/B/w.png": flat(5, 16, 24)}
    path = store(tmp_path, files | ends)
    assert values(path, role="pairs")[3] == [0, 5]
    error = refusal(path, size=None, least=8, role="pairs")
    assert "the images of the pair 'w' are 12x8 and 24x16" in error.message
    assert "--crop whole" in error.hint
    files["train/B/w.png"] = flat(5, 16, 16)
    error = refusal(store(tmp_path, files | ends), role="pairs")
    assert "12x8" in error.message
    assert "16x16" in error.message


@kinds
def test_few_damaged_images_are_skipped_and_many_are_an_error(tmp_path, kind):
    files = pairs("train/", 110) | pairs("val/", 1) | pairs("test/", 1)
    files["train/B/007.png"] = flat(3)[:40]
    path = store(tmp_path, files, kind)
    for role, name, count in (("pairs", "007", 109), ("images", "B/007.png", 219)):
        examples, images = load(path, role=role)
        assert examples.in_memory
        assert examples.skipped == [name]
        assert len(images) == len(examples) == count
    assert values(path, role="pairs") == [[i, 100 + i] for i in range(110) if i != 7]
    files = {f"train/{i:03}.png": flat(i) for i in range(98)}
    files |= {"train/x.png": b"", "train/y.png": b"no image", "val/a.png": flat(1)}
    (tmp_path / "many").mkdir()
    error = refusal(store(tmp_path / "many", files | {"test/a.png": flat(1)}, kind))
    assert "2 of 100" in error.message
    assert "x.png" in error.message
    assert (error.exit_code, "1 %" in error.hint) == (1, True)


def test_a_large_set_is_decoded_at_each_visit(tmp_path):
    files = pairs("train/", 150) | pairs("val/", 1) | pairs("test/", 1)
    files["train/B/007.png"] = b"no image"
    path = store(tmp_path, files, "folder")
    examples, images = load(path, most=1000, role="pairs")
    assert not examples.in_memory
    assert len(examples) == 150
    # In the place of the damaged one the next is read.
    rows = [8 if i == 7 else i for i in range(150)]
    assert [int(a[0, 0, 0]) for a, _ in images] == rows
    with open_split(path, "train", 8, role="pairs") as opened:
        with pytest.raises(DamagedError, match=r"B/007\.png"):
            opened.read(7)
        (path / "train/A/003.png").write_bytes(flat(77))
        assert opened.read(3)[0][0, 0, 0] == 77


def test_gray_conditions_ask_for_one_channel(tmp_path):
    color = np.full((8, 8, 3), 7, np.uint8)
    color[3, 3, 0] = 8
    files = pairs("train/", 100) | pairs("val/", 1) | pairs("test/", 1)
    damaged = {f"train/A/{index:03}.png": b"no image" for index in range(3)}
    assert gray_sides(str(store(tmp_path, files | damaged)))[0]
    late = {f"train/A/{index:03}.png": encode_png(color) for index in range(60, 100)}
    assert gray_sides(str(store(tmp_path, files | late))) == (False, True)

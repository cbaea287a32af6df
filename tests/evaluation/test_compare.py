"""Folders, zips and images against truths."""

import zipfile

import numpy as np
import pytest
from evaluation.folders import fill, rmse
from evaluation.random_features import LABEL, QUICK
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import compare
from caflow_cli.images import in_8_bits, write_png

FID = f"fid:{LABEL}"
EXACT = ("rmse", "psnr", "ssim")


def refusal(*arguments, **options) -> CaflowError:
    with pytest.raises(CaflowError) as caught:
        compare(*arguments, **options)
    return caught.value


def test_folders_are_paired_by_path_whatever_the_suffix(tmp_path):
    names = ("a", "sub/b", "sub/c")
    made, true = fill(tmp_path / "made", 1, names), fill(tmp_path / "true", 2, names)
    expected = [rmse(made / f"{n}.png", true / f"{n}.png") for n in names]
    # As a zip, and one of them as another lossless format.
    Image.open(made / "a.png").save(made / "a.webp", lossless=True)
    (made / "a.png").unlink()
    archive = tmp_path / "true.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in true.rglob("*.png"):
            file.write(path, path.relative_to(true))
    found = compare(made, archive, EXACT)
    (result,) = found.results
    assert found.images == 3
    assert result.values["rmse"].mean == pytest.approx(np.mean(expected))
    assert result.values["rmse"].standard_error == pytest.approx(np.std(expected, ddof=1) / 3**0.5)
    same = compare(true, archive, EXACT).results[0].values
    assert (same["rmse"].mean, same["psnr"].mean) == (0.0, float("inf"))
    assert same["ssim"].mean == pytest.approx(1)


def test_16_bits_are_compared_if_all_have_them(tmp_path):
    pytest.importorskip("imagecodecs")
    deep = np.random.default_rng(1).integers(0, 65536, (2, 12, 12, 3), dtype=np.uint16)
    deep[1] = deep[0] ^ 64
    for name, image in (("a", deep[0]), ("b", deep[1]), ("c", in_8_bits(deep[1]))):
        write_png(tmp_path / f"{name}.png", image)
    found = compare(tmp_path / "a.png", tmp_path / "b.png", ["rmse"]).results[0]
    assert found.values["rmse"].mean == pytest.approx(64 / 256)
    found = compare(tmp_path / "c.png", tmp_path / "b.png", ["rmse"]).results[0]
    assert found.values["rmse"].mean == 0


def test_results_belong_to_what_they_were_made_of(tmp_path):
    made = fill(tmp_path / "made", 1, ("a_superres_01", "a_superres_02", "sub/b_inpaint", "c"))
    true = fill(tmp_path / "true", 2, ("a", "sub/b", "c"))
    pairs = [("a_superres_01", "a"), ("a_superres_02", "a"), ("sub/b_inpaint", "sub/b"), ("c", "c")]
    values = [rmse(made / f"{x}.png", true / f"{y}.png") for x, y in pairs]
    (result,) = compare(made, true, ["rmse"]).results
    assert result.values["rmse"].count == 3
    assert result.values["rmse"].mean == pytest.approx(np.mean([np.mean(values[:2]), *values[2:]]))
    # Names that both sets have mean what they meant.
    whole = fill(tmp_path / "whole", 2, ("a", "a_superres"))
    assert compare(whole, whole, ["rmse"]).results[0].values["rmse"].mean == 0
    fill(made, 3, ("a",))
    error = refusal(made, true, ["rmse"])
    assert (error.exit_code, error.hint.split(",")[0]) == (2, "give a folder with results only")
    assert "has both 'a' and results" in error.message


def test_what_does_not_match_is_refused_by_name(tmp_path):
    made, true = fill(tmp_path / "made", 1), fill(tmp_path / "true", 2, ("a", "b", "d", "e"))
    error = refusal(made, true, ["rmse"])
    assert error.exit_code == 2
    assert error.message == "3 images have no match in the other set, such as c, d, e"
    (tmp_path / "empty").mkdir()
    assert "no images in" in refusal(tmp_path / "empty", true, ["rmse"]).message
    assert "no data at" in refusal(tmp_path / "none", true, ["rmse"]).message


def test_images_of_a_pair_have_one_size(tmp_path):
    made, true = fill(tmp_path / "made", 1), fill(tmp_path / "true", 2)
    write_png(made / "b.png", np.full((32, 40, 3), 9, np.uint8))
    error = refusal(made, true, ["rmse"])
    assert (error.exit_code, error.message) == (2, "'b' is 40x32, its reference 24x24")


def test_a_damaged_image_is_named_once_and_the_rest_counts(tmp_path):
    made, true = fill(tmp_path / "made", 1), fill(tmp_path / "true", 2)
    without = compare(made, true, ["rmse"]).results[0].values["rmse"].mean
    (made / "b.png").write_bytes(b"no image")
    found = compare(made, true, ["rmse", "fid"], weights=QUICK)
    assert list(found.failed) == ["b"]
    assert found.results[0].values["rmse"].count == 2
    kept = [rmse(made / f"{n}.png", true / f"{n}.png") for n in "ac"]
    assert found.results[0].values["rmse"].mean == pytest.approx(np.mean(kept))
    assert without != pytest.approx(np.mean(kept))
    for name in "ac":
        (made / f"{name}.png").write_bytes(b"")
    assert "nothing could be measured" in refusal(made, true, ["rmse"]).message


def test_sets_are_compared_as_a_whole(tmp_path):
    made = fill(tmp_path / "made", 1, tuple(f"{i}" for i in range(8)))
    true = fill(tmp_path / "true", 2, tuple(f"{i}" for i in range(6)))
    done = []
    shared = {"weights": QUICK, "progress": lambda *one: done.append(one)}
    found = compare(made, true, ["fid", "kid"], **shared)
    (result,) = found.results
    assert result.values[FID].mean > 0
    assert (result.values[FID].count, done[-1]) == (8, (14, 14))
    assert f"kid:{LABEL}_subset_deviation" in result.extra
    assert any("few" in note for note in found.notes)
    same = compare(true, true, ["fid"], weights=QUICK).results[0].values[FID].mean
    assert abs(same) < 1e-6 * result.values[FID].mean
    (made / "0.png").write_bytes(b"no image")
    assert list(compare(made, true, "fid", weights=QUICK).failed) == ["0"]
    alone = fill(tmp_path / "alone", 1, ("a",))
    assert "a set has 1 images" in refusal(alone, true, "fid", weights=QUICK).message

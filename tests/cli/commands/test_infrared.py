"""`--mask ir`, and `caflow mask --ir`: the infrared channel of scans."""

import numpy as np
import pytest
from film_scans import STRONG, scanned
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.cli.masking import Infrared
from caflow_cli.damage.infrared import INFRARED_K

from ...image_files import linear_profile
from ..process import assert_refused
from ..results import lines_of
from ..scenes import pixels

tifffile = pytest.importorskip("tifffile")


@pytest.fixture
def fill(model_files) -> list:
    return ["inpaint", "-m", 1, "--model", model_files["inpaint"]]


def scan(slope=0.02):
    """A scan of 192×192 with few spots."""
    image = np.asarray(Image.open(example_path("cat_192")).convert("RGB"))
    return scanned(image, STRONG, np.random.default_rng(0), slope=slope, spots=6)


def write(path, given):
    """A file of colors with their infrared channel beside it."""
    tifffile.imwrite(path, given.rgb, photometric="rgb")
    beside = path.with_name(f"{path.stem}_IR.tif")
    tifffile.imwrite(beside, given.infrared, photometric="minisblack")


def test_dust_that_infrared_shows_is_filled_and_nothing_else(run, tmp_path, fill):
    given = scan()
    write(tmp_path / "a.tif", given)
    done = run("mask", "a.tif", "--ir")
    assert done.stdout == b"a_mask.png\n"
    assert b"a.tif: " in done.stderr
    assert b" % is marked, in " in done.stderr
    marked = np.asarray(Image.open(tmp_path / "a_mask.png")) == 255
    assert marked[given.dust > 0.5].mean() > 0.8
    (line,) = lines_of(run(*fill, "a.tif", "--mask", "ir", "--json"))
    assert (line["status"], line["mask"]) == ("ok", "ir")
    before = pixels(tmp_path / "a.tif")
    changed = (pixels(tmp_path / "a_inpaint.png") != before).any(-1)
    assert changed[given.dust > 0.5].mean() > 0.8
    assert not (changed & ~marked).any()
    more = run("mask", "a.tif", "--ir", "--threshold", 2, "-o", "more.png")
    assert more.returncode == 0
    assert (pixels(tmp_path / "more.png")[..., 0] > 0).sum() > marked.sum()


def test_infrared_files_are_no_inputs_of_their_own(run, tmp_path):
    given = scan()
    for name in ("a", "b"):
        write(tmp_path / f"{name}.tif", given)
    (tmp_path / "b_IR.tif").rename(tmp_path / "b_ir.tif")
    done = run("mask", "a.tif", "a_IR.tif", "b.tif", "b_ir.tif", "--ir", "--json")
    assert [line["input"] for line in lines_of(done)] == ["a.tif", "b.tif"]
    assert b"infrared channels of other inputs left out: 2" in done.stderr
    assert b"left out" not in run("mask", "a_IR.tif", "--dry-run").stderr


def test_what_is_no_scan_of_color_film_gets_one_line_and_stops_no_other(run, tmp_path, fill):
    write(tmp_path / "a.tif", scan())
    write(tmp_path / "silver.tif", scan(slope=0.8))
    tifffile.imwrite(tmp_path / "plain.tif", scan().rgb, photometric="rgb")
    write(tmp_path / "small.tif", scan())
    tifffile.imwrite(tmp_path / "small_IR.tif", np.zeros((50, 60), np.uint16))
    done = run("mask", "silver.tif", "plain.tif", "small.tif", "a.tif", "--ir")
    assert done.returncode == 1
    assert done.stdout == b"a_mask.png\n"
    errors = [line for line in done.stderr.decode().splitlines() if line.startswith("error")]
    assert len(errors) == 3
    assert "infrared shows the image" in errors[0]
    assert "'plain.tif' has no infrared channel" in errors[1]
    assert "infrared is 60x50, the image 192x192" in errors[2]


@pytest.mark.parametrize("k", ["1", "100", "nan", "many"])
def test_k_has_bounds(run, tmp_path, fill, k):
    assert Infrared.default == INFRARED_K
    write(tmp_path / "a.tif", scan())
    refused = run(*fill, "a.tif", "--mask", f"ir:{k}")
    assert_refused(refused, 2, f"--mask is 'ir:{k}'")
    assert b"--mask ir:4.5, between 1 and 100" in refused.stderr


def test_infrared_of_stdin_is_refused(run, tmp_path):
    write(tmp_path / "a.tif", scan())
    refused = run("mask", "-", "--ir", "-o", "m.png", stdin=(tmp_path / "a.tif").read_bytes())
    assert refused.returncode == 2
    assert b"error: the infrared channel of stdin is not read" in refused.stderr


def test_colors_are_compared_as_the_scan_stores_them(run, tmp_path):
    """A profile says what they look like, not how infrared depends on them."""
    given = scan(slope=0.15)
    four = np.dstack([given.rgb, given.infrared])
    marked = []
    for name, profile in (("plain", None), ("linear", linear_profile())):
        options = {"photometric": "rgb", "extrasamples": (0,), "iccprofile": profile}
        tifffile.imwrite(tmp_path / f"{name}.tif", four, **options)
        assert run("mask", f"{name}.tif", "--ir").returncode == 0
        marked.append(pixels(tmp_path / f"{name}_mask.png"))
    np.testing.assert_array_equal(marked[0], marked[1])


def test_a_fourth_band_is_used_only_as_it_is_said(run, tmp_path, fill):
    """As transparency, or as infrared; otherwise the image is refused, and the score of it."""
    given = scan()
    four = np.dstack([given.rgb, given.infrared])
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="rgb", extrasamples=(0,))
    hole = np.zeros(given.dust.shape, np.uint8)
    hole[40:60, 50:70] = 255
    Image.fromarray(hole).save(tmp_path / "hole.png")
    holes = ["--mask", "hole.png"]
    for command in (
        [*fill, "a.tif", *holes],
        ["mask", "a.tif", "-o", "m.png"],
        ["score", "--cond", "a.tif", "--target", "a.tif", *holes, *fill[3:]],
    ):
        refused = run(*command)
        assert refused.returncode == 1
        message = b"error: 'a.tif' has 4 bands, and does not say that the last is transparency"
        assert message in refused.stderr
        assert b"to restore it, --alpha if it is, or --no-alpha" in refused.stderr
    assert not (tmp_path / "a_inpaint.tif").exists()
    for said, kind in ((["--alpha"], 2), (["--no-alpha"], 0)):
        ways = [*holes, *said]
        written = ["-o", "b.tif", "--overwrite", "--grain", "off", "--json"]
        (line,) = lines_of(run(*fill, "a.tif", *ways, *written))
        with tifffile.TiffFile(tmp_path / "b.tif") as file:
            assert file.pages.first.extrasamples == (kind,)
            stored = file.asarray()
        np.testing.assert_array_equal(stored[..., 3], given.infrared)
        np.testing.assert_array_equal(stored[hole == 0][:, :3], given.rgb[hole == 0])
        scored = run("score", "--cond", "a.tif", "--target", "b.tif", *ways, *fill[3:], "--json")
        assert scored.returncode == 0, scored.stderr
        (again,) = lines_of(scored)
        if kind == 0:
            assert again["log_likelihood"] == line["candidates"][0]["log_likelihood"]


def test_a_second_page_is_kept_and_no_note_says_that_it_is_not_used(run, tmp_path, fill):
    given = scan()
    for name, pages in (("two", 2), ("three", 3)):
        with tifffile.TiffWriter(tmp_path / f"{name}.tif") as file:
            for values in (given.rgb, given.infrared, given.rgb[::4, ::4])[:pages]:
                file.write(values, photometric="rgb" if values.ndim == 3 else "minisblack")
    done = run(*fill, "two.tif", "--mask", "ir", "-o", "a.tif", "--grain", "off", "--json")
    assert done.returncode == 0
    assert b"frames" not in done.stderr
    assert np.array_equal(tifffile.imread(tmp_path / "a.tif", key=1), given.infrared)
    how = ["--mask", "ir", *fill[3:], "--json"]
    (again,) = lines_of(run("score", "--cond", "two.tif", "--target", "a.tif", *how))
    (line,) = lines_of(done)
    assert again["log_likelihood"] == line["candidates"][0]["log_likelihood"]
    done = run("mask", "three.tif", "--ir")
    assert b"three.tif: only the first of its frames and infrared are used" in done.stderr
    done = run(*fill, "two.tif", "--mask", "ir", "--grain", "off")
    assert b"the band beside its colors is not kept; --format tiff keeps it" in done.stderr
    assert b"only the first of its frames is used" in run("mask", "two.tif").stderr


def test_a_scan_is_decoded_once(run, tmp_path, fill, monkeypatch):
    given = scan()
    four = np.dstack([given.rgb, given.infrared])
    tifffile.imwrite(tmp_path / "a.tif", four, photometric="rgb", extrasamples=(0,))
    decoded = []
    asarray = tifffile.TiffPage.asarray
    monkeypatch.setattr(
        tifffile.TiffPage, "asarray", lambda page, **how: decoded.append(1) or asarray(page, **how)
    )
    assert run(*fill, "a.tif", "--mask", "ir").returncode == 0
    assert run("mask", "a.tif", "--ir").returncode == 0
    assert len(decoded) == 2

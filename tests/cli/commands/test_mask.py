"""`caflow mask`, and `inpaint --mask auto`."""

import io
import re
import shlex

import numpy as np
import pytest
from cracked import cracked, faded
from PIL import Image
from scipy import ndimage

import caflow_cli as caflow
from caflow_cli.images import decode, encode_png

from ...image_files import png_of_16_bits
from ..process import assert_refused
from ..results import lines_of
from ..scenes import pixels, save, save_mask

missed = "paint what was missed (--mask FILE)"


@pytest.fixture
def old(tmp_path):
    """`old.png`, with cracks, and where they are."""
    image, cracks = cracked()
    Image.fromarray(image).save(tmp_path / "old.png")
    return cracks


@pytest.fixture
def fill(model_files) -> list:
    return ["inpaint", "-m", 1, "--model", model_files["inpaint"], "--json"]


def test_a_mask_marks_the_cracks(run, tmp_path, old):
    (line,) = lines_of(run("mask", "old.png", "--json"))
    mask = Image.open(tmp_path / "old_mask.png")
    assert mask.mode == "L"
    marked = np.asarray(mask) == 255
    assert marked[old].mean() > 0.6
    assert line["share"] == pytest.approx(marked.mean(), abs=1e-6)
    assert line["outputs"] == [{"rank": 1, "path": "old_mask.png"}]
    assert run("mask", "old.png", "--threshold", "0.2", "-o", "more.png").returncode == 0
    assert (pixels(tmp_path / "more.png")[..., 0] >= marked * 255).all()


def test_files_folders_and_streams(run, tmp_path, old):
    assert run("mask", "old.png", "-o", "m.png").stdout == b"m.png\n"
    first = (tmp_path / "m.png").read_bytes()
    assert_refused(run("mask", "old.png", "-o", "m.png"), 2, "'m.png' exists")
    assert_refused(run("mask", "old.png", "-o", "m.jpg"), 2, "'m.jpg' does not fit png")
    assert run("mask", "old.png", "-o", "m.png", "--skip-existing").returncode == 0
    assert run("mask", "old.png", "-o", "m.png", "--overwrite").returncode == 0
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes((tmp_path / "old.png").read_bytes())
    (tmp_path / "in" / "b.png").write_bytes(b"no image")
    some = run("mask", "in", "--json", "-o", "masks")
    assert some.returncode == 1
    assert [line["status"] for line in lines_of(some)] == ["ok", "error"]
    assert (tmp_path / "masks" / "a_mask.png").read_bytes() == first
    piped = run("mask", "-", "-o", "-", stdin=(tmp_path / "old.png").read_bytes())
    assert np.array_equal(pixels(io.BytesIO(piped.stdout)), pixels(tmp_path / "m.png"))


def test_the_share_that_is_marked_is_always_said(run, tmp_path, old):
    (line,) = lines_of(run("mask", "old.png", "--json"))
    done = run("mask", "old.png", "-o", "a.png")
    share = f"{100 * line['share']:.2f}"
    assert done.stderr.decode().startswith(f"old.png: {share} % is marked, in ")
    assert float(share) > 0
    for name in "abc":
        Image.new("RGB", (40, 40), (90, 90, 90)).save(tmp_path / f"{name}.png")
    done = run("mask", "a.png", "b.png", "c.png", "-o", "masks/")
    assert done.stderr.decode().splitlines() == [
        "a.png: nothing is marked; paint what was missed (--mask FILE), or nothing is damaged",
        "… and 2 more: nothing is marked",
    ]
    done = run("mask", "a.png", "-o", "b_mask.png", "--threshold", 0.1)
    assert done.stderr.startswith(b"a.png: nothing is marked; paint what was missed")


@pytest.mark.parametrize("threshold", ["0", "1", "-0.1", "nan"])
def test_a_threshold_out_of_range_is_refused_before_files_are_sought(run, threshold):
    assert_refused(run("mask", "none.png", "--threshold", threshold), 2, "--threshold is")


def test_a_mask_of_more_than_64_megapixels_is_written():
    mask = np.zeros((8001, 8000), np.uint8)
    mask[5, 7] = 255
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(encode_png(mask)))), mask)


def test_inpaint_fills_what_is_found(run, tmp_path, old, fill):
    done = run(*fill, "old.png", "--mask", "auto")
    (line,) = lines_of(done)
    assert line["mask"] == "auto"
    assert re.search(rb"old.png: \d\.\d\d % is marked, in \d+ spots", done.stderr)
    assert run("mask", "old.png").returncode == 0
    marked = np.asarray(Image.open(tmp_path / "old_mask.png")) == 255
    changed = (pixels(tmp_path / "old_inpaint.png") != pixels(tmp_path / "old.png")).any(-1)
    assert (changed & old).sum() > 0.5 * old.sum()
    assert not (changed & ~marked).any()
    assert run(*fill, "old.png", "--mask", "old_mask.png", "-o", "b.png").returncode == 0
    assert np.array_equal(pixels(tmp_path / "b.png"), pixels(tmp_path / "old_inpaint.png"))
    pair = ["--cond", "old.png", "--target", "b.png", "--model", fill[4], "--json"]
    (again,) = lines_of(run("score", *pair, "--mask", "auto"))
    assert again["rank_score"] == pytest.approx(line["outputs"][0]["rank_score"], abs=1e-2)


def test_marks_show_what_is_filled_and_the_largest_is_named(run, tmp_path, old, fill):
    assert run("mask", "old.png").returncode == 0
    marked = np.asarray(Image.open(tmp_path / "old_mask.png")) == 255
    labels, count = ndimage.label(marked, np.ones((3, 3)))
    sizes = np.bincount(labels.ravel())[1:]
    rows, columns = ndimage.find_objects(labels)[sizes.argmax()]
    assert marked.mean() > 0.01
    assert (sizes == sizes.max()).sum() == 1
    size = f"{columns.stop - columns.start}×{rows.stop - rows.start}"
    largest = f"in {count} spots; the largest is {size} at {columns.start},{rows.start}"
    given = [*fill, "old.png", "--mask", "auto"]
    planned = run(*given, "--marks", "look/m.png", "--dry-run")
    assert lines_of(planned)[0]["marks"] == {"path": "look/m.png"}
    assert not (tmp_path / "look").exists()
    done = run(*given, "--marks", "look/m.png")
    assert lines_of(done)[0]["marks"] == {"path": "look/m.png"}
    assert largest in done.stderr.decode()
    assert "--marks" not in done.stderr.decode()
    image, shown = (pixels(tmp_path / name).astype(int) for name in ("old.png", "look/m.png"))
    assert np.array_equal(shown[~marked], image[~marked])
    red = shown[marked] - 0.4 * image[marked]  # 40 % of the image shows through
    assert np.abs(red - 0.6 * np.array([255, 45, 85])).max() <= 0.5
    again = run(*given, "-o", "again.png")
    assert f"{largest}; --marks FILE shows it" in again.stderr.decode()
    none = "old.png: no film grain was found, so the fill has none; --grain S adds some"
    assert none in again.stderr.decode()
    for grain in ("off", "4"):
        other = run(*given, "--grain", grain, "-o", f"{grain}.png")
        assert "no film grain" not in other.stderr.decode()
    assert "marks" not in lines_of(again)[0]


def test_marks_of_several_images_and_where_they_cannot_be_written(run, tmp_path, old, fill):
    (tmp_path / "in").mkdir()
    for name in ("a.png", "b.png"):
        (tmp_path / "in" / name).write_bytes((tmp_path / "old.png").read_bytes())
    given = [*fill, "in", "--mask", "auto:0.9", "-o", "out/"]
    assert_refused(run(*given, "--marks", "m.png"), 2, "--marks m.png is one file for 2")
    assert_refused(run(*given, "--marks", "m.jpg"), 2, "'m.jpg' does not fit png")
    done = run(*given, "--marks", "in")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "in").iterdir()) == [
        *("a.png", "a_marks.png", "b.png", "b_marks.png")
    ]
    again = run(*given, "--marks", "in", "--overwrite")
    assert len(lines_of(again)) == 2  # earlier ones are no images to fill
    exists = run(*given, "--marks", "in", "-o", "new/")
    assert exists.returncode == 2
    assert b"error: 'in/a_marks.png' exists\n" in exists.stderr
    assert b"or choose another --marks\n" in exists.stderr
    assert not (tmp_path / "new").exists()


def test_an_image_without_damage_is_copied_with_what_is_to_be_said(run, tmp_path, fill):
    image = np.full((40, 50, 4), 90, np.uint8)
    image[:20, :, 3] = 255
    Image.fromarray(image, "RGBA").save(tmp_path / "x.png")
    given = [*fill, "x.png", "--mask", "auto", "--grid", "g.png"]
    done = run(*given[:2], 2, *given[3:], "-n", 2, "-o", "out.png")
    assert done.returncode == 0, done.stderr
    (line,) = lines_of(done)
    assert line["status"] == "unchanged"
    assert [one["path"] for one in line["outputs"]] == ["out_01.png"]
    assert np.array_equal(np.asarray(Image.open(tmp_path / "out_01.png")), image)
    assert b"x.png: nothing to fill, so the image is copied; paint what was" in done.stderr
    assert b"g.png is not written: there is nothing to show" in done.stderr
    jpg = run(*fill[:-1], "x.png", "--mask", "auto", "-o", "x.jpg")
    assert jpg.stdout == b"x.jpg\n"
    assert b"composited on white, because jpg has no alpha" in jpg.stderr


def test_where_nothing_is_marked_doubtful_marks_are_looked_at_before_they_are_filled(
    run, tmp_path, old, fill
):
    (tmp_path / "old.png").rename(tmp_path / "an old.png")
    high = "0.999"
    done = run(*fill, "an old.png", "--mask", f"auto:{high}", "--overwrite").stderr.decode()
    hint = "or nothing is damaged; `caflow mask 'an old.png' --threshold 0.2` shows doubtful marks"
    assert done.endswith(f"an old.png: nothing to fill, so the image is copied; {missed}, {hint}\n")
    done = run("mask", "an old.png", "--threshold", high).stderr.decode()
    assert f"an old.png: nothing is marked; {missed}, or nothing is damaged; `" in done
    words = shlex.split(done[done.index("`caflow") + 1 : done.rindex("`")])
    assert words == ["caflow", "mask", "an old.png", "--threshold", "0.2", "--overwrite"]
    assert b" % is marked" in run(*words[1:]).stderr  # instead of the black mask


def test_on_a_terminal_the_last_line_shows_what_was_filled(run, tmp_path, old, fill):
    (tmp_path / "in").mkdir()
    (tmp_path / "old.png").rename(tmp_path / "in/an old.png")
    given = [*fill, "in/an old.png", "--overwrite"]
    done = run(*given, "--mask", "auto:0.6", terminal=True).stderr.decode()
    assert "--marks FILE" not in done
    last = re.sub(r"\x1b\[\w+", "", done.splitlines()[-1])
    command = "caflow mask 'in/an old.png' --threshold 0.6 --marks 'in/an old_marks.png'"
    assert last == f"`{command}` shows what was filled"
    (line,) = lines_of(run(*shlex.split(command)[1:], "--json"))
    assert line["share"] > 0.005
    assert line["marks"] == {"path": "in/an old_marks.png"}
    image, shown = (pixels(tmp_path / f"in/an old{end}.png") for end in ("", "_marks"))
    marked = pixels(tmp_path / "in/an old_mask.png")[..., 0] > 0
    np.testing.assert_array_equal((image != shown).any(-1), marked)
    Image.fromarray(marked).save(tmp_path / "m.png")
    for others in (["--mask", "auto", "--marks", "m/"], ["--mask", "m.png"], ["--mask=auto", "-q"]):
        assert b"`caflow" not in run(*given, *others, terminal=True).stderr
    assert b"`caflow" not in run(*given, "--mask", "auto").stderr
    specks = faded()
    specks[28:32, 40:44] = specks[150:154, 90:94] = 250
    Image.fromarray(specks).save(tmp_path / "in/an old.png")
    few = run(*given, "--mask", "auto", terminal=True)
    assert re.search(rb"0\.[1-4]\d % is marked, in 2 spots", few.stderr)
    assert b"`caflow" not in few.stderr


def test_rough_paint_snaps_to_damage(run, tmp_path, old, fill):
    paint = np.roll(ndimage.binary_dilation(old, np.ones((3, 3))), 2, 0)
    paint[20:30, 20:30] = paint[150:190, :20] = True  # where nothing is damaged
    Image.fromarray(paint).save(tmp_path / "paint.png")
    image = pixels(tmp_path / "old.png")
    snap = [*fill, "old.png", "--mask", "paint.png", "--snap"]
    done = run(*snap, "--marks", "marks.png", "-o", "a.png")
    (line,) = lines_of(done)
    mask = (pixels(tmp_path / "marks.png") != image).any(-1)
    assert mask[20:30, 20:30].all()
    assert mask[150:190, :20].all()
    assert f"{100 * mask.mean():.2f} % is marked, in ".encode() in done.stderr
    mask[20:30, 20:30] = mask[150:190, :20] = False
    assert mask[old].mean() > 0.9 > paint[old].mean()
    assert mask[~ndimage.binary_dilation(old, np.ones((7, 7)))].mean() < 0.01
    found = caflow.restore(caflow.load(fill[4]), image, candidates=1, mask=paint, snap=True)
    np.testing.assert_array_equal(found.kept[0].image, pixels(tmp_path / "a.png"))
    pair = ["--cond", "old.png", "--target", "a.png", "--model", fill[4], "--json"]
    (again,) = lines_of(run("score", *pair, "--mask", "paint.png", "--snap"))
    assert again["rank_score"] == pytest.approx(line["outputs"][0]["rank_score"], abs=1e-2)
    (grown,) = lines_of(run(*snap, "--grow", 2, "-o", "b.png"))
    assert grown["outputs"][0]["rank_score"] != line["outputs"][0]["rank_score"]
    Image.fromarray(paint[:50]).save(tmp_path / "small.png")
    wrong = run(*fill, "old.png", "--mask", "small.png", "--snap", "-o", "c.png")
    assert b"the mask is 192x50, the image 192x192" in wrong.stderr


def test_marks_of_masks_that_are_written(run, tmp_path, old):
    assert_refused(run("mask", "old.png", "--marks", "m.jpg"), 2, "'m.jpg' does not fit png")
    planned = run("mask", "old.png", "--marks", "look/", "--dry-run")
    assert planned.stdout == b"old_mask.png\nlook/old_marks.png\n"
    done = run("mask", "old.png", "--marks", "look/")
    assert done.stdout == planned.stdout
    again = run("mask", "old.png", "--marks", "look/", "-o", "new.png")
    assert_refused(again, 2, "'look/old_marks.png' exists")


def test_auto_takes_a_threshold(run, tmp_path, old, fill):
    given = [*fill, "old.png", "--overwrite"]
    results = []
    for name, threshold in (("auto", 0.5), ("auto:0.5", 0.5), ("auto:0.05", 0.05)):
        (line,) = lines_of(run(*given, "--mask", name))
        assert line["mask"] == name
        run("mask", "old.png", "--threshold", threshold, "-o", "found.png", "--overwrite")
        (by_file,) = lines_of(run(*given, "--mask", "found.png", "-o", "b.png"))
        results.append((tmp_path / "old_inpaint.png").read_bytes())
        assert np.array_equal(pixels(tmp_path / "b.png"), pixels(tmp_path / "old_inpaint.png"))
        assert by_file["outputs"][0]["rank_score"] == line["outputs"][0]["rank_score"]
    assert results[0] == results[1] != results[2]
    pair = ["--cond", "old.png", "--target", "old_inpaint.png", *fill[3:]]
    (again,) = lines_of(run("score", *pair, "--mask", "auto:0.05"))
    assert again["rank_score"] == pytest.approx(line["outputs"][0]["rank_score"], abs=1e-2)
    for threshold in ("0", "1", "low", "nan"):
        refused = run(*given, "--mask", f"auto:{threshold}")
        assert_refused(refused, 2, f"--mask is 'auto:{threshold}'")


def test_what_auto_finds_is_not_inverted(run, tmp_path, old, fill):
    for way in ("auto", "ir:5"):
        refused = run(*fill, "old.png", "--mask", way, "--invert-mask", "--dry-run")
        assert_refused(refused, 2, f"--mask {way} and --invert-mask cannot be used together")


@pytest.mark.parametrize("level", [0, 5])
def test_a_black_mask_fits_its_image(run, tmp_path, fill, level):
    save(tmp_path / "x.png", 32, 40)
    for name, size in (("m.png", (40, 32)), ("small.png", (20, 16))):
        Image.new("L", size, level).save(tmp_path / name)
    (line,) = lines_of(run(*fill, "x.png", "--mask", "m.png"))
    assert line["status"] == "unchanged"
    wrong = run(*fill, "x.png", "--mask", "small.png", "-o", "y.png")
    assert wrong.returncode == 1
    assert b"the mask is 20x16, the image 40x32" in wrong.stderr
    pair = ["--cond", "x.png", "--target", "x_inpaint.png", "--model", fill[4]]
    assert b"the mask is empty" in run("score", *pair, "--mask", "m.png").stderr


def test_beside_an_image_another_image_is_no_mask(run, tmp_path, fill):
    for name in ("in/a.jpg", "in/a.png", "in/a_inpaint.png", "in/a_inpaint.webp"):
        save(tmp_path / name, 32, 40)
    refused = run(*fill, "in/a.jpg", "--mask", "in", "--dry-run")
    assert_refused(refused, 2, "no mask in 'in' for 'in/a.jpg'")
    save_mask(tmp_path / "in/a_mask.png", 32, 40)
    planned = lines_of(run(*fill, "in", "--mask", "in", "--overwrite", "--dry-run"))
    assert [one["mask"] for one in planned] == ["in/a_mask.png"] * 2


def test_masks_beside_their_images(run, tmp_path, fill):
    """Each image has its own, the black one of `b.png` too; and masks are no images."""
    folder = tmp_path / "in"
    for name, seed in (("a.png", 1), ("b.png", 2), ("b.bmp", 3)):
        save(folder / name, 32, 40, seed=seed)
    save_mask(folder / "a_mask.png", 32, 40)
    save_mask(folder / "b_bmp_mask.png", 32, 40)
    Image.new("L", (40, 32)).save(folder / "b_png_mask.png")
    done = run(*fill, "in", "--mask", "in", "-o", "out")
    assert done.returncode == 0, done.stderr
    lines = [(one["input"], one["mask"], one["status"]) for one in lines_of(done)]
    assert lines == [
        ("in/a.png", "in/a_mask.png", "ok"),
        ("in/b.bmp", "in/b_bmp_mask.png", "ok"),
        ("in/b.png", "in/b_png_mask.png", "unchanged"),
    ]
    assert np.array_equal(pixels(tmp_path / "out/b_png_inpaint.png"), pixels(folder / "b.png"))
    for command in ("superres", "colorize", "mask"):
        assert b"of other inputs left out: 3" in run(command, "in", "--dry-run", "-o", "o/").stderr
    for path in {*tmp_path.glob("in/b*.bmp"), *tmp_path.glob("*/b_bmp*"), *tmp_path.glob("out/b*")}:
        path.unlink()
    pair = ["score", "--cond", "in", "--target", "out", "--mask", "in", "--json", *fill[3:5]]
    assert [(one["cond"], one["status"]) for one in lines_of(run(*pair))] == [
        ("in/b.png", "error"),
        ("in/a.png", "ok"),
    ]


@pytest.mark.parametrize(
    ("dtype", "most", "half", "factor"),
    [(np.uint8, 1, 128, 255), (np.uint16, 1, 32768, 65535), (np.uint16, 255, 32768, 257)],
)
def test_a_mask_whose_white_is_nearly_black_is_refused(
    run, tmp_path, fill, dtype, most, half, factor
):
    save(tmp_path / "x.png", 32, 40)
    mask = np.zeros((32, 40), dtype)
    mask[8:12, 8:12] = most
    Image.fromarray(mask).save(tmp_path / "m.png")
    refused = run(*fill[:-1], "x.png", "--mask", "m.png")
    assert_refused(refused, 1, f"'m.png' holds only 0 to {most}, and {half} and above is filled")
    assert f"multiply its values by {factor}\n" in refused.stderr.decode()


def test_masks_of_16_bits_split_in_the_middle(run, tmp_path, fill):
    save(tmp_path / "x.png", 32, 40)
    mask = np.full((32, 40), 32767, np.uint16)
    mask[8:12, 8:12] = 32768
    Image.fromarray(mask).save(tmp_path / "m.png")
    (line,) = lines_of(run(*fill, "x.png", "--mask", "m.png"))
    assert line["status"] == "ok"
    changed = (pixels(tmp_path / "x_inpaint.png") != pixels(tmp_path / "x.png")).any(-1)
    assert changed[8:12, 8:12].any()
    changed[8:12, 8:12] = False
    assert not changed.any()


@pytest.mark.parametrize("color_type", [0, 2])
def test_both_commands_mark_the_same_pixels_of_16_bits(run, tmp_path, old, fill, color_type):
    pytest.importorskip("imagecodecs")
    levels = pixels(tmp_path / "old.png").astype(np.uint16)
    rest = np.random.default_rng(0).integers(0, 256, levels.shape, np.uint16)
    deep = levels * 256 + rest
    values = deep if color_type else deep[..., :1]
    (tmp_path / "deep.png").write_bytes(png_of_16_bits(values, color_type))
    (line,) = lines_of(run("mask", "deep.png", "--json", "-o", "mask.png"))
    filled = run(*fill, "deep.png", "--mask", "auto", "-o", "filled.png")
    said = re.search(r"([\d.]+) % is marked, in \d+ spots", filled.stderr.decode())
    assert said is not None
    assert float(said[1]) == pytest.approx(100 * line["share"], abs=0.005)
    marked = pixels(tmp_path / "mask.png")[..., 0] > 0
    changed = decode(tmp_path / "filled.png").image.values != np.broadcast_to(values, deep.shape)
    assert not changed[~marked].any()

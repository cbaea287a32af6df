"""`--crop` restores a part of an image as if it were the file, and masks and hints with it."""

import json

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from caflow_cli.errors import CaflowError
from caflow_cli.images import read_provenance
from caflow_cli.images.crop import cropped
from caflow_cli.restoration import restore
from caflow_cli.tasks.arguments import as_input

from .process import assert_refused
from .results import only_record
from .scenes import save, save_mask

BOX = (5, 3, 26, 20)  # left, top, width, height
PART = (5, 3, 31, 23)


@pytest.fixture
def photo(tmp_path):
    whole = Image.open(save(tmp_path / "x.png", 30, 40)).convert("RGBA")
    alpha = np.full((30, 40), 255, np.uint8)
    alpha[8:11, 8:20] = 0
    whole.putalpha(Image.fromarray(alpha))
    whole.save(tmp_path / "clear.png")
    for name in ("x", "clear"):
        Image.open(tmp_path / f"{name}.png").crop(PART).save(tmp_path / f"{name}_part.png")
    Image.open(save_mask(tmp_path / "m.png", 30, 40)).crop(PART).save(tmp_path / "m_part.png")
    return tmp_path


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("superres", "superres x{0}.png"),
        ("superres", "superres clear{0}.png --scale 2"),
        ("superres", "superres x{0}.png --scale 60x60"),
        ("colorize", "colorize x{0}.png --hint {1}=#c02020"),
        ("inpaint", "inpaint x{0}.png --mask m{0}.png"),
        ("inpaint", "inpaint clear{0}.png --grow 1"),
        ("paired", "sample --cond x{0}.png"),
    ],
)
def test_a_part_is_restored_like_a_file_of_it(run, photo, model_files, task, words):
    given = ["--model", model_files[task], "-m", 2, "--json", "--overwrite"]
    words, alone = (words.format(*each).split() for each in (("", "15,13"), ("_part", "10,10")))
    line = only_record(run(*words, *given, "--crop", "5,3,26x20"))
    expected = only_record(run(*alone, *given))
    (path,), (same,) = ([one["path"] for one in each["outputs"]] for each in (line, expected))
    assert path == line["input"].replace(".png", f"_{words[0]}_crop.png")
    np.testing.assert_array_equal(*(np.array(Image.open(photo / each)) for each in (path, same)))
    assert line.pop("crop") == list(BOX)
    assert read_provenance(photo / path)["crop"] == list(BOX)
    assert [each["rank_score"] for each in line["candidates"]] == [
        each["rank_score"] for each in expected["candidates"]
    ]


@pytest.mark.parametrize(
    ("task", "restored", "scored"),
    [
        ("superres", "superres x{0}.png", "--cond x{0}.png"),
        ("colorize", "colorize x{0}.png", "--cond x{0}.png"),
        ("inpaint", "inpaint x{0}.png --mask m{0}.png", "--cond x{0}.png --mask m{0}.png"),
        ("paired", "sample --cond x{0}.png", "--cond x{0}.png"),
    ],
)
def test_a_part_is_scored_against_its_part_of_the_whole(
    run, photo, model_files, task, restored, scored
):
    given = ["--model", model_files[task], "--json"]
    line = only_record(
        run(*restored.format("").split(), *given, "--crop", "5,3,26x20", "-o", "o.png")
    )
    wanted = line["outputs"][0]["rank_score"]
    for alone in ("", "_part"):  # the whole, and the part itself
        found = only_record(
            run("score", *scored.format(alone).split(), "--target", "o.png", *given)
        )
        assert found["rank_score"] == wanted


@pytest.mark.parametrize("crop", ["all", [5, 3], [30, 3, 26, 20], [-1, 0, 2, 2], [0, 0, 0, 9]])
def test_a_part_that_a_record_states_wrongly_is_refused(run, photo, model_files, crop):
    record = PngImagePlugin.PngInfo()
    record.add_text("caflow", json.dumps({"crop": crop}))
    Image.open(photo / "x.png").resize((104, 80)).save(photo / "o.png", pnginfo=record)
    given = ("--cond", "x.png", "--target", "o.png", "--model", model_files["superres"])
    done = run("score", *given)
    assert done.returncode in (1, 2)
    assert b"crop" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_part_without_damage_is_copied(run, photo, model_files):
    done = run(
        "inpaint",
        "x.png",
        "--mask",
        "m.png",
        "--model",
        model_files["inpaint"],
        "--crop",
        "25,20,9x8",
    )
    assert (done.returncode, done.stdout) == (0, b"x_inpaint_crop.png\n")
    assert b"nothing to fill in this part, so it is copied\n" in done.stderr
    part = Image.open(photo / "x.png").crop((25, 20, 34, 28))
    np.testing.assert_array_equal(Image.open(photo / "x_inpaint_crop.png"), part)


@pytest.mark.parametrize(
    ("crop", "code", "message"),
    [
        ("15,0,26x20", 1, "--crop 15,0,26x20 is not inside of the image, 40x30"),
        ("0,11,26x20", 1, "is not inside of the image, 40x30"),
        ("5,3", 2, "--crop is '5,3'"),
        ("5,3,0x4", 2, "--crop is '5,3,0x4'"),
    ],
)
def test_what_is_no_part_is_refused(run, photo, model_files, crop, code, message):
    refused = run("superres", "x.png", "--model", model_files["superres"], "--crop", crop)
    assert_refused(refused, code, message)
    assert not list(photo.glob("*superres*"))


def test_results_of_parts_are_no_inputs(run, photo, model_files):
    (photo / "in").mkdir()
    for name in ("x", "x_superres_crop"):
        save(photo / "in" / f"{name}.png", 8, 8)
    done = run("superres", "in", "--model", model_files["superres"], "--dry-run")
    assert b"of other inputs left out: 1" in done.stderr


def test_python_restores_parts(photo, task_models, gray_model):
    model = task_models["inpaint"]
    image, mask = (np.array(Image.open(photo / name)) for name in ("x.png", "m.png"))
    part, hole = (np.array(Image.open(photo / name)) for name in ("x_part.png", "m_part.png"))
    found = restore(model, image, mask=mask, candidates=1, crop=BOX)
    np.testing.assert_array_equal(
        found.kept[0].image, restore(model, part, mask=hole, candidates=1).kept[0].image
    )
    strokes = np.zeros((30, 40, 4), np.uint8)
    strokes[10:14, 12:20] = (200, 40, 40, 255)
    hinted = restore(gray_model, image, candidates=1, crop=BOX, hints=strokes)
    np.testing.assert_array_equal(
        hinted.kept[0].image,
        restore(gray_model, part, candidates=1, hints=strokes[3:23, 5:31]).kept[0].image,
    )
    for wrong in ((5, 3, 36, 20), (-1, 0, 5, 5), (0, 0, 0, 5)):
        with pytest.raises(CaflowError, match="not inside of the image"):
            restore(model, image, mask=mask, candidates=1, crop=wrong)
    for wrong in ((5, 3, 26), "5,3,26x20", (5, 3.5, 26, 20), (True, 3, 26, 20)):
        with pytest.raises(CaflowError, match="crop is") as caught:
            restore(model, image, mask=mask, candidates=1, crop=wrong)
        assert caught.value.hint == "crop=(left, top, width, height), in pixels"
    with pytest.raises(CaflowError, match="the mask is 26x20, the image 40x30"):
        restore(model, image, mask=hole, candidates=1, crop=BOX)


def test_all_of_an_image_is_cropped():
    values = np.arange(30 * 40 * 3, dtype=np.uint16).reshape(30, 40, 3)
    image = as_input(values)
    whole = image.image
    planes = {"alpha": values[..., 0], "infrared": values[..., 1]}
    image = type(image)(type(whole)(values, b"profile", **planes), gray=True, format="TIFF")
    part, _, place = cropped(image, BOX)
    assert (part.image.profile, part.gray, part.format, part.crop) == (
        b"profile",
        True,
        "TIFF",
        BOX,
    )
    np.testing.assert_array_equal(part.image.values, values[3:23, 5:31])
    np.testing.assert_array_equal(part.image.infrared, planes["infrared"][place])
    np.testing.assert_array_equal(part.image.alpha, planes["alpha"][place])

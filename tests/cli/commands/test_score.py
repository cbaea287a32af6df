"""`caflow score`: it repeats the number of every written file, alone, in folders, and by JSON."""

import json

import pytest
from PIL import Image, PngImagePlugin

from caflow_cli import score
from caflow_cli.images import read_image

from ..process import assert_refused
from ..results import lines_of, only_record, records
from ..scenes import save, save_mask


def test_several_noise_samples_and_refusals(run, tmp_path, small_image, model_files):
    save(tmp_path / "x.png", 32, 32)
    pair = ("score", "--cond", small_image, "--target", "x.png", "--noise-samples", 4)
    done = run(*pair, "--model", model_files["superres"])
    assert (done.returncode, done.stderr[:15]) == (0, b"standard error ")
    assert_refused(run("score", "--cond", "x.png", *pair[3:]), 1, "x.png: the target is 32x32")
    mask, equal = save_mask(tmp_path / "m.png", 32, 32), ("score", "--cond", "x.png", *pair[3:5])
    assert_refused(run(*equal, "--model", model_files["inpaint"]), 2, "inpaint needs a mask")
    result = run(*equal, "--mask", mask, "--model", model_files["colorize"])
    assert_refused(result, 2, "colorize takes no mask")
    # Before images are read:
    missing = ["score", "--cond", "nowhere.png", "--target", "neither.png"]
    assert_refused(run(*missing, "--noise-samples", 0), 2, "0 noise samples")
    assert_refused(run(*equal, "--device", "abacus", "--model", "faces-superres-x4"), 2, "abacus")
    assert_refused(run("score", "--cond", "-", "--target", "-"), 2, "stdin")


def test_an_image_of_schema_1_is_scored_by_the_model_that_it_names(
    run, tmp_path, small_image, model_file
):
    done = run("superres", small_image, "-m", 2, "-o", "new.png", "--model", model_file)
    assert done.returncode == 0
    with Image.open(tmp_path / "new.png") as image:
        record = json.loads(image.info["caflow"])
        assert record["schema"] == 3
        kept = ("model", "seed", "rank_score", "log_likelihood", "bits_per_dim", "estimator")
        old = {"schema": 1, "version": "0.1.0", "task": "superres", "tau": 0.5, "rank": 1}
        chunk = PngImagePlugin.PngInfo()
        chunk.add_text("caflow", json.dumps({**old, **{name: record[name] for name in kept}}))
        image.save(tmp_path / "old.png", pnginfo=chunk)
    scored = []
    for name in ("new.png", "old.png"):
        pair = ("score", "--cond", small_image, "--target", name, "--json")
        line = only_record(run(*pair, CAFLOW_SCORE_MODEL=str(model_file)))
        assert (line["schema"], line["model"]) == (3, record["model"])
        scored.append(line["log_likelihood"])
    assert scored[0] == scored[1] == pytest.approx(record["log_likelihood"], abs=1e-2)


@pytest.mark.parametrize(
    ("name", "options", "exact"),
    [
        ("a.png", {}, True),
        ("a.bmp", {}, True),
        ("a.webp", {"lossless": True}, True),
        ("a.webp", {"lossless": True, "exif": b"Exif\0\0"}, True),  # an extended file
        ("a.webp", {"quality": 100}, False),
        ("a.tif", {}, True),
        ("a.tif", {"compression": "tiff_lzw"}, True),
        ("a.tif", {"compression": "jpeg"}, False),
        ("a.jpg", {"quality": 100}, False),
        ("alpha.png", {}, False),
    ],
)
def test_a_score_is_exact_of_what_is_losslessly_stored_without_alpha(
    run, tmp_path, small_image, model_files, task_models, name, options, exact
):
    color = Image.open(save(tmp_path / "saved.png", 32, 32)).convert("RGB")
    if name == "alpha.png":
        color.putalpha(200)
    color.save(tmp_path / name, **options)
    words = ("--cond", small_image, "--target", name, "--model", model_files["superres"])
    assert only_record(run("score", *words, "--json"))["score_exact"] is exact
    model, told = task_models["superres"], exact and "webp" not in name
    assert score(model, small_image, tmp_path / name).score_exact is exact
    assert score(model, small_image, read_image(tmp_path / name)).score_exact
    with Image.open(tmp_path / name) as opened:  # which does not tell how a WebP was stored
        assert score(model, small_image, opened).score_exact is told


def test_folders_are_matched_by_stem_and_results_to_their_inputs(run, tmp_path, model_files):
    for name in ("a.png", "b.jpg"):
        save(tmp_path / "small" / name, 8, 8)
    model = ["--model", model_files["superres"]]
    done = run("superres", "small", "-o", "big/", "-m", 2, "-n", 2, "--json", *model)
    written = {
        output["path"]: output["log_likelihood"]
        for record in records(done)
        for output in record["outputs"]
    }
    lines = records(run("score", "--cond", "small", "--target", "big", "--json", *model))
    assert [line["target"] for line in lines] == sorted(written)
    assert [line["cond"] for line in lines] == ["small/a.png"] * 2 + ["small/b.jpg"] * 2
    for line in lines:
        assert line["log_likelihood"] == pytest.approx(written[line["target"]], abs=1e-2)
    one = run("score", "--cond", "small/a.png", "--target", "big", *model)
    assert [line.split("\t")[2] for line in one.stdout.decode().splitlines()] == sorted(written)


@pytest.mark.parametrize("target", ["photos", "results"])
def test_earlier_results_beside_their_inputs_are_no_conditions(run, tmp_path, model_files, target):
    save(tmp_path / "photos" / "a.png", 8, 8)
    model = ["--model", model_files["superres"]]
    run("superres", "photos", "-m", 1, *model)
    run("superres", "photos", "-m", 1, "-o", "results/", *model)
    [line] = records(run("score", "--cond", "photos", "--target", target, "--json", *model))
    assert (line["cond"], line["target"]) == ("photos/a.png", f"{target}/a_superres.png")


def test_images_without_a_partner_fail_alone(run, tmp_path, model_files):
    for path in ("in/a.png", "in/lonely.png", "out/a.png", "out/stray.png"):
        save(tmp_path / path, 8, 8)
    pair = ["score", "--cond", "in", "--target", "out", "--json", "--model"]
    done = run(*pair, model_files["colorize"])
    assert done.returncode == 1
    assert [(line["cond"], line["target"], line["status"]) for line in lines_of(done)] == [
        ("in", "out/stray.png", "error"),
        ("in/lonely.png", "out", "error"),
        ("in/a.png", "out/a.png", "ok"),
    ]
    assert b"error: no match for 'out/stray.png'\n" in done.stderr
    # A single pair beside strays does not end the command with its own code.
    done = run(*pair, model_files["inpaint"])
    assert done.returncode == 1
    assert [line["status"] for line in lines_of(done)] == ["error"] * 3
    (tmp_path / "out" / "a.png").unlink()
    assert_refused(run(*pair, "nowhere"), 2, "no image in 'out' has the name of one in 'in'")
    save(tmp_path / "out" / "a.png", 8, 8)
    assert_refused(run("score", "--cond", "in", "--target", "in/a.png"), 2, "is a folder")
    assert_refused(run("score", "--cond", "in/*.png", "--target", "out"), 2, "2 images match")
    save(tmp_path / "in" / "a.jpg", 8, 8)
    result = run("score", "--cond", "in", "--target", "out")
    assert_refused(result, 2, "differ only in their suffix")


def test_infrared_channels_beside_conditions_are_no_conditions(run, tmp_path, model_file):
    save(tmp_path / "in" / "a.tif", 8, 8)
    save(tmp_path / "in" / "a_IR.tif", 8, 8)
    save(tmp_path / "out" / "a_superres.png", 32, 32)
    pairs = run("score", "--cond", "in", "--target", "out", "--model", model_file)
    assert (pairs.returncode, pairs.stderr) == (0, b"")

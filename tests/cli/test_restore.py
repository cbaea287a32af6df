"""The restoring commands: what they write, keep, refuse and report."""

import io
import re
import sys
from contextlib import contextmanager

import helpers
import numpy as np
import pytest
from PIL import Image

import caflow_cli
from caflow_cli import restoration
from caflow_cli.assets import example_path
from caflow_cli.hub.resolve import load
from caflow_cli.images import decode, read_image, read_provenance
from caflow_cli.tasks.arguments import as_input
from caflow_cli.tasks.windows import plan_windows

from .process import assert_refused, caflow
from .results import lines_of, only_record
from .scenes import ALPHA, PHOTO, pixels, save, save_mask, touch


@pytest.fixture
def given(tmp_path, model_file) -> list:
    """A command but for its outputs."""
    save(tmp_path / "x.png", 8, 12)
    return ["superres", "x.png", "-m", 1, "--model", model_file]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--tau", "-1"], "tau is -1.0"),
        (["-m", "2", "-n", "3"], "cannot keep 3 of 2"),
        (["-m", "0", "-n", "0"], "cannot draw 0"),
        (["--seed", "-5"], "seed -5"),
        (["--rank", "beauty"], "'beauty'"),
        (["-o", "-", "--json"], "stdout"),
        (["-o", "/dev/null/x.png"], "cannot write"),
        (["*.tif"], "no file matches '*.tif'"),
        (["example:dog"], "'dog'"),
        ([""], "'' is not an image"),
        (["--uncertainty", "u.png", "-m", 1], "--uncertainty needs more than one candidate"),
        (["--scale", "5"], "--scale 5 exceeds the model's scale of 4"),
        (["--tau", "0.9/0.5"], "tau 0.9/0.5 has 2 values"),
        (["--device", "abacus"], "'abacus'"),
        (["--device", "cuda:77"], "'cuda:77'"),
        (["--overwrite", "--skip-existing"], "cannot be used together"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(
    run, tmp_path, small_image, model_file, arguments, message
):
    result = run("superres", small_image, "-o", "o/", "--model", model_file, *arguments)
    assert_refused(result, 2, message)
    assert not list(tmp_path.iterdir())


@contextmanager
def calls_of(function):
    """The arguments of each call of a function in this thread; nothing is changed."""
    found: list[dict] = []

    def see(frame, event, _):
        if event == "call" and frame.f_code is function.__code__:
            found.append(dict(frame.f_locals))

    sys.setprofile(see)
    try:
        yield found
    finally:
        sys.setprofile(None)


def test_neighbors_of_one_size_share_a_batch_unless_one_diverges(run, tmp_path):
    """Of noise without gray every sample diverges, and this model has no guide."""
    model_file = tmp_path / "model.safetensors"
    config = helpers.task_config("superres", conditional="dual-glow")  # of three scales
    helpers.data_like_model(config, 2, size=32).save(model_file)
    noise = 255 * np.random.default_rng(0).integers(0, 2, (8, 8, 3)).astype(np.uint8)
    face = read_image(example_path("face"))[4:12, 4:12]
    (tmp_path / "in").mkdir()
    for name, image in (("0", face), ("1", noise), ("2", face[::-1]), ("4", face[:4])):
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "3.png").write_bytes(b"damaged")
    shared = ["-q", "-m", 1, "--json", "--model", model_file, "--tau", 2.7, "-o"]
    with calls_of(restoration.encode) as calls:
        run("superres", "in/0.png", "in/4.png", "in/2.png", *shared, "one/")
        together = run("superres", "in", *shared, "many")
    assert [len(given["requests"]) for given in calls] == [1, 1, 1, 3, 1, 1, 1, 1]
    assert together.returncode == 1
    found = [(r["input"], r["status"]) for r in lines_of(together)]
    states = ["ok", "error", "ok", "error", "ok"]
    assert found == [(f"in/{number}.png", state) for number, state in enumerate(states)]
    assert b"in/1.png: all samples diverged at tau 2.7, and no guide predicts" in together.stderr
    for path in (tmp_path / "one").iterdir():
        a, b = (read_image(p).astype(int) for p in (path, tmp_path / "many" / path.name))
        assert np.abs(a - b).max() <= 1


def test_the_windows_of_a_hole_are_planned_once(run, tmp_path, model_files):
    save(tmp_path / "x.png", 70, 100)
    mask = np.zeros((70, 100), np.uint8)
    mask[20:24, 5:95] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    with calls_of(plan_windows) as calls:
        done = run("inpaint", "x.png", "--mask", "m.png", "--model", model_files["inpaint"])
    assert done.returncode == 0, done.stderr
    assert len(calls) == 1


@pytest.mark.parametrize("times", [1.1, 3])
def test_what_diverged_is_never_written(run, tmp_path, times):
    """Of a model whose weights are broken, all but the guide's."""
    model = helpers.broken(helpers.guided_model(), times)
    model.save(tmp_path / "model.safetensors")
    image = helpers.smooth_image(1, 3, (8, 8), 0)[0].permute(1, 2, 0).contiguous().numpy()
    Image.fromarray(image).save(tmp_path / "x.png")
    shared = ["superres", "x.png", "--model", "model.safetensors", "--json"]
    mean = restoration.predicted(restoration.prepare(model, as_input(image)))
    for tau in (0, 0.8, 1.5):
        asked = ["--tau", tau, "-m", 4, "-n", 4, "--overwrite", "--uncertainty", "u.png"]
        done = run(*shared, *asked, "-o", "out/")
        assert done.returncode == 0, done.stderr
        (line,) = lines_of(done)
        predicted = [one for one in line["candidates"] if "predicted" in one]
        assert line["candidates"][4 - len(predicted) :] == predicted
        assert len(line["outputs"]) == 4
        assert bool(predicted) == (b"candidates diverged at tau" in done.stderr)
        assert len(predicted) == 4 or times < 3
        for one in line["outputs"]:
            if "predicted" in one:
                assert one["predicted"] == [[0, 0, 32, 32]]
                assert one["rank_score"] is one["log_likelihood"] is one["rank_value"] is None
                np.testing.assert_array_equal(read_image(tmp_path / one["path"]), mean)
                record = read_provenance(tmp_path / one["path"])
                assert record["predicted"] == [[0, 0, 32, 32]]
    if times < 3:  # the file as given
        files = ["--cond", "x.png", "--target", "out/x_superres_04.png"]
        (line,) = lines_of(run("score", *shared[2:], *files))
        assert line["log_likelihood"] is not None


def test_large_images_get_fewer_candidates_unless_it_is_typed(run, tmp_path, given):
    for name in "ab":
        save(tmp_path / f"{name}.png", 68, 72)  # 10 results of that size are 0.78 megapixels
    command = ["superres", "x.png", "a.png", "b.png", "--json", *given[4:]]
    done = run(*command, "-o", "open/")
    assert [line["params"]["candidates"] for line in lines_of(done)] == [10, 9, 9]
    assert done.stderr.decode().splitlines() == [
        "a.png: 9 candidates at this size; -m 10 draws 10",
        "… and 1 more: fewer candidates",
    ]
    done = run("superres", "b.png", *command[4:], "-o", "half/", "--scale", 2, "-v")
    assert b"b.png: 9 candidates at this size; -m 10" in done.stderr
    environment = {"CAFLOW_SUPERRES_CANDIDATES": "1"}
    done = run(*command, "-o", "configured/", **environment)
    assert [line["params"]["candidates"] for line in lines_of(done)] == [1, 1, 1]
    assert done.stderr == b""
    (line,) = lines_of(run("superres", "a.png", *command[4:], "-o", "g/", "--grid", "g.png"))
    assert len(line["candidates"]) == 10


def test_on_a_terminal_each_file_is_followed_by_its_rank_and_score(run, tmp_path, given):
    shared = [*given[:2], "-m", 3, "-n", 2, *given[4:], "-o"]
    done = run(*shared, "a/", terminal=True)
    assert done.stdout == b"a/x_superres_01.png\na/x_superres_02.png\n"
    said = done.stderr.decode()
    (line,) = lines_of(run(*shared, "b/", "--json"))
    for output in line["outputs"]:
        score = f"{output['log_likelihood']:.1f} nats, {output['bits_per_dim']:.3f} bits/dim"
        assert f"rank {output['rank']} of 3, {score}" in said
    for quiet in (run(*shared, "c/"), run(*shared, "d/", "-q", terminal=True)):
        assert b"rank" not in quiet.stderr


def test_images_flow_through_pipes(run, tmp_path, given, model_file):
    data = (tmp_path / "x.png").read_bytes()
    shared = ("-m", 2, "--model", model_file)
    piped = caflow("superres", "-", *shared, cwd=tmp_path, stdin=data)
    assert (piped.returncode, piped.stderr) == (0, b"")
    assert [path.name for path in tmp_path.iterdir()] == ["x.png"]
    done = run("superres", "x.png", *shared, "-n", 2, "-o", "out/")
    assert (done.stdout, done.stderr) == (b"out/x_superres_01.png\nout/x_superres_02.png\n", b"")
    assert piped.stdout == (tmp_path / "out" / "x_superres_01.png").read_bytes()
    assert Image.open(io.BytesIO(piped.stdout)).size == (48, 32)
    assert run("superres", "-", "-o", "-", *shared, stdin=data).stdout == piped.stdout
    for more in (["--json"], ["-n", 2], ["--grid", "g.png"], ["--uncertainty", "u.png"]):
        told = run("superres", "-", *shared, *more, "--overwrite", stdin=data).stdout.decode()
        assert "stdin_superres" in told  # the file's name, and no image


def test_on_a_terminal_an_image_from_stdin_becomes_a_file(run, tmp_path, given):
    image = (tmp_path / "x.png").read_bytes()
    done = run("superres", "-", *given[2:], stdin=image, screen=True)
    assert (done.returncode, done.stdout) == (0, b"stdin_superres.png\n")
    assert Image.open(tmp_path / "stdin_superres.png").size == (48, 32)


def test_one_bad_image_does_not_stop_the_others(run, tmp_path, given):
    good = (tmp_path / "x.png").read_bytes()
    contents = {"1.png": good, "2.png": good[: len(good) // 2], "3.png": b"no image", "4.png": good}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    inputs = [*contents, "6.png"]
    result = run("superres", *inputs, *given[2:], "-o", "out/", "--json")
    assert result.returncode == 1
    lines = lines_of(result)
    assert [(line["input"], line["status"]) for line in lines] == [
        (name, "ok" if name in ("1.png", "4.png") else "error") for name in inputs
    ]
    stderr = result.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in stderr] == ["error", "hint"] * 3
    for line in lines:
        if line["status"] == "error":
            assert line["error"]["code"] == 1
            assert line["input"] in line["error"]["message"]
    outputs = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert outputs == ["1_superres.png", "4_superres.png"]
    assert all((tmp_path / name).read_bytes() == data for name, data in contents.items())


def test_a_dry_run_reads_images_and_counts_what_it_leaves_out(run, tmp_path, model_file):
    save(tmp_path / "in" / "1.png", 8, 8)
    touch(tmp_path / "in" / "2.png", tmp_path / "in" / "notes.txt", data=b"no image")
    save(tmp_path / "in" / "deep" / "3.png", 8, 8)
    done = run("superres", "in", "--dry-run", "--model", model_file)
    assert (done.returncode, done.stdout) == (1, b"in/1_superres.png\n")
    assert done.stderr.decode().splitlines() == [
        "in: folders left out: 1 (see -r)",
        "in: files of other kinds left out: 1",
        "in/1.png: would draw 32×32, 0.00102 megapixels, 10 candidates, by superres.safetensors",
        "error: 'in/2.png' is not an image",
        "hint: convert it to PNG, JPEG, WebP, AVIF, BMP, TIFF or GIF",
    ]


def test_what_the_format_cannot_hold_is_refused_before_it_is_drawn(run, tmp_path, model_file):
    save(tmp_path / "wide.png", 2, 4100)
    shared = ["superres", "wide.png", "--format", "webp", "--dry-run", "--model", model_file]
    assert_refused(run(*shared), 1, "16400x8 is too large for webp")
    assert run(*shared, "--scale", 2).returncode == 0


def test_a_dry_run_reads_masks(run, tmp_path, model_file):
    save(tmp_path / "in" / "1.png", 8, 12)
    for name, data, message in (
        ("good", save_mask(tmp_path / "m.png", 8, 12).read_bytes(), None),
        ("turned", save_mask(tmp_path / "m.png", 12, 8).read_bytes(), "the mask is 8x12"),
        ("small", save_mask(tmp_path / "m.png", 8, 8).read_bytes(), "the mask is 8x8, the image"),
        ("broken", b"no image", "is not an image"),
    ):
        touch(tmp_path / "masks" / "1.png", data=data)
        done = run("inpaint", "in", "--mask", "masks", "--dry-run")
        assert done.returncode == (message is not None), name
        assert (message or "") in done.stderr.decode()
    assert_refused(run("inpaint", "in/1.png", "--mask", "no.png", "--dry-run"), 2, "no mask")


def test_a_dry_run_refuses_what_the_run_refuses(run, tmp_path, model_files):
    Image.new("RGB", (2100, 2000)).save(tmp_path / "large.png")
    Image.new("RGB", (4100, 4000)).save(tmp_path / "huge.png")
    save(tmp_path / "x.png", 32, 40)
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (40, 20)).save(tmp_path / "turned.jpg", exif=turned)  # seen as 20x40
    whole = (tmp_path / "x.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    Image.new("L", (40, 32), 255).save(tmp_path / "white.png")
    superres = ["superres", "--model", model_files["superres"]]
    inpaint = ["inpaint", "--model", model_files["inpaint"]]
    colorize = ["colorize", "--model", model_files["colorize"]]
    for command in (
        [*superres, "cut.png"],
        [*inpaint, "x.png", "--mask", "white.png"],
        [*inpaint, "x.png", "--mask", "cut.png"],
        [*colorize, "x.png", "--hint", "50,60=#4a6b3c"],
        [*colorize, "x.png", "--hints", "cut.png"],
        [*superres, "large.png"],
        [*superres, "huge.png", "--scale", 4],
        [*superres, "large.png", "x.png"],
        [*superres, "turned.jpg", "--scale", "40x40"],
        [*superres, "x.png", "--scale", 5],
        [*superres, "x.png", "--uncertainty", "u.png"],
        [*superres, "x.png", "--tau", "0.9/0.5"],
        ["colorize", "x.png", "--model", model_files["paired"]],
        ["colorize", "x.png", "--model", "./none"],
        [*inpaint, "x.png"],
        [*inpaint, "x.png", "turned.jpg"],
        ["sample", "--cond", "x.png", *inpaint[1:]],
        ["sample", "--cond", "x.png", *superres[1:], "--mask", "x.png"],
    ):
        done = run(*command, "-o", "real/", "--overwrite", "--json", CAFLOW_SUPERRES_CANDIDATES="1")
        dry = run(*command, "-o", "dry/", "--dry-run", "--json", CAFLOW_SUPERRES_CANDIDATES="1")
        assert dry.returncode == done.returncode != 0, command
        errors = [line for line in done.stderr.splitlines() if line[:6] in (b"error:", b"hint: ")]
        assert [line for line in dry.stderr.splitlines() if line in errors] == errors
        assert [line["status"] == "error" for line in lines_of(dry)] == [
            line["status"] == "error" for line in lines_of(done)
        ]
    assert not (tmp_path / "dry").exists()


def test_a_dry_run_states_what_would_be_drawn(run, tmp_path, model_files):
    save(tmp_path / "x.png", 60, 100)
    given = ["superres", "x.png", "--model", model_files["superres"], "--dry-run"]
    done = run(*given)
    assert done.stdout == b"x_superres.png\n"
    assert done.stderr.decode().splitlines() == [
        "x.png: 7 candidates at this size; -m 10 draws 10",
        "x.png: would draw 400×240, 0.096 megapixels, 7 candidates, by superres.safetensors",
    ]
    line = only_record(run(*given, "--json", "-m", 1))
    assert (line["megapixels"], line["candidates"]) == (0.096, 1)
    assert line["model"]["id"] == "superres.safetensors"
    mask = save_mask(tmp_path / "m.png", 60, 100)
    line = only_record(run("inpaint", "x.png", "--mask", mask, "--json", "--dry-run"))
    assert "megapixels" not in line


def test_an_image_in_tiles_tells_its_time_after_the_first_tile(run, tmp_path, model_files):
    save(tmp_path / "x.png", 368, 368)
    done = run("superres", "x.png", "-m", 1, "--model", model_files["superres"])
    said = done.stderr.decode().splitlines()
    assert done.returncode == 0
    assert re.fullmatch(r"x\.png: takes about \d+ (s|min)", said[-1])
    assert said[-2] == "x.png: draws 2.2 megapixels in tiles"


def test_a_gray_image_is_filled_with_gray_and_scored_so(run, tmp_path, model_files):
    image = pixels(save(tmp_path / "x.png", 32, 40))[..., :1].repeat(3, 2)
    Image.fromarray(image).save(tmp_path / "x.png")
    mask = ["--mask", save_mask(tmp_path / "m.png", 32, 40), "--model", model_files["inpaint"]]
    (output,) = only_record(run("inpaint", "x.png", "-m", 1, "--json", *mask))["outputs"]
    filled = pixels(tmp_path / "x_inpaint.png")
    assert not np.ptp(filled, axis=-1).any()
    assert not np.array_equal(filled, image)
    pair = ["score", "--cond", "x.png", "--target", "x_inpaint.png", "--json", *mask]
    repeated = only_record(run(*pair))["rank_score"]
    assert repeated == pytest.approx(output["rank_score"], abs=0.01)


def test_sample_takes_any_model_and_asks_for_what_it_needs(run, tmp_path, model_files):
    save(tmp_path / "x.png", 32, 32)
    mask = save_mask(tmp_path / "m.png", 32, 32)
    base = ["sample", "--cond", "x.png", "-m", 1]
    assert_refused(run(*base, "--model", model_files["inpaint"]), 2, "needs a mask")
    extra = run(*base, "--mask", mask, "--model", model_files["colorize"])
    assert_refused(extra, 2, "takes no mask")
    assert run(*base, "-o", "x4.png", "--model", model_files["superres"]).returncode == 0
    assert Image.open(tmp_path / "x4.png").size == (128, 128)
    wrong = run("colorize", "x.png", "--model", model_files["paired"])
    assert_refused(wrong, 2, "is for paired, not colorize")
    assert b"caflow sample" in wrong.stderr


def test_every_format_is_written_and_scored(run, tmp_path, given, model_file):
    images = []
    for name, options, exact in (
        ("a.png", [], True),
        ("a.tiff", [], True),
        ("a.jpg", [], False),
        ("b.webp", ["--quality", 80], False),
        ("a.avif", [], False),
    ):
        (output,) = only_record(run(*given, "--json", "-o", name, *options))["outputs"]
        assert output["score_exact"] is exact
        images.append(read_image(tmp_path / name))
        assert np.array_equal(images[0], images[-1]) is exact
        # The model is the one that the image names.
        pair = ("score", "--cond", "x.png", "--target", name, "--json")
        repeated = only_record(run(*pair, CAFLOW_SCORE_MODEL=str(model_file)))["log_likelihood"]
        assert (abs(repeated - output["log_likelihood"]) < 0.01) is exact
    run(*given, "-o", "out/", "--format", "webp", "--no-provenance")
    assert np.array_equal(read_image(tmp_path / "out" / "x_superres.webp"), images[0])
    assert read_provenance(tmp_path / "out" / "x_superres.webp") is None
    piped = run(*given, "-o", "-", "--format", "tiff")
    assert decode(io.BytesIO(piped.stdout)).format == "TIFF"


def test_what_is_kept_is_not_said_to_be_written(run, tmp_path, given):
    """A kept file may be another candidate's, so no score of this run belongs to it."""
    shared = (*given, "-o", "x4.png", "-m", 3, "-n", 2)
    assert run(*shared, "--seed", 1).returncode == 0
    kept = (tmp_path / "x4_01.png").read_bytes()
    (tmp_path / "x4_02.png").unlink()
    done = run(*shared, "--seed", 7, "--skip-existing", "--json")
    (line,) = lines_of(done)
    assert [(one["rank"], one["path"]) for one in line["outputs"]] == [(2, "x4_02.png")]
    assert len(line["candidates"]) == 3
    assert b"x4_01.png exists and is kept" in done.stderr
    assert (tmp_path / "x4_01.png").read_bytes() == kept


def test_a_folder_goes_on_where_it_stopped(run, tmp_path, model_file):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "sub/c.png"):
        Image.fromarray(PHOTO).save(tmp_path / "in" / name)
    shared = ("superres", "in", "-r", "-m", 1, "--model")
    assert run(*shared, model_file, "-o", "out").returncode == 0
    assert_refused(run(*shared, model_file, "-o", "out"), 2, "exists")
    (tmp_path / "out" / "b_superres.png").unlink()
    before = (tmp_path / "out" / "a_superres.png").stat().st_mtime_ns
    lines = lines_of(run(*shared, model_file, "-o", "out", "--skip-existing", "--json"))
    assert [line["status"] for line in lines] == ["skipped", "ok", "skipped"]
    assert lines[0]["outputs"] == [{"rank": 1, "path": "out/a_superres.png"}]
    assert (tmp_path / "out" / "a_superres.png").stat().st_mtime_ns == before
    # All done: no model is needed to say so.
    done = run(*shared, "./none", "-o", "out", "--skip-existing")
    assert (done.returncode, done.stdout) == (0, b"")
    assert b"in/a.png: skipped, out/a_superres.png exists\n" in done.stderr
    # Into the same folder, twice: the second time its own results are no inputs.
    for _ in range(2):
        done = run(*shared, model_file, "--overwrite")
        assert len(done.stdout.splitlines()) == 3
    assert b"of other inputs left out: 3" in done.stderr


def test_an_image_unlike_the_training_is_warned_of(run, tmp_path, model_file):
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    shared = ["superres", "noise.png", "example:face", "-m", 1, "-o", "out/", "--overwrite"]
    done = run(*shared, "--model", "faces-superres-x4")
    assert done.returncode == 0
    (warning,) = [line for line in done.stderr.decode().splitlines() if "warning" in line]
    assert warning.startswith(
        "warning: noise.png: this image is unlike the training data of faces-superres"
    )
    assert b"warning" not in run(*shared, "--model", model_file).stderr  # a file that does not say


def test_saturation_scales_what_is_written_and_not_what_is_scored(run, tmp_path, model_files):
    Image.new("L", (20, 24), 90).save(tmp_path / "x.png")
    given = ["colorize", "x.png", "--model", model_files["colorize"], "-m", 2, "--json"]
    lines = [
        only_record(run(*given, *more, "-o", name))
        for name, more in (("a.png", []), ("b.png", ["--saturation", 0]))
    ]
    assert "saturation" not in lines[0]
    assert lines[1]["saturation"] == read_provenance(tmp_path / "b.png")["saturation"] == 0
    (own,), (gray,) = (line["outputs"] for line in lines)
    assert own["log_likelihood"] == gray["log_likelihood"]
    assert (own["score_exact"], gray["score_exact"]) == (True, False)
    assert np.ptp(pixels(tmp_path / "a.png").astype(int), axis=-1).any()
    assert (pixels(tmp_path / "b.png") == 90).all()
    refused = run("score", "--cond", "x.png", "--target", "b.png", *given[2:4])
    assert_refused(refused, 1, "(--saturation)")
    assert_refused(run(*given, "--saturation", -1), 2, "--saturation")


GRAY = {
    "bits.png": Image.fromarray(PHOTO[..., 0] > 100),
    "level.png": Image.fromarray(PHOTO[..., 0]),
    "alpha.png": Image.fromarray(np.dstack([PHOTO[..., 1], ALPHA])),
    "deep.tif": Image.fromarray(PHOTO[..., 2].astype(np.uint16) * 257),
}


@pytest.mark.parametrize("name", GRAY)
@pytest.mark.parametrize("task", ["superres", "inpaint"])
def test_gray_images_come_back_gray_and_score_as_they_were_ranked(
    run, tmp_path, model_files, name, task
):
    GRAY[name].save(tmp_path / name)
    more = []
    if task == "inpaint":
        Image.fromarray(np.pad(np.full((3, 3), 255, np.uint8), ((2, 3), (2, 3)))).save(
            tmp_path / "mask.png"
        )
        more = ["--mask", "mask.png"]
    given = [task, name, *more, "--model", model_files[task], "-m", 2]
    done = run(*given, "-o", "out.png", "--json")
    (output,) = only_record(done)["outputs"]
    with Image.open(tmp_path / "out.png") as stored:
        assert stored.mode == {"alpha.png": "LA", "deep.tif": "I;16"}.get(name, "L")
    scored = ["score", "--cond", name, "--target", "out.png", *more, *given[-4:-2], "--json"]
    again = only_record(run(*scored))
    if name != "alpha.png":  # alpha blends hidden pixels
        assert again["rank_score"] == output["rank_score"]
    # In Python, and of the same image in RGB.
    model = load(model_files[task])
    mask = tmp_path / "mask.png" if more else None
    found = caflow_cli.restore(model, tmp_path / name, candidates=2, mask=mask)
    (path,) = found.save(tmp_path / "python.png")
    written = [np.asarray(Image.open(file)) for file in (path, tmp_path / "out.png")]
    np.testing.assert_array_equal(*written)
    GRAY["level.png"].convert("RGB").save(tmp_path / "rgb.png")
    run(task, "rgb.png", *given[2:], "-o", "color.png")
    assert Image.open(tmp_path / "color.png").mode == "RGB"


def test_the_hint_at_a_model_of_faces_is_for_inputs_of_its_sizes(run, tmp_path):
    sides = 11, 12, 32, 33
    for side in sides:
        save(tmp_path / f"{side}.png", side, side)
    save(tmp_path / "oblong.png", 16, 20)
    inputs = [f"{name}.png" for name in (*sides, "oblong")]
    options = ["-m", 1, "-o", "out/", "--dry-run"]
    said = run("superres", *inputs, *options, "-v").stderr.decode().splitlines()
    hints = [line.partition(":") for line in said if "face" in line]
    hint = " if this is an aligned face, try --model faces-superres-x4"
    assert hints == [("12.png", ":", hint), ("32.png", ":", hint)]
    named = run("superres", "12.png", *options, "--model", "photos-superres-x4").stderr
    assert b"aligned face" not in named


def test_a_resized_image_says_so_and_is_not_scored(run, tmp_path, given):
    Image.new("RGBA", (8, 8), (90, 90, 90, 120)).save(tmp_path / "alpha.png")
    whole = only_record(run(*given, "--json", "-o", "whole.png"))
    assert "resized" not in whole
    line = only_record(run(*given, "--json", "--scale", 2, "-o", "half.png"))
    resized = {"drawn": [48, 32], "written": [24, 16], "filter": "lanczos"}
    assert line["resized"] == read_provenance(tmp_path / "half.png")["resized"] == resized
    (output,) = line["outputs"]
    assert output["score_exact"] is False
    assert output["log_likelihood"] == whole["outputs"][0]["log_likelihood"]
    drawn = Image.open(tmp_path / "whole.png").resize((24, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(pixels(tmp_path / "half.png"), np.asarray(drawn))
    refused = run("score", "--cond", "x.png", "--target", "half.png", *given[-2:])
    assert_refused(refused, 1, "'half.png' was changed after it was drawn and scored (--scale)")
    done = run("superres", "alpha.png", "whole.png", *given[2:], "--scale", "20x30", "-o", "out/")
    assert done.returncode == 1
    assert b"whole.png: the image, 48x32, already fills 20x30" in done.stderr
    image = Image.open(tmp_path / "out" / "alpha_superres.png")
    assert (image.size, image.mode) == ((20, 20), "RGBA")


def test_alpha_comes_back_enlarged_and_hidden_colors_do_not_show(run, tmp_path, given):
    outputs = []
    for name, hidden in (("a", [0, 255, 255]), ("b", [255, 0, 255])):
        colors = np.where(ALPHA[..., None] == 0, hidden, PHOTO).astype(np.uint8)
        Image.fromarray(np.dstack([colors, ALPHA])).save(tmp_path / f"{name}.png")
        shared = ("superres", f"{name}.png", *given[2:])
        outputs += only_record(run(*shared, "--json", "-o", f"{name}4.png"))["outputs"]
    assert outputs[0]["score_exact"] is False
    assert outputs[0]["log_likelihood"] == outputs[1]["log_likelihood"]
    result, other = (decode(tmp_path / f"{name}4.png") for name in "ab")
    wanted = Image.fromarray(ALPHA).resize((32, 32), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(result.image.alpha, wanted)
    np.testing.assert_array_equal(result.image.values, other.image.values)
    pair = ("score", "--cond", "a.png", "--target", "a4.png", "--json", *given[-2:])
    record = only_record(run(*pair))
    assert record["score_exact"] is False
    assert record["log_likelihood"] == pytest.approx(outputs[0]["log_likelihood"], abs=0.01)
    done = run(*shared, "-o", "b.jpg")
    assert done.stderr == b"b.png: composited on white, because jpg has no alpha\n"
    assert read_image(tmp_path / "b.jpg")[:, :3].min() > 235


def test_above_64_megapixels_a_scale_has_to_be_typed(run, tmp_path, model_file):
    Image.new("RGB", (2100, 2000)).save(tmp_path / "a.png")
    Image.new("RGB", (4100, 4000)).save(tmp_path / "b.png")
    refused = run("superres", "a.png", "-m", 1, "--model", model_file)
    assert_refused(
        refused,
        1,
        "the image is 2100x2000, and the model would draw 8400×8000, 67 megapixels: more than 64",
    )
    assert "--scale 8400x8000 confirms its size" in refused.stderr.decode()
    sampled = run("sample", "--cond", "a.png", "-m", 1, "--model", model_file, "--dry-run")
    assert (sampled.returncode, b"draws 67.2 megapixels" in sampled.stderr) == (0, True)
    refused = run("superres", "b.png", "-m", 2, "--model", model_file, "--scale", 2)
    assert_refused(refused, 1, "would draw 16400×16000, 262 megapixels: more than 256")
    refused = run("superres", "b.png", "--model", model_file, "--scale", 4)
    assert_refused(refused, 1, "--scale enlarges 4100x4000 to 16400x16000, which is too large")
    dry = run("superres", "b.png", "--model", model_file, "--scale", 2, "--dry-run")
    assert dry.returncode == 0
    told = r"b.png: draws 262.4 megapixels in tiles, which takes about \d+ (s|min)\n"
    assert re.search(told, dry.stderr.decode())


def test_metadata_is_kept_if_asked_for(tmp_path, run, model_file):
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8825).update({1: "N"})
    Image.fromarray(PHOTO).save(tmp_path / "x.jpg", exif=exif)
    Image.fromarray(PHOTO).save(tmp_path / "bad.jpg", exif=b"Exif\0\0II*")

    def kept(*arguments, **environment):
        given = ["superres", "-m", 1, "--model", model_file, "--overwrite", "-o", "out.png"]
        assert run(*given, *arguments, **environment).returncode == 0
        read = Image.open(tmp_path / "out.png").getexif()
        return read.get(0x010F), dict(read.get_ifd(0x8825))

    for arguments, place in (
        (["x.jpg"], None),
        (["--keep-metadata", "x.jpg"], {}),
        (["x.jpg", "--keep-metadata"], {}),
        (["--keep-metadata", "--", "x.jpg"], {}),
        (["--keep-metadata", "--keep-place", "x.jpg"], {1: "N"}),
    ):
        assert kept(*arguments) == ((None, {}) if place is None else ("Maker", place)), arguments
    both = {"CAFLOW_SUPERRES_KEEP_METADATA": "1", "CAFLOW_SUPERRES_KEEP_PLACE": "1"}
    assert kept("x.jpg", **both) == ("Maker", {1: "N"})
    done = run("superres", "bad.jpg", "-m", 1, "--model", model_file, "--keep-metadata")
    assert done.returncode == 0
    assert b"bad.jpg: its EXIF is unreadable" in done.stderr
    done = run("superres", "x.jpg", "--keep-place", "--model", model_file)
    assert (done.returncode, b"--keep-place is for --keep-metadata" in done.stderr) == (2, True)

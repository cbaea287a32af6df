"""The restoring commands: what they write, keep, refuse and report."""

from __future__ import annotations

import io
import json
import sys
import traceback
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from image_files import encoded
from PIL import Image

from caflow_cli import inference
from caflow_cli.assets import example_path
from caflow_cli.images import decode, read_image, read_provenance
from caflow_cli.model.density import Density

from .process import assert_refused, caflow
from .results import lines_of, only_record, records
from .scenes import PHOTO, save, save_mask


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["superres", "x.png", "--tau", "-1"], "tau is -1.0"),
        (["superres", "x.png", "-m", "2", "-n", "3"], "cannot keep 3 of 2"),
        (["superres", "x.png", "-m", "0", "-n", "0"], "cannot draw 0"),
        (["superres", "example:face", "--device", "abacus"], "'abacus'"),
        (["superres", "example:face", "--device", "cuda:77"], "'cuda:77'"),
        (["superres", "x.png", "--seed", "-5"], "seed -5"),
        (["superres", "x.png", "--rank", "beauty"], "'beauty'"),
        (["superres", "x.png", "-o", "out.gif"], "'out.gif'"),
        (["superres", "x.png", "y.png", "-o", "out.png"], "one file for 2 inputs"),
        (["superres", "x.png", "-n", "2", "-o", "-"], "one image, not 2"),
        (["superres", "x.png", "-o", "-", "--json"], "stdout"),
        (["superres", "example:dog"], "'dog'"),
        (["superres", "a/x.png", "b/x.png", "-o", "out/"], "would both be written"),
        (["superres", "."], "no images in the folder '.'"),
        (["superres", "*.tif"], "no file matches '*.tif'"),
        (["superres", ""], "'' is not an image"),
        (["superres", "x" * 250 + ".png"], "cannot write"),
        (["superres", "x.png", "-o", "/dev/null/x.png"], "not a writable folder"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(run, tmp_path, arguments, message):
    result = run(*arguments)
    assert_refused(result, 2, message)
    assert not list(tmp_path.iterdir())


def test_compiling_needs_a_compiler(run, small_picture):
    refused = run("superres", small_picture, "--model", "none", "--compile", CXX="no-such-compiler")
    assert_refused(refused, 2, "no C++ compiler 'no-such-compiler'")


@contextmanager
def calls_of(function):
    """The frames of each call of a function in this thread, with its locals; nothing is changed."""
    found: list[tuple[dict, list]] = []

    def see(frame, event, _):
        if event == "call" and frame.f_code is function.__code__:
            stack = [one.f_code for one, _ in traceback.walk_stack(frame)]
            found.append((dict(frame.f_locals), stack))

    sys.setprofile(see)
    try:
        yield found
    finally:
        sys.setprofile(None)


def test_a_command_reaches_the_model_in_few_frames_of_the_main_thread(
    run, small_picture, model_file
):
    with calls_of(Density.inverse) as calls:
        done = run("superres", small_picture, "-m", 1, "-o", "x.png", "--model", model_file)
    assert done.returncode == 0, done.stderr
    own = [code.co_name for code in calls[0][1] if "caflow_cli" in code.co_filename]
    frames = own[: own.index("main") + 1]
    assert frames[0] == "inverse"
    assert len(frames) <= 15, frames


def test_neighbours_of_one_size_share_a_batch_and_one_of_them_may_fail(run, tmp_path):
    """Of noise every sample of the model of faces diverges."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    face = read_image(example_path("face"))
    (tmp_path / "in").mkdir()
    for name, image in (("0", face), ("1", noise), ("2", face[::-1]), ("4", face[:12])):
        Image.fromarray(image).save(tmp_path / "in" / f"{name}.png")
    (tmp_path / "in" / "3.png").write_bytes(b"damaged")
    shared = ["-q", "-m", 1, "--json", "--model", "faces-superres-x4", "-o"]
    alone = [run("superres", f"in/{n}.png", *shared, "one/") for n in range(5)]
    with calls_of(inference.restore_images) as calls:
        together = run("superres", "in", *shared, "many")
    assert [len(given["images"]) for given, _ in calls] == [3, 1, 1, 1, 1]
    assert together.returncode == 1
    assert together.stderr == b"".join(one.stderr for one in alone)
    found = [(r["input"], r["status"]) for r in records(together)]
    assert found == [(r["input"], r["status"]) for one in alone for r in records(one)]
    assert [status for _, status in found] == ["ok", "error", "ok", "error", "ok"]
    assert b"error: in/1.png: 11 samples in a row diverged at tau 0.9/0.7/0.5\n" in together.stderr
    for path in (tmp_path / "one").iterdir():
        a, b = (read_image(p).astype(int) for p in (path, tmp_path / "many" / path.name))
        assert np.abs(a - b).max() <= 1


def test_what_diverged_is_left_out_and_too_few_are_exit_1(run, tmp_path):
    """At this temperature half of the candidates diverge eleven times."""
    shared = ["superres", "example:face", "--model", "faces-superres-x4", "--tau", 1.25, "-m", 6]
    done = run(*shared, "-n", 6, "-o", "out/", "--json")
    (line,) = lines_of(done)
    count = len(line["candidates"])
    assert done.returncode == 1
    assert 0 < count < 6
    assert line["diverged"] == 6 - count
    assert len(line["outputs"]) == len(list((tmp_path / "out").iterdir())) == count
    assert f"only {count} of 6 images to keep".encode() in done.stderr
    assert f"{6 - count} of 6 candidates diverged at tau 1.25".encode() in done.stderr
    assert run(*shared, "-n", 1, "-o", "x.png").returncode == 0


def test_pictures_flow_through_pipes(run, tmp_path, small_picture, model_file):
    shared = ("-m", 2, "--model", model_file)
    piped = caflow(
        "superres", "-", "-o", "-", *shared, cwd=tmp_path, stdin=small_picture.read_bytes()
    )
    assert piped.returncode == 0
    assert piped.stderr == b""
    assert not list(tmp_path.iterdir())
    run("superres", small_picture, "-o", "file.png", *shared)
    assert piped.stdout == (tmp_path / "file.png").read_bytes()
    assert Image.open(io.BytesIO(piped.stdout)).size == (32, 32)


def test_existing_outputs_are_kept_unless_told_otherwise(run, tmp_path, small_picture, model_file):
    out = tmp_path / "x.png"
    out.write_bytes(b"precious")
    shared = ("superres", small_picture, "-m", 1, "-o", "x.png", "--model", model_file)
    assert_refused(run(*shared), 2, "'x.png' exists")
    assert out.read_bytes() == b"precious"
    assert run(*shared, "--overwrite").returncode == 0
    assert Image.open(out).size == (32, 32)


def test_one_bad_picture_does_not_stop_the_others(run, tmp_path, small_picture, model_file):
    good = small_picture.read_bytes()
    contents = {
        "1.png": good,
        "2.png": b"",
        "3.png": good[: len(good) // 2],
        "4.png": b"not an image",
        "5.png": good,
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "6.png").mkdir()
    inputs = [*contents, "6.png", "7.png"]
    result = run("superres", *inputs, "-m", 1, "-o", "out/", "--json", "--model", model_file)
    assert result.returncode == 1
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(r["input"], r["status"]) for r in records] == [
        (name, "ok" if name in ("1.png", "5.png") else "error") for name in inputs
    ]
    stderr = result.stderr.decode().splitlines()
    assert [line.split(":")[0] for line in stderr] == ["error", "hint"] * 5
    for record in records:
        if record["status"] == "error":
            assert record["error"]["code"] == 1
            assert record["input"] in record["error"]["message"]
            assert record["error"]["hint"]
    outputs = sorted(p.name for p in (tmp_path / "out").iterdir())
    assert outputs == ["1_superres.png", "5_superres.png"]
    for name, content in contents.items():
        assert (tmp_path / name).read_bytes() == content


def test_defaults_are_flag_then_model_then_task(run, tmp_path, model_files):
    save(tmp_path / "x.png", 8, 8)
    given = ["--cond", "x.png", "--json", "--model", model_files["paired"]]
    params = records(run("sample", *given))[0]["params"]
    assert (params["tau"], params["candidates"]) == ([0.8], 10)
    params = records(run("sample", *given, "--overwrite", "--tau", 0.1, "-m", 2))[0]["params"]
    assert (params["tau"], params["candidates"]) == ([0.1], 2)


def test_one_mask_that_does_not_fit_fails_one_picture(run, tmp_path, model_files):
    save(tmp_path / "a.png", 40, 40)
    save(tmp_path / "b.png", 40, 41)
    save_mask(tmp_path / "m.png", 40, 41)
    done = run(
        *["inpaint", "a.png", "b.png", "--mask", "m.png", "-m", 1, "--json"],
        *["--model", model_files["inpaint"]],
    )
    assert done.returncode == 1
    failed, ok = records(done)
    assert (failed["status"], failed["mask"], ok["status"]) == ("error", "m.png", "ok")
    assert "the mask is 41x40, the image 40x40" in failed["error"]["message"]
    assert not (tmp_path / "a_inpaint.png").exists()


def test_every_format_is_written_and_scored(run, tmp_path, model_file):
    Image.fromarray(PHOTO).save(tmp_path / "x.png")
    shared = ("superres", "x.png", "-m", 1, "--json", "--model", model_file)
    first = None
    for name, options, exact in (
        ("a.png", [], True),
        ("a.webp", [], True),
        ("a.tiff", [], True),
        ("a.jpg", [], False),
        ("b.webp", ["--quality", 80], False),
    ):
        (output,) = only_record(run(*shared, "-o", name, *options))["outputs"]
        assert output["score_exact"] is exact
        assert read_provenance(tmp_path / name)["seed"] == output["seed"]
        image = read_image(tmp_path / name)
        first = image if first is None else first
        assert np.array_equal(image, first) is exact
        # The model is the one that the picture names.
        scored = run(
            *("score", "--cond", "x.png", "--target", name, "--json"),
            CAFLOW_SCORE_MODEL=str(model_file),
        )
        repeated = only_record(scored)["log_likelihood"]
        assert (abs(repeated - output["log_likelihood"]) < 0.01) is exact
    run(*shared, "-o", "out/", "--format", "webp", "--no-provenance")
    assert np.array_equal(read_image(tmp_path / "out" / "x_superres.webp"), first)
    assert read_provenance(tmp_path / "out" / "x_superres.webp") is None
    piped = run(*shared[:4], "--model", model_file, "-o", "-", "--format", "tiff")
    assert decode(io.BytesIO(piped.stdout)).format == "TIFF"


def test_the_first_frame_of_an_animation_is_used(run, tmp_path, model_file):
    frames = [Image.fromarray(np.roll(PHOTO, 2 * i, 0)) for i in range(3)]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:])
    (tmp_path / "x.png").write_bytes(data)
    frames[0].save(tmp_path / "first.png")
    shared = ("-m", 1, "-o", "out/", "--model", model_file)
    done = run("superres", "x.png", "first.png", *shared)
    assert (done.returncode, done.stderr.count(b"3 frames")) == (0, 1), done.stderr
    assert b"x.png: the first of 3 frames is used" in done.stderr
    np.testing.assert_array_equal(
        read_image(tmp_path / "out" / "x_superres.png"),
        read_image(tmp_path / "out" / "first_superres.png"),
    )
    pair = ("score", "--cond", "x.png", "--target", "out/x_superres.png", "--model", model_file)
    moving, still = run(*pair), run(*pair[:2], "first.png", *pair[3:])
    assert moving.returncode == 0, moving.stderr
    assert b"x.png: the first of 3 frames is used" in moving.stderr
    assert moving.stdout == still.stdout
    assert read_provenance(tmp_path / "x.png") is None  # of an animation, too


def test_what_is_kept_is_not_said_to_be_written(run, tmp_path, small_picture, model_file):
    """It is another candidate's, so no score of this run is its own."""
    shared = ("superres", small_picture, "-o", "x.png", "-m", 3, "-n", 2, "--model", model_file)
    assert run(*shared, "--seed", 1).returncode == 0
    kept = (tmp_path / "x_01.png").read_bytes()
    (tmp_path / "x_02.png").unlink()
    done = run(*shared, "--seed", 7, "--skip-existing", "--json")
    (line,) = (json.loads(text) for text in done.stdout.splitlines())
    assert [(one["rank"], one["path"]) for one in line["outputs"]] == [(2, "x_02.png")]
    assert len(line["candidates"]) == 3
    assert b"x_01.png exists, and is kept" in done.stderr
    assert (tmp_path / "x_01.png").read_bytes() == kept
    (tmp_path / "x_02.png").unlink()
    assert run(*shared, "--seed", 7, "--skip-existing").stdout == b"x_02.png\n"


def test_a_folder_goes_on_where_it_stopped(run, tmp_path, model_file):
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a.png", "b.jpg", "sub/c.png"):
        Image.fromarray(PHOTO).save(tmp_path / "in" / name)
    shared = ("superres", "in", "-r", "-m", 1, "--model")
    assert run(*shared, model_file, "-o", "out").returncode == 0
    assert_refused(run(*shared, model_file, "-o", "out"), 2, "exists")
    (tmp_path / "out" / "b_superres.png").unlink()
    before = (tmp_path / "out" / "a_superres.png").stat().st_mtime_ns
    done = run(*shared, model_file, "-o", "out", "--skip-existing", "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [Path(r["input"]).name for r in records] == ["a.png", "b.jpg", "c.png"]
    assert [r["status"] for r in records] == ["skipped", "ok", "skipped"]
    assert records[0]["outputs"] == [{"rank": 1, "path": str(Path("out/a_superres.png"))}]
    assert (tmp_path / "out" / "a_superres.png").stat().st_mtime_ns == before
    # All done: no model is needed to say so.
    done = run(*shared, "./none", "-o", "out", "--skip-existing")
    assert done.returncode == 0
    assert done.stdout == b""
    assert b"in/a.png: skipped, out/a_superres.png exists\n" in done.stderr
    # Into the same folder, twice: the second time its own results are no inputs.
    for count in (3, 3):
        done = run(*shared, model_file, "--overwrite")
        assert len(done.stdout.splitlines()) == count
    assert b"3 earlier results left out" in done.stderr


def test_a_picture_unlike_the_training_is_warned_of(run, tmp_path, model_file):
    Image.new("RGB", (16, 16), (90, 90, 90)).save(tmp_path / "flat.png")
    shared = ["superres", "flat.png", "example:face", "-m", 1, "-o", "out/", "--overwrite"]
    faces = ["--model", "faces-superres-x4"]
    done = run(*shared, *faces)
    assert done.returncode == 0
    (warning,) = done.stderr.decode().splitlines()
    said = "this image is unlike those that faces-superres-x4 learned from: its distance is "
    assert warning.startswith(f"warning: flat.png: {said}")
    assert b"warning" not in run(*shared, *faces, "-q").stderr
    assert b"warning" not in run(*shared, "--model", model_file).stderr  # a file that does not say


def test_a_usage_error_is_found_before_pictures_are_read(run):
    """The pictures do not exist: a message about one would come too late."""
    assert_refused(run("inpaint", "-", "--mask", "-"), 2, "stdin")
    assert_refused(run("colorize", "nowhere.png", "--tau", -1), 2, "tau is -1")


def test_a_temperature_may_have_a_shape(run, tmp_path, small_picture, model_file):
    shared = ["superres", small_picture, "-m", 2, "--json", "--overwrite", "--model", model_file]
    pictures = {}
    for tau in ("0.9/0.5/0.2", "0.9/0.5/0.2/0.5/0.2/0.2", "0.2/0.5/0.9"):
        record = only_record(run(*shared, "-o", "x.png", "--tau", tau))
        assert record["params"]["tau"] == [float(part) for part in tau.split("/")]
        assert read_provenance(tmp_path / "x.png")["tau"] == record["params"]["tau"]
        pictures[tau] = read_image(tmp_path / "x.png").tolist()
    by_scale, by_latent, other = pictures.values()
    assert by_scale == by_latent != other
    result = run(*shared, "-o", "y.png", "--tau", "0.9/0.5")
    assert_refused(result, 2, "tau 0.9/0.5 has 2 values")
    assert (
        "3 (one value per scale, finest first) or 6 (one value per latent)"
        in result.stderr.decode()
    )
    assert not (tmp_path / "y.png").exists()

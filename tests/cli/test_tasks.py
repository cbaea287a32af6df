"""Every task from the command line: outputs, masks, scores that repeat, plans."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from caflow_cli.tasks import TASKS

from .process import assert_refused

COMMANDS = {"superres": "superres", "colorize": "colorize", "inpaint": "inpaint"}


def save(path: Path, height: int, width: int, seed: int = 0) -> Path:
    rows, columns = np.mgrid[:height, :width]
    noise = np.random.default_rng(seed).normal(0, 4, (height, width, 3))
    values = (rows * 3 + columns)[..., None] + [20, 40, 60] + noise
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values.clip(0, 255).astype(np.uint8)).save(path)
    return path


def save_mask(path: Path, height: int, width: int) -> Path:
    mask = np.zeros((height, width), np.uint8)
    mask[height // 4 : height // 2, width // 4 : width // 2] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(mask).save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"))


def records(result) -> list[dict]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_score_repeats_what_ranked_at_two_sizes(run, tmp_path, model_files, task):
    """All commands, JSON against `score` with --model, and with the picture's own word."""
    command = "sample" if task == "paired" else task
    factor = 4 if task == "superres" else 1
    for height, width in ((32, 32), (72, 48)):
        image = save(tmp_path / f"a{height}.png", height // factor, width // factor)
        given = ["--cond", image] if command == "sample" else [image]
        mask = []
        if task == "inpaint":
            mask = ["--mask", save_mask(tmp_path / "m.png", height, width)]
        model = model_files[task]
        done = run(command, *given, *mask, *["-m", "3", "-n", "2", "--json", "--model"], model)
        assert done.returncode == 0, done.stderr
        (record,) = records(done)
        assert record["command"] == command
        assert [o["path"] for o in record["outputs"]] == [
            str(tmp_path / f"a{height}_{command}_0{rank}.png") for rank in (1, 2)
        ]
        for output in record["outputs"]:
            assert Image.open(output["path"]).size == (width, height)
            pair = ["--cond", image, "--target", output["path"], *mask]
            scored = run("score", *pair, "--json", CAFLOW_MODEL=str(model))
            (again,) = records(scored)
            assert again["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=1e-2)
            for field in ("score_domain", "scored_size"):
                assert again[field] == output[field]
            assert again.get("mask") == (str(mask[1]) if mask else None)


def test_colorize_keeps_the_luminance_and_inpaint_what_is_known(run, tmp_path, model_files):
    image, mask = save(tmp_path / "x.png", 90, 60), save_mask(tmp_path / "m.png", 90, 60)
    assert run("colorize", image, "-m", 1, "--model", model_files["colorize"]).returncode == 0
    grey = [np.asarray(Image.open(p).convert("L")) for p in (image, tmp_path / "x_colorize.png")]
    assert np.array_equal(*grey)
    assert not np.array_equal(pixels(image), pixels(tmp_path / "x_colorize.png"))
    done = run("inpaint", image, "--mask", mask, "-m", 1, "--model", model_files["inpaint"])
    assert done.returncode == 0, done.stderr
    known = np.asarray(Image.open(mask)) == 0
    result = pixels(tmp_path / "x_inpaint.png")
    assert np.array_equal(result[known], pixels(image)[known])
    assert not np.array_equal(result, pixels(image))


def test_a_folder_of_masks_is_matched_by_stem(run, tmp_path, model_files):
    for name, size in (("a", (40, 40)), ("b", (64, 32))):
        save(tmp_path / f"{name}.png", *size)
        save_mask(tmp_path / "masks" / f"{name}.bmp", *size)
    given = ["inpaint", "a.png", "b.png", "-o", "out/", "-m", 1, "--json"]
    done = run(*given, "--mask", "masks", "--model", model_files["inpaint"])
    assert done.returncode == 0, done.stderr
    assert [r["mask"] for r in records(done)] == ["masks/a.bmp", "masks/b.bmp"]
    # Scored by folders as well: conditions, results of another stem, masks.
    save(tmp_path / "in" / "a.png", 40, 40)
    save(tmp_path / "in" / "b.png", 64, 32)
    scored = run(
        *["score", "--cond", "in", "--target", "out", "--mask", "masks", "--json"],
        CAFLOW_MODEL=str(model_files["inpaint"]),
    )
    assert [r["log_likelihood"] for r in records(scored)] == pytest.approx(
        [r["outputs"][0]["log_likelihood"] for r in records(done)], abs=1e-2
    )
    (tmp_path / "masks" / "b.bmp").unlink()
    result = run(*given, "--mask", "masks", "--model", model_files["inpaint"], "--overwrite")
    assert_refused(result, 2, "no mask in 'masks' for 'b.png'")


def test_masks_that_lie_among_the_pictures_are_not_filled(run, tmp_path):
    for folder, mask in (("d", "d/masks"), ("e", "e/m.png")):
        save(tmp_path / folder / "a.png", 8, 8)
        save_mask(tmp_path / mask / "a.png" if "." not in mask else tmp_path / mask, 8, 8)
        done = run("inpaint", folder, "-r", "--mask", mask, "--dry-run")
        assert done.stdout.decode().split() == [str(Path(folder) / "a_inpaint.png")]


def test_score_of_many_targets(run, tmp_path, model_files, monkeypatch):
    """In folders of folders; given one condition from stdin; and what stops them all."""
    for name in ("a.png", "s/b.png"):
        save(tmp_path / "conds" / name, 32, 32)
        save(tmp_path / "conds" / "out" / name, 32, 32, seed=1)
    model = ["--model", model_files["paired"]]
    pair = ["score", "--cond", "conds", "--target", "conds/out", "-r"]
    done = run(*pair, *model)
    assert done.returncode == 0, done.stderr
    names = [line.split("\t")[2] for line in done.stdout.decode().splitlines()]
    assert names == [str(Path("conds/out") / name) for name in ("a.png", "s/b.png")]
    data = (tmp_path / "conds" / "a.png").read_bytes()
    stdin = SimpleNamespace(buffer=io.BytesIO(data), isatty=lambda: False)
    monkeypatch.setattr(sys, "stdin", stdin)
    again = run("score", "--cond", "-", "--target", "conds/out", "-r", *model)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[0] == done.stdout.splitlines()[0]
    assert len(again.stdout.splitlines()) == 2
    assert_refused(run(*pair, "--device", "cuda:77"), 2, "'cuda:77'")
    assert_refused(run(*pair, "--frame", 0), 2, "no frame 0")


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
    assert "the mask is 41x40, the picture 40x40" in failed["error"]["message"]
    assert not (tmp_path / "a_inpaint.png").exists()


def test_a_mask_is_there_and_never_an_output(run, tmp_path, model_files):
    save(tmp_path / "a.png", 32, 32)
    mask = save_mask(tmp_path / "m.png", 32, 32).read_bytes()
    given = ["inpaint", "a.png", "-m", 1, "--model", model_files["inpaint"]]
    assert_refused(run(*given, "--mask", "n.png"), 2, "no mask 'n.png'")
    over = run(*given, "--mask", "m.png", "-o", "m.png", "--overwrite")
    assert_refused(over, 2, "the output 'm.png' is an input")
    assert (tmp_path / "m.png").read_bytes() == mask


def test_a_mask_is_turned_as_its_picture_is(run, tmp_path, model_files):
    """Both carry an orientation: stored 60x40, seen 40x60."""
    for path in (save(tmp_path / "x.png", 40, 60), save_mask(tmp_path / "m.png", 40, 60)):
        stored = Image.open(path)
        exif = stored.getexif()
        exif[0x0112] = 6
        stored.save(path, exif=exif)
    done = run("inpaint", "x.png", "--mask", "m.png", "-m", 1, "--model", model_files["inpaint"])
    assert done.returncode == 0, done.stderr
    result = pixels(tmp_path / "x_inpaint.png")
    assert result.shape == (60, 40, 3)
    turned = [
        np.asarray(Image.open(tmp_path / n).transpose(Image.Transpose.ROTATE_270))
        for n in ("x.png", "m.png")
    ]
    assert np.array_equal(result[turned[1] == 0], turned[0][turned[1] == 0])


def test_sample_takes_any_model_and_asks_for_what_it_needs(run, tmp_path, model_files):
    save(tmp_path / "x.png", 32, 32)
    mask = save_mask(tmp_path / "m.png", 32, 32)
    base = ["sample", "--cond", "x.png", "-m", 1]
    missing = run(*base, "--model", model_files["inpaint"])
    assert_refused(missing, 2, "needs a mask")
    extra = run(*base, "--mask", mask, "--model", model_files["colorize"])
    assert_refused(extra, 2, "takes no mask")
    for task in ("superres", "colorize"):
        done = run(*base, "-o", f"{task}.png", "--model", model_files[task])
        assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "superres.png").size == (128, 128)
    wrong = run("colorize", "x.png", "--model", model_files["paired"])
    assert_refused(wrong, 2, "is for paired, not colorize")
    assert "caflow sample" in wrong.stderr.decode()


def test_more_than_the_model_draws_is_refused_before_pictures_are_read(run, model_files):
    kept = run("superres", "none.png", "-n", 20, "--model", model_files["superres"])
    assert_refused(kept, 2, "cannot keep 20 of 10 candidates")


def test_defaults_are_flag_then_model_then_task(run, tmp_path, model_files):
    save(tmp_path / "x.png", 8, 8)
    given = ["--cond", "x.png", "--json", "--model", model_files["paired"]]
    params = records(run("sample", *given))[0]["params"]
    assert (params["tau"], params["candidates"]) == (0.8, 10)
    params = records(run("sample", *given, "--overwrite", "--tau", 0.1, "-m", 2))[0]["params"]
    assert (params["tau"], params["candidates"]) == (0.1, 2)


def test_the_help_states_the_defaults_of_the_tasks(run):
    text = " ".join(run("superres", "--help", COLUMNS="400").stdout.decode().split())
    for task in ("superres", "inpaint"):
        assert TASKS[task].tau == 0.5
    assert f"else 0.5 (colorize {TASKS['colorize'].tau}, paired {TASKS['paired'].tau})" in text
    assert f"else 10 (inpaint {TASKS['inpaint'].candidates})" in text
    assert TASKS["superres"].candidates == TASKS["colorize"].candidates == 10


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_lists_outputs_and_loads_nothing(run, tmp_path, as_json):
    save(tmp_path / "x.png", 8, 8)
    flags = ["-n", 2, "--dry-run", "--model", "nowhere.safetensors"]
    done = run("superres", "x.png", "example:face", "-o", "out/", *flags, *["--json"] * as_json)
    assert done.returncode == 0, done.stderr
    names = [f"out/{stem}_superres_0{rank}.png" for stem in ("x", "face") for rank in (1, 2)]
    if as_json:
        lines = records(done)
        assert [o["path"] for line in lines for o in line["outputs"]] == names
        assert {line["status"] for line in lines} == {"planned"}
    else:
        assert done.stdout.decode().splitlines() == names
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


# --- score --------------------------------------------------------------------------------------


def test_folders_are_matched_by_stem_and_results_to_their_inputs(run, tmp_path, model_files):
    for name in ("a.png", "b.jpg"):
        save(tmp_path / "small" / name, 8, 8)
    model = model_files["superres"]
    done = run(
        *["superres", "small/a.png", "small/b.jpg", "-o", "big/", "-m", 2, "-n", 2, "--json"],
        *["--model", model],
    )
    written = {
        output["path"]: output["log_likelihood"]
        for record in records(done)
        for output in record["outputs"]
    }
    scored = run("score", "--cond", "small", "--target", "big", "--json", CAFLOW_MODEL=str(model))
    assert scored.returncode == 0, scored.stderr
    lines = records(scored)
    assert [line["target"] for line in lines] == sorted(written)
    assert [line["cond"] for line in lines] == ["small/a.png"] * 2 + ["small/b.jpg"] * 2
    for line in lines:
        assert line["log_likelihood"] == pytest.approx(written[line["target"]], abs=1e-2)
    one = run("score", "--cond", "small/a.png", "--target", "big", "--model", model)
    targets = [line.split("\t")[2] for line in one.stdout.decode().splitlines()]
    assert targets == sorted(written)


def test_pictures_without_a_partner_are_named(run, tmp_path, model_files):
    for path in ("in/a.png", "in/lonely.png", "out/a.png", "out/stray.png"):
        save(tmp_path / path, 8, 8)
    result = run("score", "--cond", "in", "--target", "out", "--model", "nowhere")
    assert_refused(result, 2, "'out/stray.png', 'in/lonely.png'")
    assert_refused(run("score", "--cond", "in", "--target", "in/a.png"), 2, "is a folder")
    save(tmp_path / "in" / "a.jpg", 8, 8)
    assert_refused(run("score", "--cond", "in", "--target", "out"), 2, "have one stem")


def test_one_bad_pair_does_not_stop_the_others(run, tmp_path, model_files):
    for name in "abc":
        save(tmp_path / "in" / f"{name}.png", 8, 8)
        save(tmp_path / "out" / f"{name}.png", 32, 32)
    (tmp_path / "out" / "b.png").write_bytes(b"broken")
    given = ["score", "--cond", "in", "--target", "out", "--model", model_files["superres"]]
    result = run(*given, "--json")
    assert result.returncode == 1
    assert [(r["target"], r["status"]) for r in records(result)] == [
        ("out/a.png", "ok"),
        ("out/b.png", "error"),
        ("out/c.png", "ok"),
    ]
    text = run(*given)
    assert text.returncode == 1
    assert [line.split("\t")[2] for line in text.stdout.decode().splitlines()] == [
        "out/a.png",
        "out/c.png",
    ]
    assert text.stderr.decode().startswith("error: 'out/b.png'")


def test_score_needs_a_mask_for_inpaint_only(run, tmp_path, model_files):
    save(tmp_path / "x.png", 32, 32)
    mask = save_mask(tmp_path / "m.png", 32, 32)
    pair = ["score", "--cond", "x.png", "--target", "x.png"]
    assert_refused(run(*pair, "--model", model_files["inpaint"]), 2, "inpaint needs a mask")
    result = run(*pair, "--mask", mask, "--model", model_files["colorize"])
    assert_refused(result, 2, "colorize takes no mask")


def test_a_usage_error_is_found_before_pictures_are_read(run, tmp_path):
    """The pictures do not exist: a message about one would come too late."""
    pair = ["score", "--cond", "nowhere.png", "--target", "neither.png"]
    assert_refused(run(*pair, "--noise-samples", 0), 2, "0 noise samples")
    assert_refused(run(*pair, "--device", "abacus", "--model", "faces-superres-x4"), 2, "abacus")
    assert_refused(run("score", "--cond", "-", "--target", "-"), 2, "stdin")
    assert_refused(run("inpaint", "nowhere.png"), 2, "needs a mask")
    assert_refused(run("inpaint", "-", "--mask", "-"), 2, "stdin")
    assert_refused(run("colorize", "nowhere.png", "--tau", -1), 2, "tau is -1")

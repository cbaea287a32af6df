"""`caflow score`."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from ..process import assert_refused
from ..results import records
from ..scenes import save, save_mask


def test_score_repeats_the_number_of_every_written_file(run, tmp_path, small_picture, model_file):
    result = run(
        *("superres", small_picture, "-m", 3, "-n", 3, "-o", "out/", "--json"),
        *("--model", model_file),
    )
    for output in json.loads(result.stdout)["outputs"]:
        arguments = ("score", "--cond", small_picture, "--target", output["path"])
        text = run(*arguments, "--model", model_file)
        nats, bits, target = text.stdout.decode().rstrip("\n").split("\t")
        assert float(nats) == pytest.approx(output["log_likelihood"], abs=1e-2)
        assert float(bits) == pytest.approx(output["bits_per_dim"], abs=1e-5)
        assert target == output["path"]
    # The target names a file's model: found if CAFLOW_SCORE_MODEL is that one, else to be named.
    assert_refused(run(*arguments), 2, "made with model 'small.safetensors'")
    found = run(*arguments, CAFLOW_SCORE_MODEL=str(model_file))
    assert found.stdout == text.stdout


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
            at_scale = (32, 48) if (task, height) == ("paired", 72) else (width, height)
            assert Image.open(output["path"]).size == at_scale
            pair = ["--cond", image, "--target", output["path"], *mask]
            scored = run("score", *pair, "--json", CAFLOW_SCORE_MODEL=str(model))
            (again,) = records(scored)
            assert again["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=1e-2)
            for field in ("score_domain", "scored_size"):
                assert again[field] == output[field]
            assert again.get("mask") == (str(mask[1]) if mask else None)


def test_score_as_json(run, tmp_path, small_picture, model_file):
    target = tmp_path / "t.png"
    Image.open(small_picture).resize((32, 32)).save(target)
    result = run(
        *("score", "--cond", small_picture, "--target", target, "--json", "--noise-samples", 4),
        CAFLOW_SCORE_MODEL=str(model_file),
    )
    record = json.loads(result.stdout)
    assert record["status"] == "ok"
    assert record["cond"] == str(small_picture)
    assert record["target"] == str(target)
    assert record["model"]["id"] == "small.safetensors"
    assert record["standard_error"] > 0
    assert record["log_likelihood"] < 0


def test_score_refuses_a_target_that_is_not_exactly_larger(
    run, tmp_path, small_picture, model_file
):
    target = tmp_path / "t.png"
    Image.open(small_picture).resize((33, 32)).save(target)
    result = run("score", "--cond", small_picture, "--target", target, "--model", model_file)
    assert_refused(result, 1, "33x32")


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


def test_sorted_scores_come_best_first(run, tmp_path, model_file):
    folders = tmp_path / "conds", tmp_path / "targets"
    for k in range(3):
        side = 8 + 4 * (k % 2)  # of two sizes: bits/dim decide, not nats
        save(folders[0] / f"{k}.png", side, side, seed=k)
        save(folders[1] / f"{k}.png", 4 * side, 4 * side, seed=k + 5)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3)).astype(np.uint8)
    Image.fromarray(noise).save(folders[1] / "0.png")
    shared = [
        "score",
        "--cond",
        folders[0],
        "--target",
        folders[1],
        "--json",
        "--model",
        model_file,
    ]
    plain, ordered = (
        [json.loads(line) for line in run(*shared, *sort).stdout.splitlines()]
        for sort in ([], ["--sort"])
    )
    bits = [record["bits_per_dim"] for record in ordered]
    assert bits == sorted(bits)
    assert Path(ordered[-1]["target"]).name == "0.png"
    assert [record["bits_per_dim"] for record in plain] != bits
    assert sorted(bits) == sorted(record["bits_per_dim"] for record in plain)


def test_a_usage_error_is_found_before_pictures_are_read(run):
    """The pictures do not exist: a message about one would come too late."""
    pair = ["score", "--cond", "nowhere.png", "--target", "neither.png"]
    assert_refused(run(*pair, "--noise-samples", 0), 2, "0 noise samples")
    there = ["score", "--cond", "example:face", "--target", "example:face_64"]
    assert_refused(run(*there, "--device", "abacus", "--model", "faces-superres-x4"), 2, "abacus")
    assert_refused(run("score", "--cond", "-", "--target", "-"), 2, "stdin")


def test_a_picture_of_schema_1_is_scored_by_the_model_that_it_names(
    run, tmp_path, small_picture, model_file
):
    done = run("superres", small_picture, "-m", 2, "-o", "new.png", "--model", model_file)
    assert done.returncode == 0
    with Image.open(tmp_path / "new.png") as picture:
        record = json.loads(picture.info["caflow"])
        assert record["schema"] == 2
        # What version 0.1.0 wrote.
        chunk = PngImagePlugin.PngInfo()
        old = {
            "schema": 1,
            "version": "0.1.0",
            "task": "superres",
            "model": record["model"],
            "tau": 0.5,
            "seed": record["seed"],
            "rank": 1,
            "candidates": 2,
            "rank_score": record["rank_score"],
            "log_likelihood": record["log_likelihood"],
            "bits_per_dim": record["bits_per_dim"],
            "estimator": record["estimator"],
        }
        chunk.add_text("caflow", json.dumps(old))
        picture.save(tmp_path / "old.png", pnginfo=chunk)
    scored = []
    for name in ("new.png", "old.png"):
        arguments = ("score", "--cond", small_picture, "--target", name, "--json")
        (line,) = records(run(*arguments, CAFLOW_SCORE_MODEL=str(model_file)))
        assert (line["schema"], line["model"]) == (2, record["model"])
        scored.append(line["log_likelihood"])
    assert scored[0] == scored[1] == pytest.approx(record["log_likelihood"], abs=1e-2)

"""`caflow score`: it repeats the number of every written file, alone, in folders, and by JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from ..process import assert_refused
from ..results import only_record, records
from ..scenes import save, save_mask


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_score_repeats_what_ranked_at_two_sizes(run, tmp_path, model_files, task):
    """All commands: text with --model, and JSON where the model is the environment's."""
    command = "sample" if task == "paired" else task
    factor, model = 4 if task == "superres" else 1, model_files[task]
    for height, width in ((32, 32), (72, 48)):
        image = save(tmp_path / f"a{height}.png", height // factor, width // factor)
        given, mask = ["--cond", image] if command == "sample" else [image], []
        if task == "inpaint":
            mask = ["--mask", save_mask(tmp_path / "m.png", height, width)]
        record = only_record(
            run(command, *given, *mask, "-m", 3, "-n", 2, "--json", "--model", model)
        )
        assert record["command"] == command
        assert [o["path"] for o in record["outputs"]] == [
            str(tmp_path / f"a{height}_{command}_0{rank}.png") for rank in (1, 2)
        ]
        for output in record["outputs"]:
            at_scale = (32, 48) if (task, height) == ("paired", 72) else (width, height)
            assert Image.open(output["path"]).size == at_scale
            pair = ["score", "--cond", image, "--target", output["path"], *mask]
            again = only_record(run(*pair, "--json", CAFLOW_SCORE_MODEL=str(model)))
            assert again["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=1e-2)
            for field in ("score_domain", "scored_size"):
                assert again[field] == output[field]
            assert again.get("mask") == (str(mask[1]) if mask else None)
            text = run(*pair, "--model", model).stdout.decode()
            nats, bits, target = text.rstrip("\n").split("\t")
            assert float(nats) == pytest.approx(again["rank_score"], abs=1e-4)
            assert float(bits) == pytest.approx(again["bits_per_dim"], abs=1e-6)
            assert target == output["path"]
    assert_refused(run(*pair), 2, f"made with model '{model.name}'")


def test_several_noise_samples_and_refusals(run, tmp_path, small_picture, model_files):
    save(tmp_path / "x.png", 32, 32)
    pair = ("score", "--cond", small_picture, "--target", "x.png", "--noise-samples", 4)
    done = run(*pair, "--model", model_files["superres"])
    assert (done.returncode, done.stderr[:15]) == (0, b"standard error ")
    assert_refused(run("score", "--cond", "x.png", *pair[3:]), 1, "the target is 32x32")
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
    run, tmp_path, small_picture, model_file
):
    done = run("superres", small_picture, "-m", 2, "-o", "new.png", "--model", model_file)
    assert done.returncode == 0
    with Image.open(tmp_path / "new.png") as image:
        record = json.loads(image.info["caflow"])
        assert record["schema"] == 2
        kept = ("model", "seed", "rank_score", "log_likelihood", "bits_per_dim", "estimator")
        old = {"schema": 1, "version": "0.1.0", "task": "superres", "tau": 0.5, "rank": 1}
        chunk = PngImagePlugin.PngInfo()
        chunk.add_text("caflow", json.dumps({**old, **{name: record[name] for name in kept}}))
        image.save(tmp_path / "old.png", pnginfo=chunk)
    scored = []
    for name in ("new.png", "old.png"):
        pair = ("score", "--cond", small_picture, "--target", name, "--json")
        line = only_record(run(*pair, CAFLOW_SCORE_MODEL=str(model_file)))
        assert (line["schema"], line["model"]) == (2, record["model"])
        scored.append(line["log_likelihood"])
    assert scored[0] == scored[1] == pytest.approx(record["log_likelihood"], abs=1e-2)


# --- folders --------------------------------------------------------------------------------------


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


def test_masks_of_a_folder_belong_to_the_conditions(run, tmp_path, model_files):
    for name, size in (("a", (40, 40)), ("b", (64, 32))):
        save(tmp_path / "in" / f"{name}.png", *size)
        save_mask(tmp_path / "masks" / f"{name}.bmp", *size)
    shared = ["--mask", "masks", "--json", "--model", model_files["inpaint"]]
    done = records(run("inpaint", "in", "-o", "out/", "-m", 1, *shared))
    assert [record["mask"] for record in done] == ["masks/a.bmp", "masks/b.bmp"]
    scored = records(run("score", "--cond", "in", "--target", "out", *shared))
    assert [r["log_likelihood"] for r in scored] == pytest.approx(
        [r["outputs"][0]["log_likelihood"] for r in done], abs=1e-2
    )


def test_images_without_a_partner_are_named(run, tmp_path):
    for path in ("in/a.png", "in/lonely.png", "out/a.png", "out/stray.png"):
        save(tmp_path / path, 8, 8)
    result = run("score", "--cond", "in", "--target", "out", "--model", "nowhere")
    assert_refused(result, 2, "'out/stray.png', 'in/lonely.png'")
    assert_refused(run("score", "--cond", "in", "--target", "in/a.png"), 2, "is a folder")
    save(tmp_path / "in" / "a.jpg", 8, 8)
    result = run("score", "--cond", "in", "--target", "out")
    assert_refused(result, 2, "differ only in their suffix")


def test_targets_in_folders_of_folders_and_one_condition_from_stdin(run, tmp_path, model_files):
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
    again = run("score", "--cond", "-", "--target", "conds/out", "-r", *model, stdin=data)
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
    found = [(record["target"], record["status"]) for record in records(result)]
    assert found == [("out/a.png", "ok"), ("out/b.png", "error"), ("out/c.png", "ok")]
    text = run(*given)
    assert text.returncode == 1
    targets = [line.split("\t")[2] for line in text.stdout.decode().splitlines()]
    assert targets == ["out/a.png", "out/c.png"]
    assert text.stderr.decode().startswith("error: 'out/b.png'")

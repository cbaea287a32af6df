"""`caflow train` as a person meets it."""

import json
import os
import re
import shutil
import signal

import forked
import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from caflow_cli.records import read_toml

from ..process import ENTRY, assert_refused

pytestmark = pytest.mark.usefixtures("without_curves")

TINY = ["scales=1", "guide=0", *(f"{kind}_steps=1" for kind in "rtf")]
TINY += [f"{kind}=8" for kind in ("hidden", "f_hidden", "trunk")]
SETTINGS = [word for key in TINY for word in ("--set", f"flow.{key}")]
SMALL = [*SETTINGS, "--set", "task.size=16"]


@pytest.fixture
def photos(tmp_path):
    """`photos(side)` writes twelve images."""

    def write(side: int) -> None:
        (tmp_path / "photos").mkdir()
        generator = np.random.default_rng(0)
        for index in range(12):
            corners = generator.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
            image = Image.fromarray(corners).resize((side, side), Image.Resampling.BICUBIC)
            image.save(tmp_path / "photos" / f"{index}.png")

    return write


def test_a_dry_run_counts_and_writes_nothing(run, tmp_path, photos):
    photos(16)
    command = ("train", "--data", "photos", "--out", "run", "--images", 80, "--batch-size", 4)
    done = run(*command, "--task", "inpaint", *SMALL, "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "data        8 train, 2 choose and calibrate, 2 test"
    assert re.match(r"parameters  [\d,]+ \(R [\d,]+, T [\d,]+, F [\d,]+\)", lines[1])
    record = json.loads(run(*command, *SMALL, "--dry-run", "--json").stdout)
    parameters = record["parameters"]
    assert parameters["total"] == sum(parameters[part] for part in "RTFQ")
    assert record["status"] == "dry-run"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_interrupted_run_says_how_to_go_on(run, tmp_path, photos):
    photos(16)
    command = ["train", "--data", "photos", "--out", "run", "--images", "400000"]
    process = forked.Process(ENTRY, *command, "--batch-size", "4", *SMALL, cwd=tmp_path)
    lines = [process.stderr.readline().decode() for _ in range(4)]
    assert lines.pop(1).startswith("few validation images")
    assert lines.pop(1).startswith("fewer than 50 images calibrate, so there will be no intervals")
    assert lines[0] == "8 training images; held out: 2 to choose the model, 2 to test it\n"
    assert re.match(r"step 10  0\.0%  [\d.]+ images/s  [\d.]+ bits/dim", lines[1])
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate()
    assert process.returncode == 130
    assert stdout == b""
    said = stderr.decode().splitlines()
    assert len(said) == 2
    assert re.fullmatch(r"interrupted after step \d+; the state is saved", said[0])
    assert said[1] == "hint: caflow train --out run --resume"
    step = int(re.search(r"\d+", said[0])[0])
    images = 4 * (step + 1)
    resumed = run("train", "--out", "run", "--resume", "--images", images, "--json")
    assert resumed.returncode == 0, resumed.stderr
    record = json.loads(resumed.stdout)
    assert (record["steps"], record["images"]) == (step + 1, images)
    assert f"{images} images in" in resumed.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--resume"], "no run to resume in 'r'"),
        (["--resume", "--seed", "3"], "--seed"),
        (["--resume", "--crop", "random"], "--crop"),
        (["--data", ".", "--images", "9", "--set", "optim.x=1"], "optim.x"),
        (["--config", "none.toml"], "'none.toml' cannot be read"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(run, tmp_path, arguments, message):
    assert_refused(run("train", "--out", "r", *arguments), 2, message)
    assert not list(tmp_path.iterdir())


def test_options_go_before_the_config_and_a_budget_takes_the_place_of_a_budget(
    run, tmp_path, photos
):
    photos(16)
    (tmp_path / "own.toml").write_text(
        'data = "photos"\nseed = 4\n[optim]\nminutes = 60\nlr = 0.5\nbatch_size = 2\n'
    )
    given = ["train", "--config", "own.toml", "--images", 2, *SMALL]
    done = run(*given, "--out", "a", "--seed", 7, "--lr", 0.25)
    assert done.returncode == 0, done.stderr
    config = read_toml(tmp_path / "a/config.toml")
    assert (config["seed"], config["crop"], config["data"]) == (7, "whole", "photos")
    optim = config["optim"]
    assert (optim["lr"], optim["batch_size"], optim["images"]) == (0.25, 2, 2)
    assert "minutes" not in optim
    # The user's file is for new runs without a config.
    (tmp_path / "mine.toml").write_text('[train]\nlr = 0.01\nbatch-size = 4\ntask = "colorize"\n')
    mine = {"CAFLOW_CONFIG": "mine.toml"}
    done = run("train", "--out", "a", "--resume", "--images", 4, **mine)
    assert done.returncode == 0, done.stderr
    assert read_toml(tmp_path / "a/config.toml")["optim"]["lr"] == 0.25
    assert run(*given, "--out", "b", **mine).returncode == 0
    assert read_toml(tmp_path / "b/config.toml")["optim"]["lr"] == 0.5
    new = ["train", "--data", "photos", "--images", 4, *SMALL, "--out", "c"]
    assert run(*new, **mine, CAFLOW_TRAIN_LR="0.02").returncode == 0
    config = read_toml(tmp_path / "c/config.toml")
    assert (config["optim"]["lr"], config["optim"]["batch_size"]) == (0.02, 4)
    assert config["task"]["name"] == "colorize"


def test_train_and_restore_as_a_user_would(run, small_image, photos):
    photos(32)
    command = ("train", "--data", "photos", "--out", "run", "--images", 16, "--batch-size", 8)
    trained = run(*command, *SETTINGS, "--set", "task.size=32")
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.decode() == "run/best.safetensors\n"
    said = trained.stderr.decode()
    assert "few validation images" in said
    assert "no intervals: intervals at level 0.9 need 9 images or more, not 2" in said
    assert re.search(r"validation images \(2\), one sample each:\n +τ +RMSE +LPIPS +bits/dim", said)
    assert re.search(r"\nthe model +\S+ +[\d.]+ .*\nbicubic +[\d.]+ ", said)
    assert re.search(r"\nsingle samples are (closer to|farther from) the truth than bicubic", said)
    assert_refused(run(*command), 2, "already holds a run")
    restored = run("superres", small_image, "-o", "x.png", "--model", "run")
    assert restored.returncode == 0, restored.stderr
    info = json.loads(run("models", "info", "run", "--json").stdout)
    if "CAFLOW_LPIPS_WEIGHTS" in os.environ:  # by which it was chosen, on validation images
        assert info["defaults"]["tau"]["from"] == "config"
        assert info["training"]["defaults"]["tau"]["images"] == 2


def test_a_run_from_a_model_is_compared_with_it_in_one_table(run, tmp_path, photos):
    photos(32)
    settings = ("--batch-size", 8, *SETTINGS, "--set", "task.size=32", "--json")
    first = run("train", "--data", "photos", "--out", "first", "--images", 16, *settings)
    assert first.returncode == 0, first.stderr
    source = ("--init-from", "first/best.safetensors")
    second = run("train", "--data", "photos", "--out", "b", "--images", 8, *source, *settings)
    assert second.returncode == 0, second.stderr
    start, before = (json.loads(done.stdout) for done in (second, first))
    start = start["start"]
    assert (start["model"], start["tau"]) == ("best.safetensors", before["tau"])
    assert start["val_rmse"] == pytest.approx(before["val_rmse"])  # on the same images
    assert start["val_bits_per_dim"] == pytest.approx(before["best_val_bits_per_dim"], abs=1e-6)
    said = second.stderr.decode().splitlines()
    place = said.index("validation images (2), one sample each:")
    rows = [line.split("  ")[0] for line in said[place + 2 : place + 5]]
    assert rows == ["the model", "start: best.safetensors", "bicubic"]
    assert said[place + 5].startswith("single samples are ")
    assert said[place + 5].endswith("too few validations to tell whether bits/dim still improve")


def test_a_line_says_what_is_done_when_nothing_else_is_written(tmp_path, photos):
    photos(16)
    paced = "from caflow_cli.cli.console import Console; Console.pause = 0.05\n"
    slow = "import caflow_cli.training.loop as l, time; f = l.open_run\n"
    slow += "l.open_run = lambda *a: (time.sleep(0.5), f(*a))[1]\n"
    command = ["train", "--data", "photos", "--out", "run", "--images", "8", "--batch-size", "4"]
    process = forked.Process(paced + slow + ENTRY, *command, *SMALL, cwd=tmp_path)
    _, stderr = process.communicate()
    assert process.returncode == 0, stderr
    assert stderr.decode().splitlines()[0] == "reading images"


def test_a_guide_alone_can_be_evaluated_at_tau_0(run, photos):
    photos(32)
    settings = [word for key in TINY if key != "guide=0" for word in ("--set", f"flow.{key}")]
    settings += ["--set", "flow.guide=4", "--set", "task.size=32", "--set", "optim.guide_first=1"]
    settings += ["--set", "optim.guide_perceptual=0"]
    command = ("train", "--data", "photos", "--out", "run", "--images", 16, "--batch-size", 8)
    trained = run(*command, *settings, "--json")
    assert trained.returncode == 0, trained.stderr
    record = json.loads(trained.stdout)
    assert record["val_psnr"] > 0
    assert record["val_bits_per_dim"] is None
    assert "tau" not in record
    assert "validation images" in trained.stderr.decode()
    evaluated = run(
        *("evaluate", "--model", "run", "--data", "photos", "--split", "val", "--tau", 0, "-m", 1),
        *("--metric", "psnr", "--json"),
    )
    assert evaluated.returncode == 0, evaluated.stderr


def test_a_network_of_another_project_is_the_guide(run, tmp_path, photos):
    spandrel = pytest.importorskip("spandrel.architectures.Compact")
    photos(32)
    for scale in (2, 4):
        net = spandrel.Compact(num_feat=8, num_conv=1, upscale=scale)
        save_file(net.state_dict(), tmp_path / f"x{scale}.safetensors")
    words = ("train", "--data", "photos", "--out", "run", "--images", 16, "--batch-size", 8)
    words = (*words, *SETTINGS, "--set", "task.size=32")
    assert_refused(run(*words, "--guide", "x2.safetensors"), 2, "the guide enlarges 2 times")
    assert not (tmp_path / "run").exists()
    assert_refused(run(*words, "--guide-license", "mit"), 2, "--guide-license is that of a network")
    trained = run(*words, "--guide", "x4.safetensors", "--guide-license", "mit")
    assert trained.returncode == 0, trained.stderr
    info = json.loads(run("models", "info", "run", "--json").stdout)
    guide = info["training"]["guide"]
    assert (guide["file"], guide["license"]) == ("x4.safetensors", "mit")
    assert "license mit" in run("models", "info", "run").stdout.decode()
    resumed = run("train", "--out", "run", "--resume", "--guide", "x4.safetensors")
    assert_refused(resumed, 2, "--guide cannot change")


def test_intervals_are_calibrated_on_validation_images_that_chose_nothing(
    run, tmp_path, small_image, photos
):
    photos(32)
    shutil.copytree(tmp_path / "photos", tmp_path / "set" / "train")
    for part in ("a", "b"):
        shutil.copytree(tmp_path / "photos", tmp_path / "set" / "val" / part)
    command = ("train", "--data", "set", "--out", "run", "--images", 16, "--batch-size", 8)
    trained = run(*command, *SETTINGS, "--set", "task.size=32", "--json")
    assert trained.returncode == 0, trained.stderr
    record = json.loads(trained.stdout)
    calibration = record["calibration"]
    assert (calibration["tau"], calibration["images"]) == (record["tau"], 12)
    assert (calibration["candidates"], calibration["data"]) == (10, "set, calibrate")
    said = trained.stderr.decode()
    assert "held out: 12 to choose the model and 12 to calibrate it, " in said
    assert "fewer than 50 images calibrate, so intervals (--interval) will be wide" in said
    assert "few validation images" not in trained.stderr.decode()
    info = json.loads(run("models", "info", "run", "--json").stdout)
    assert info["calibration"] == calibration
    assert info["training"]["images"] == 16
    source = ("--init-from", "run/best.safetensors")
    later = run("train", "--data", "set", "--out", "later", *command[5:], *source)
    assert later.returncode == 0, later.stderr
    kept = json.loads(run("models", "info", "later", "--json").stdout)["calibration"]
    assert kept == {**calibration, "data": "set, calibrate, before further training"}
    said = later.stderr.decode()
    assert "intervals (--interval) keep the calibration of the model that the run starts" in said
    assert "intervals keep the calibration of best.safetensors: set, calibrate, before" in said
    restored = run("superres", small_image, "-o", "x.png", "--interval", "--model", "run")
    assert restored.returncode == 0, restored.stderr
    names = ["x.png", "x_low.png", "x_high.png"]
    assert restored.stdout.decode().split() == names


def test_fields_are_learned_in_their_unit(run, tmp_path):
    """Days of fields that are mostly dry; the unit, the scale and the range are in the model."""
    generator = np.random.default_rng(0)
    for day in "abc":
        (tmp_path / "rain" / day).mkdir(parents=True)
        for k in range(3):
            x = generator.gamma(0.1, 10, (8, 8)).repeat(3, 0).repeat(3, 1)
            np.save(tmp_path / "rain" / day / f"{k}.npy", np.where(x < 0.1, 0, x).astype("f4"))
    values = ["--unit", "mm/h", "--transform", "db", "--zero", 0.1, "--set", "task.reduce=mean"]
    small = [f"flow.{key}" for key in ("scales=1", "hidden=8", "guide=8", "t_steps=1", "f_steps=1")]
    sizes = [word for key in [*small, "task.size=16"] for word in ("--set", key)]
    command = ["train", "--task", "superres", "--data", "rain", "--out", "run", *values, *sizes]
    done = run(*command, "--images", 16, "--batch-size", 4)
    assert done.returncode == 0, done.stderr
    said = done.stderr.decode()
    assert "bits per cell, on the model's scale: validation" in said
    assert "training fields; held out" in said
    assert "few validation fields, fewer than 20: metrics are noisy; put more into val/" in said
    task = read_toml(tmp_path / "run/config.toml")["task"]
    assert task["values"]["unit"] == "mm/h"
    assert task["values"]["low"] == 0
    assert task["values"]["high"] > 1
    refused = run(*command[:7], "--unit", "mm/h", "--images", 16)
    assert_refused(refused, 2, "transform")

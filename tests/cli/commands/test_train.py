"""`caflow train` as a person meets it."""

from __future__ import annotations

import json
import re
import signal
import sys
from importlib.util import find_spec

import forked
import numpy as np
import pytest
from PIL import Image

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

from ..process import ENTRY, assert_refused

TINY = [
    f"flow.{key}"
    for key in (
        "scales=2",
        *("r_steps=1", "t_steps=1", "f_steps=1"),
        *("hidden=8", "f_hidden=8", "trunk=8", "guide=0"),
    )
]


SETTINGS = [x for s in (*TINY, "task.size=16") for x in ("--set", s)]


@pytest.fixture
def photos(tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    generator = np.random.default_rng(0)
    for index in range(12):
        corners = generator.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
        image = Image.fromarray(corners).resize((16, 16), Image.Resampling.BICUBIC)
        image.save(folder / f"{index}.png")
    return folder


def test_a_dry_run_counts_and_writes_nothing(run, tmp_path, photos):
    command = ("train", "--data", "photos", "--out", "run", "--images", 80, "--batch-size", 4)
    done = run(*command, "--task", "inpaint", *SETTINGS, "--dry-run")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.decode().splitlines()
    assert lines[0] == "data        10 train, 1 val"
    assert re.match(r"parameters  [\d,]+ \(R [\d,]+, T [\d,]+, F [\d,]+\)", lines[1])
    record = json.loads(run(*command, *SETTINGS, "--dry-run", "--json").stdout)
    parameters = record["parameters"]
    assert parameters["total"] == sum(parameters[part] for part in "RTFQ")
    assert record["status"] == "dry-run"
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_interrupted_run_says_how_to_go_on(run, tmp_path, photos):
    command = ["train", "--data", "photos", "--out", "run", "--images", "400000"]
    process = forked.Process(ENTRY, *command, "--batch-size", "4", *SETTINGS, cwd=tmp_path)
    lines = [process.stderr.readline().decode() for _ in range(3)]
    assert lines.pop(1).startswith("few validation images")
    assert lines[0] == "10 training images, 1 validation images\n"
    assert re.match(r"step 10  0\.0%  [\d.]+ images/s  [\d.]+ bits/dim", lines[1])
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
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
    assert record["gap_bits_per_dim"] == pytest.approx(
        record["val_bits_per_dim"] - record["train_bits_per_dim"]
    )
    assert f"{images} images in" in resumed.stderr.decode()
    again = run("train", "--out", "run", "--resume")
    assert again.returncode == 0
    assert "a larger --images or --minutes extends it" in again.stderr.decode()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data"),
        (["--resume"], "no run to resume in 'r'"),
        (["--resume", "--seed", "3"], "--seed"),
        (["--resume", "--crop", "random"], "--crop"),
        (["--data", ".", "--minutes", "nan"], "optim.minutes is nan"),
        (["--data", "."], "budget"),
        (["--data", ".", "--images", "9", "--preset", "huge"], "unknown preset 'huge'"),
        (["--data", ".", "--images", "9", "--set", "optim.x=1"], "optim.x"),
        (["--data", ".", "--images", "9", "--set", "optim=1"], "'optim'"),
        (["--data", "d", "--images", "9"], "'d'"),
        (["--config", "none.toml"], "'none.toml' cannot be read"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(run, tmp_path, arguments, message):
    assert_refused(run("train", "--out", "r", *arguments), 2, message)
    assert not list(tmp_path.iterdir())


def config_of(folder):
    """The config of a run of no steps, as its folder keeps it."""
    return tomllib.loads((folder / "config.toml").read_text())


def test_options_go_before_the_config_and_a_budget_takes_the_place_of_a_budget(
    run, tmp_path, photos
):
    (tmp_path / "own.toml").write_text(
        'data = "photos"\nseed = 4\n[optim]\nminutes = 60\nlr = 0.5\nbatch_size = 2\n'
    )
    given = ["train", "--config", "own.toml", "--images", 2, *SETTINGS]
    done = run(*given, "--out", "a", "--seed", 7, "--lr", 0.25)
    assert done.returncode == 0, done.stderr
    config = config_of(tmp_path / "a")
    assert (config["seed"], config["crop"], config["data"]) == (7, "whole", "photos")
    optim = config["optim"]
    assert (optim["lr"], optim["batch_size"], optim["images"]) == (0.25, 2, 2)
    assert "minutes" not in optim
    # The user's file is for new runs without a config.
    (tmp_path / "mine.toml").write_text('[train]\nlr = 0.01\nbatch-size = 4\ntask = "colorize"\n')
    mine = {"CAFLOW_CONFIG": "mine.toml"}
    done = run("train", "--out", "a", "--resume", "--images", 4, **mine)
    assert done.returncode == 0, done.stderr
    assert config_of(tmp_path / "a")["optim"]["lr"] == 0.25
    assert run(*given, "--out", "b", **mine).returncode == 0
    assert config_of(tmp_path / "b")["optim"]["lr"] == 0.5
    new = ["train", "--data", "photos", "--images", 4, *SETTINGS, "--out", "c"]
    assert run(*new, **mine, CAFLOW_TRAIN_LR="0.02").returncode == 0
    config = config_of(tmp_path / "c")
    assert (config["optim"]["lr"], config["optim"]["batch_size"]) == (0.02, 4)
    assert config["task"]["name"] == "colorize"


def test_a_tracker_that_is_not_there_is_one_error(run, tmp_path, photos):
    if find_spec("wandb"):
        pytest.skip("wandb is installed")
    command = ("train", "--data", "photos", "--out", "run", "--images", 8, *SETTINGS)
    refused = run(*command, "--set", "tracker=wandb")
    assert_refused(refused, 2, "which is not installed")
    assert not (tmp_path / "run").exists()


def test_train_pack_restore_as_a_user_would(run, tmp_path, small_picture):
    generator = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for index in range(12):
        corners = generator.uniform(0, 255, (2, 2, 3)).astype(np.uint8)
        image = Image.fromarray(corners).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(tmp_path / "photos" / f"{index}.png")
    architecture = [
        f"flow.{key}"
        for key in (
            "scales=2",
            *("r_steps=1", "t_steps=1", "f_steps=1"),
            *("hidden=8", "f_hidden=8", "trunk=8"),
        )
    ]
    settings = [x for s in (*architecture, "task.size=32") for x in ("--set", s)]
    trained = run(
        *("train", "--data", "photos", "--out", "run", "--images", 64, "--batch-size", 8),
        *settings,
    )
    assert trained.returncode == 0, trained.stderr
    assert trained.stdout.decode() == "run/best.safetensors\n"
    said = trained.stderr.decode()
    assert "few validation images" in said
    figures = r"at τ 0\.5, one sample each \(1\): RMSE [\d.]+, bicubic [\d.]+: not better"
    assert re.search(figures, said)
    again = run("train", "--data", "photos", "--out", "run", "--images", 64)
    assert_refused(again, 2, "holds a run already")
    restored = run("superres", small_picture, "-o", "x.png", "--model", "run")
    assert restored.returncode == 0, restored.stderr
    resumed = run("train", "--out", "run", "--resume", "--images", 128)
    assert resumed.returncode == 0, resumed.stderr
    last = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()[-1]
    assert json.loads(last)["step"] == 16


def test_temperatures_are_compared_on_images_that_were_held_out(run, tmp_path, photos):
    for split, indices in (("val", range(4)), ("train", range(4, 12))):
        (photos / split).mkdir()
        for index in indices:
            (photos / f"{index}.png").rename(photos / split / f"{index}.png")
    command = ("train", "--data", "photos", "--out", "run", "--images", 8, "--batch-size", 4)
    done = run(*command, *SETTINGS, "--set", "validation_images=3")
    assert done.returncode == 0, done.stderr
    assert "one sample each (3): RMSE" in done.stderr.decode()

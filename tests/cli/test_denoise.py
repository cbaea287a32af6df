"""A task in one file: registered in `TASKS`, it is trained, drawn from, scored and evaluated."""

from __future__ import annotations

import json
from dataclasses import dataclass

import numpy as np
import pytest
from helpers import smooth_image
from PIL import Image

from caflow_cli.tasks import TASKS, Example
from caflow_cli.tasks.base import WholeImage
from caflow_cli.tasks.sizes import check_target, pad


@dataclass(frozen=True)
class Denoise(WholeImage):
    """Removes noise of σ 8 levels from images of any size."""

    multiple: int = 16

    name = "denoise"
    channels = (3,)
    tau = 0.6
    verb = "denoise"

    @classmethod
    def of(cls, config):
        return cls(config.flow.multiple)

    def scaled_size(self, image):
        return image.shape[:2]

    def condition(self, image):
        return pad(image, self.multiple)

    def reduce(self, image, target):
        check_target(image, target, image.shape[:2], "the size of the condition")
        return self.condition(image), pad(target, self.multiple)

    def training_condition(self, target, generator=None):
        seed = 0 if generator is None else generator.initial_seed()
        return self.evaluation_input(target, seed).input

    def evaluation_input(self, truth, index, inputs="clean", mask=None):
        noise = np.random.default_rng(index).normal(0, 8, truth.shape)
        return Example(np.rint(truth + noise).clip(0, 255).astype(np.uint8), truth)


@pytest.fixture
def denoise(monkeypatch):
    monkeypatch.setitem(TASKS, "denoise", Denoise)


def test_a_new_task_is_trained_drawn_scored_and_evaluated(denoise, run, tmp_path):
    images = smooth_image(12, 3, 16, seed=3).permute(0, 2, 3, 1).numpy()
    (tmp_path / "photos").mkdir()
    for index, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "photos" / f"{index}.png")

    def lines(*command: object) -> list[dict]:
        done = run(*command, "--json")
        assert done.returncode == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]

    tiny = ["scales=2", "guide=0", "hidden=8", "f_hidden=8", "trunk=8"]
    tiny += [f"{part}_steps=1" for part in "rtf"]
    settings = [word for key in tiny for word in ("--set", f"flow.{key}")]
    settings += ["--set", "task.size=16", "--batch-size", 4, "--images", 80]
    command = ("train", "--task", "denoise", "--data", "photos", "--out", "run")
    [trained] = lines(*command, *settings)
    assert trained["steps"] == 20

    Image.fromarray(images[0][:13, :11]).save(tmp_path / "noisy.png")
    [drawn] = lines("sample", "--cond", "noisy.png", "--model", "run", "-m", 3, "--tau", 0.5)
    [output] = drawn["outputs"]
    assert Image.open(tmp_path / output["path"]).size == (11, 13)
    assert output["path"] == "noisy_sample.png"

    scored = lines("score", "--cond", "noisy.png", "--target", output["path"], "--model", "run")
    assert scored[0]["log_likelihood"] == output["log_likelihood"]

    shared = ("--data", "photos", "--split", "all", "--model", "run")
    [found] = lines("evaluate", *shared, "--metric", "rmse,consistency", "-m", 2, "--tau", 0.5)
    assert found["task"] == "denoise"
    baseline = next(row for row in found["results"] if row["what"] == "input copy")
    assert baseline["values"]["rmse"]["mean"] == pytest.approx(8, abs=0.3)


def test_without_its_registration_there_is_no_such_task(run, tmp_path):
    done = run("train", "--task", "denoise", "--data", ".", "--out", "run", "--images", 80)
    assert done.returncode == 2
    assert b"unknown task 'denoise'" in done.stderr

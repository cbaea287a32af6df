"""Runs that version 0.1 trained load, score, sample and go on as they did, or are refused."""

from __future__ import annotations

import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from forked import run
from PIL import Image

import caflow_cli as caflow
from caflow_cli.records import read_toml

OLD = Path(__file__).parent / "old_runs"
EXPECTED = json.loads((OLD / "expected.json").read_text(encoding="utf-8"))
MAIN = "import sys; sys.argv[0] = 'caflow'; from caflow_cli.cli import main; main()"


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def task(request):
    return request.param


def extract(task, folder):
    with tarfile.open(OLD / f"{task}.tar.xz") as archive:
        archive.extractall(folder)


@pytest.fixture(scope="module")
def folder(task, tmp_path_factory):
    """The run, and the images that it learned from, where its config has them."""
    folder = tmp_path_factory.mktemp("old")
    extract(task, folder)
    name = "pairs" if task == "paired" else "images"
    (folder / f"{name}.zip").write_bytes((OLD / f"{name}.zip").read_bytes())
    with zipfile.ZipFile(folder / f"{name}.zip") as archive:
        archive.extractall(folder / name)
    return folder


@pytest.fixture(scope="module")
def pair(task, folder):
    """(condition, target) of the first test image, as `score` takes them."""
    if task == "paired":
        condition, target = (folder / "pairs" / "test" / side / "00.png" for side in "AB")
        return np.asarray(Image.open(condition)), target
    target = folder / "images" / "test" / "00.png"
    image = Image.open(target)
    if task == "superres":
        image = image.resize((4, 4), Image.Resampling.BICUBIC)
    return np.asarray(image), target


def test_an_old_run_loads_scores_and_samples_as_before(task, folder, pair):
    condition, target = pair
    model, expected = caflow.load(folder / task), EXPECTED[task]
    assert [model.config.task.name, model.config.task.candidates] == expected["config"]
    score = caflow.score(model, condition, target)
    assert score.rank_score == pytest.approx(expected["score"], abs=0.02)
    drawn = caflow.restore(model, condition, 0.7, 3, keep=3, seed=4).ranked
    assert [candidate.seed for candidate in drawn] == expected["seeds"]
    scores = [candidate.score.rank_score for candidate in drawn]
    assert scores == pytest.approx(expected["candidates"], abs=0.5)  # a level apart
    means = [candidate.image.mean((0, 1)).tolist() for candidate in drawn]
    np.testing.assert_allclose(means, expected["means"], atol=0.02)


def test_an_old_run_goes_on_as_before(task, folder):
    """To 60 images: the loss of its last step, and validation. Events get their new names."""
    with (folder / task / "metrics.jsonl").open("a") as file:
        file.write('{"event": "validation", "step": 9, "images": 36, "val_picture_loss": 0.5}\n')
    done = run(MAIN, "train", "--out", task, "--resume", "--images", "60", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (folder / task / "metrics.jsonl").open()]
    end = next(event for event in events if event["event"] == "end" and event["step"] == 15)
    found = [end["train_bits_per_dim"], end["val_bits_per_dim"]]
    assert found == pytest.approx(EXPECTED[task]["resumed"], abs=1e-3)
    # It holds out what it held out, and so does its model.
    assert read_toml(folder / task / "config.toml")["hold_out"] == "2%"
    assert caflow.load(folder / task).hold_out == "2%"
    assert {"val_image_loss": 0.5}.items() <= next(e for e in events if e["step"] == 9).items()


def test_an_old_run_whose_guide_is_gone_is_refused_and_stays(tmp_path):
    extract("inpaint", tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(caflow.CaflowError, match='guide_net is "sums"') as caught:
        caflow.load(tmp_path / "inpaint")
    assert "git checkout" in caught.value.hint
    done = run(MAIN, "train", "--out", "inpaint", "--resume", "--images", "60", cwd=tmp_path)
    assert done.returncode == 2
    assert b'guide_net is "sums"' in done.stderr
    for path, content in before.items():
        assert path.read_bytes() == content

"""Runs that an earlier commit trained load, score, sample and go on as they did.

`small_runs/make.py` makes them again when a format changes.
"""

from __future__ import annotations

import json
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from forked import run

import caflow_cli as caflow

RUNS = Path(__file__).parent / "small_runs"
EXPECTED = json.loads((RUNS / "expected.json").read_text(encoding="utf-8"))
MAIN = "import sys; sys.argv[0] = 'caflow'; from caflow_cli.cli import main; main()"

sys.path.append(str(RUNS))
import make  # noqa: E402  (found by the line above)


@pytest.fixture(scope="module", params=sorted(EXPECTED))
def task(request):
    return request.param


@pytest.fixture(scope="module")
def folder(task, tmp_path_factory):
    """The run, and the images that it learned from, where its config has them."""
    folder = tmp_path_factory.mktemp("small")
    with tarfile.open(RUNS / f"{task}.tar.xz") as archive:
        archive.extractall(folder)
    make.extract(folder)
    return folder


def test_a_run_loads_scores_and_samples_as_before(task, folder):
    condition, target, mask = make.example(folder, task)
    model, expected = caflow.load(folder / task), EXPECTED[task]
    assert model.config.task.name == task
    score = caflow.score(model, condition, target, mask)
    assert score.rank_score == pytest.approx(expected["score"], abs=0.02)
    drawn = caflow.restore(
        model, condition, make.TAU, make.M, keep=make.M, seed=make.SEED, mask=mask
    ).ranked
    assert [candidate.seed for candidate in drawn] == expected["seeds"]
    scores = [candidate.score.rank_score for candidate in drawn]
    assert scores == pytest.approx(expected["candidates"], abs=0.5)  # a level apart
    means = [candidate.image.mean((0, 1)).tolist() for candidate in drawn]
    np.testing.assert_allclose(means, expected["means"], atol=0.02)


def test_a_run_goes_on_as_before(task, folder):
    """To 60 images: the loss of its last step, and validation."""
    done = run(MAIN, "train", "--out", task, "--resume", "--images", "60", "-q", cwd=folder)
    assert done.returncode == 0, done.stderr
    events = [json.loads(line) for line in (folder / task / "metrics.jsonl").open()]
    end = next(event for event in events if event["event"] == "end" and event["step"] == 15)
    found = [end["train_bits_per_dim"], end["val_bits_per_dim"]]
    assert found == pytest.approx(EXPECTED[task]["resumed"], abs=1e-3)

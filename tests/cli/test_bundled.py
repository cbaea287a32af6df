"""The first command of the README, on bundled weights: ranks, scores and replays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .process import caflow


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("bundled")
    result = caflow(
        "superres", "example:face", *["-m", "10", "-n", "3", "--seed", "7", "--json"], cwd=folder
    )
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


def test_it_writes_three_ranked_pictures_here(run):
    folder, record = run
    names = [f"face_superres_0{rank}.png" for rank in (1, 2, 3)]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert [o["path"] for o in record["outputs"]] == names
    assert record["model"]["id"] == "faces-superres-x4"
    values = [c["log_likelihood"] for c in record["candidates"]]
    assert len(values) == 10
    assert values == sorted(values, reverse=True)


def test_score_repeats_number_and_order(run):
    folder, record = run
    again = []
    for output in record["outputs"]:
        arguments = ("score", "--cond", "example:face", "--target", output["path"], "--json")
        scored = json.loads(caflow(*arguments, cwd=folder).stdout)
        assert scored["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=1e-2)
        assert scored["model"] == record["model"]
        again.append(scored["log_likelihood"])
    assert again == sorted(again, reverse=True)


def test_a_written_candidate_is_replayed_by_its_seed(run):
    folder, record = run
    best = record["outputs"][0]
    assert best["seed"] == 7 + record["candidates"][0]["k"]
    arguments = ("superres", "example:face", "--seed", best["seed"], "-m", 1, "-o", "replay.png")
    assert caflow(*arguments, cwd=folder).returncode == 0
    a, b = (
        np.asarray(Image.open(folder / name)).astype(int) for name in (best["path"], "replay.png")
    )
    (folder / "replay.png").unlink()
    assert np.abs(a - b).max() <= 1
    assert (a != b).mean() <= 1e-4

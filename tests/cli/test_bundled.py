"""A first command, on bundled weights: ranks, scores and replays."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path

from .inprocess import captured


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("bundled")
    result = captured(
        folder, "superres", "example:face", *["-m", 10, "-n", 3, "--seed", 7, "--json"]
    )
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


def test_it_writes_three_ranked_pictures_here(restored):
    folder, record = restored
    names = [f"face_superres_0{rank}.png" for rank in (1, 2, 3)]
    assert sorted(p.name for p in folder.iterdir()) == names
    assert [o["path"] for o in record["outputs"]] == names
    assert record["model"]["id"] == "photos-superres-x4"
    values = [c["log_likelihood"] for c in record["candidates"]]
    assert len(values) == 10
    assert values == sorted(values, reverse=True)


def test_score_repeats_number_and_order(restored):
    folder, record = restored
    again = []
    for output in record["outputs"]:
        arguments = ("score", "--cond", "example:face", "--target", output["path"], "--json")
        scored = json.loads(captured(folder, *arguments).stdout)
        assert scored["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=1e-2)
        assert scored["model"] == record["model"]
        again.append(scored["log_likelihood"])
    assert again == sorted(again, reverse=True)


def test_a_written_candidate_is_replayed_by_its_seed(restored):
    folder, record = restored
    best = record["outputs"][0]
    assert best["seed"] == 7 + record["candidates"][0]["k"]
    arguments = ("superres", "example:face", "--seed", best["seed"], "-m", 1, "-o", "replay.png")
    assert captured(folder, *arguments).returncode == 0
    a, b = (
        np.asarray(Image.open(folder / name)).astype(int) for name in (best["path"], "replay.png")
    )
    (folder / "replay.png").unlink()
    assert np.abs(a - b).max() <= 1
    assert (a != b).mean() <= 1e-4


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        (("colorize", "example:room"), "photos-colorize"),
        (("inpaint", "example:face_64", "--mask", "example:hole"), "photos-inpaint"),
        (("sample", "--cond", "example:map", "--model", "maps-aerial"), "maps-aerial"),
    ],
)
def test_every_task_works_offline_with_its_bundled_model(
    run, tmp_path, monkeypatch, arguments, model
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "none"))
    given = (*arguments, "-m", "3", "-n", "3", "-o", "out/", "--json")
    result = run(*given)
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["model"]["id"] == model
    scores = [output["log_likelihood"] for output in record["outputs"]]
    assert len(scores) == 3
    assert scores == sorted(scores, reverse=True)
    best = record["outputs"][0]
    source = arguments[2] if arguments[0] == "sample" else arguments[1]
    picture = np.asarray(Image.open(tmp_path / best["path"]).convert("RGB"))
    given_picture = np.asarray(Image.open(example_path(source.removeprefix("example:"))))
    if arguments[0] == "colorize":
        grey = np.asarray(Image.fromarray(picture).convert("L")).astype(int)
        assert np.abs(grey - given_picture).max() <= 1
        assert picture.std(axis=-1).max() > 2  # it has colour
    mask = []
    if arguments[0] == "inpaint":
        mask = ["--mask", "example:hole"]
        known = np.asarray(Image.open(example_path("hole"))) == 0
        assert np.array_equal(picture[known], given_picture[known])
        assert not np.array_equal(picture[~known], given_picture[~known])
    again = run("score", "--cond", source, "--target", best["path"], *mask, "--json")
    assert json.loads(again.stdout)["log_likelihood"] == pytest.approx(scores[0], abs=1e-2)

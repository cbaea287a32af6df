"""A first command, on bundled weights: ranks, scores and replays."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path

from .inprocess import captured
from .scenes import pixels


@pytest.fixture(scope="module")
def restored(tmp_path_factory):
    """The folder of a command's results, and its JSON line."""
    folder = tmp_path_factory.mktemp("bundled")
    given = ["-m", 3, "-n", 2, "--seed", 7, "--json"]
    result = captured(folder, "superres", "example:face", *given)
    assert result.returncode == 0, result.stderr
    return folder, json.loads(result.stdout)


def test_it_writes_ranked_images_whose_score_is_repeated(restored):
    folder, record = restored
    names = ["face_superres_01.png", "face_superres_02.png"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert [output["path"] for output in record["outputs"]] == names
    values = [one["log_likelihood"] for one in record["candidates"]]
    assert values == sorted(values, reverse=True)
    for output in record["outputs"]:
        pair = ("score", "--cond", "example:face", "--target", output["path"], "--json")
        scored = json.loads(captured(folder, *pair).stdout)
        assert scored["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=1e-2)
        assert scored["model"] == record["model"]
        assert scored["model"]["id"] == "photos-superres-x4"


def test_a_written_candidate_is_replayed_by_its_seed(restored, tmp_path):
    folder, record = restored
    best = record["outputs"][0]
    assert best["seed"] == 7 + record["candidates"][0]["k"]
    replay = ("superres", "example:face", "--seed", best["seed"], "-m", 1, "-o", "replay.png")
    assert captured(tmp_path, *replay).returncode == 0
    a, b = (pixels(path).astype(int) for path in (folder / best["path"], tmp_path / "replay.png"))
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
    result = run(*arguments, "-m", 2, "-n", 2, "-o", "out/", "--json")
    assert result.returncode == 0, result.stderr
    record = json.loads(result.stdout)
    assert record["model"]["id"] == model
    best, second = record["outputs"]
    assert best["log_likelihood"] >= second["log_likelihood"]
    source = next(one for one in arguments if one.startswith("example:"))
    mask = arguments[2:] if arguments[0] == "inpaint" else ()
    image = pixels(tmp_path / best["path"])
    given = pixels(example_path(source.removeprefix("example:")))
    if arguments[0] == "colorize":
        grey = np.asarray(Image.fromarray(image).convert("L")).astype(int)
        assert np.abs(grey - given[..., 0]).max() <= 1
        assert image.std(axis=-1).max() > 2  # it has colour
    if mask:
        known = pixels(example_path("hole"))[..., 0] == 0
        assert np.array_equal(image[known], given[known])
        assert not np.array_equal(image[~known], given[~known])
    again = run("score", "--cond", source, "--target", best["path"], *mask, "--json")
    expected = pytest.approx(best["log_likelihood"], abs=1e-2)
    assert json.loads(again.stdout)["log_likelihood"] == expected

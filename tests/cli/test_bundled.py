"""Commands on bundled weights."""

import json

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path

from .scenes import pixels


@pytest.mark.parametrize(
    ("arguments", "model"),
    [
        (("superres", "example:face"), "photos-superres-x4"),
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

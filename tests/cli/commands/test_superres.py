"""`caflow superres`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from ..scenes import pixels, save


def test_superres_prints_the_paths_it_wrote(run, tmp_path, small_picture, model_file):
    result = run(
        "superres",
        small_picture,
        "-m",
        3,
        "-n",
        2,
        "-o",
        "out/",
        "--model",
        model_file,
    )
    assert result.returncode == 0, result.stderr
    written = ["out/small_superres_01.png", "out/small_superres_02.png"]
    assert result.stdout.decode().splitlines() == written
    assert result.stderr == b""
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*.png")) == written
    for path in written:
        assert Image.open(tmp_path / path).size == (32, 32)


def test_consistent_pictures_shrink_to_their_input_and_score_what_ranked_them(
    run, tmp_path, model_file
):
    image = save(tmp_path / "a.png", 8, 12)
    shared = ["superres", image, "-m", 2, "--tau", 0.4, "--json", "--model", model_file]
    done = run(*shared, "--consistent")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["params"]["consistent"] is True
    written = Image.open(record["outputs"][0]["path"]).convert("RGB")
    reduced = np.asarray(written.resize((12, 8), Image.Resampling.BICUBIC)).astype(int)
    assert record["outputs"][0]["consistency_max"] == np.abs(reduced - pixels(image)).max() <= 1
    pair = ["--cond", image, "--target", record["outputs"][0]["path"], "--json"]
    again = json.loads(run("score", *pair, "--model", model_file).stdout)
    expected = record["outputs"][0]["log_likelihood"]
    assert again["log_likelihood"] == pytest.approx(expected, abs=1e-2)
    plain = json.loads(run(*shared, "--overwrite").stdout)
    assert "consistency_max" not in plain["outputs"][0]
    assert "consistent" not in plain["params"]

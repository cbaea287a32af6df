"""`caflow inpaint` by a classical fill: what it writes, says and refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import read_provenance

from .process import assert_refused
from .results import lines_of
from .scenes import pixels, save, save_mask

UNSCORED = ("rank", "seed", "rank_by", "rank_value", "rank_score", "log_likelihood", "bits_per_dim")


@pytest.fixture
def holed(tmp_path, opencv_in_name):
    save(tmp_path / "x.png", 40, 60)
    save_mask(tmp_path / "m.png", 40, 60)
    return ["inpaint", "x.png", "--mask", "m.png", "--model"]


@pytest.mark.parametrize(("name", "level"), [("telea", 100), ("navier-stokes", 140)])
def test_the_hole_is_filled_and_nothing_says_a_likelihood(run, tmp_path, holed, name, level):
    (line,) = lines_of(run(*holed, name, "--json"))
    assert line["model"] == {"id": name, "sha256": None}
    assert line["params"] == {"opencv": "0.fake", "radius": 3}
    assert line["estimator"] is None
    (output,), (candidate,) = line["outputs"], line["candidates"]
    assert output.pop("path") == "x_inpaint.png"
    assert candidate.pop("k") == 0
    assert output == candidate == dict.fromkeys(UNSCORED)
    hole = pixels(tmp_path / "m.png")[..., 0] > 0
    result, given = pixels(tmp_path / "x_inpaint.png"), pixels(tmp_path / "x.png")
    assert (result[hole] == level).all()
    assert np.array_equal(result[~hole], given[~hole])
    record = read_provenance(tmp_path / "x_inpaint.png")
    assert record["model"] == line["model"]
    assert {record[key] for key in UNSCORED} == {None}


def test_the_environment_may_name_it_and_text_is_the_path(run, holed):
    done = run(*holed[:-1], "-m", 1, CAFLOW_MODEL="telea", CAFLOW_DEVICE="abacus")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"x_inpaint.png\n", b"")


def test_the_users_file_may_name_it_behind_the_environment(run, tmp_path, holed):
    (tmp_path / "mine.toml").write_text('[model]\ninpaint = "telea"\n')
    mine = {"CAFLOW_CONFIG": "mine.toml"}
    done = run(*holed[:-1], "--json", **mine)
    assert (done.returncode, lines_of(done)[0]["model"]["id"]) == (0, "telea"), done.stderr
    other = run(*holed[:-1], "--overwrite", "--json", CAFLOW_MODEL="photos-superres-x4", **mine)
    assert (other.returncode, lines_of(other)[0]["model"]["id"]) == (0, "telea"), other.stderr
    refused = run(*holed[:-1], "--overwrite", CAFLOW_MODEL_INPAINT="nothing.safetensors", **mine)
    assert refused.returncode == 3


@pytest.mark.parametrize(
    "option",
    [
        ["--tau", "0"],
        ["--candidates", "2"],
        ["--keep", "2"],
        ["--rank", "none"],
        ["--refine", "1"],
        ["--seed", "1"],
        ["--noise-samples", "2"],
        ["--batch-size", "1"],
        ["--compile"],
        ["--precision", "bf16"],
        ["--grid", "g.png"],
        ["--uncertainty", "u.png"],
    ],
)
def test_options_of_draws_are_refused(run, tmp_path, holed, option):
    result = run(*holed, "telea", *option)
    assert_refused(result, 2, f"so {option[0]} means nothing")
    assert f"leave {option[0]} out" in result.stderr.decode()
    assert not (tmp_path / "x_inpaint.png").exists()


def test_the_users_file_is_not_refused(run, tmp_path, holed):
    (tmp_path / "mine.toml").write_text("candidates = 20\nkeep = 3\ntau = 0.8\nseed = 1\n")
    done = run(*holed, "telea", CAFLOW_CONFIG="mine.toml")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"x_inpaint.png\n", b"")
    typed = run(*holed, "telea", "--seed", "2", CAFLOW_CONFIG="mine.toml")
    assert_refused(typed, 2, "so --seed means nothing")


def test_files_are_planned_as_for_models(run, tmp_path, holed):
    assert_refused(run(*holed[:2], "--model", "telea"), 2, "needs a mask")
    assert_refused(run(*holed, "telea", "-o", "-", "--json"), 2, "both want stdout")
    (planned,) = lines_of(run(*holed, "telea", "--json", "--dry-run"))
    assert planned["status"] == "planned"
    piped = run(*holed, "telea", "-o", "-")
    assert run(*holed, "telea").returncode == 0
    assert piped.stdout == (tmp_path / "x_inpaint.png").read_bytes()
    assert_refused(run(*holed, "telea"), 2, "exists")
    (skipped,) = lines_of(run(*holed, "telea", "--skip-existing", "--json"))
    assert skipped["status"] == "skipped"


def test_one_bad_picture_does_not_stop_the_others(run, tmp_path, holed):
    save(tmp_path / "small.png", 8, 8)
    (tmp_path / "bad.png").write_bytes(b"bad")
    given = ["inpaint", "small.png", "bad.png", "x.png", *holed[2:], "telea", "--json"]
    done = run(*given)
    assert [line["status"] for line in lines_of(done)] == ["error", "error", "ok"]
    assert done.returncode == 1
    assert "small.png: the mask is 60x40" in done.stderr.decode()


def test_alpha_comes_back(run, tmp_path, holed):
    alpha = np.tile(np.linspace(0, 255, 60).astype(np.uint8), (40, 1))
    with_alpha = np.dstack([pixels(tmp_path / "x.png"), alpha])
    Image.fromarray(with_alpha).save(tmp_path / "a.png")
    assert run("inpaint", "a.png", *holed[2:], "telea").returncode == 0
    result = np.asarray(Image.open(tmp_path / "a_inpaint.png"))
    assert np.array_equal(result[..., 3], alpha)
    known = pixels(tmp_path / "m.png")[..., 0] == 0
    assert np.array_equal(result[known], with_alpha[known])


def test_other_commands_say_that_it_is_no_model(run, tmp_path, holed):
    assert run(*holed, "telea").returncode == 0
    pair = ["score", "--cond", "x.png", "--target", "x_inpaint.png", "--mask", "m.png"]
    assert_refused(run(*pair), 2, "filled by telea, a classical method without a likelihood")
    for command in (
        [*pair],
        ["superres", "x.png"],
        ["colorize", "x.png"],
        ["sample", "--cond", "x.png"],
    ):
        refused = run(*command, "--model", "telea")
        assert_refused(refused, 2, "telea is a classical fill")


def test_a_model_can_score_what_it_filled(run, holed, model_files):
    assert run(*holed, "telea").returncode == 0
    pair = ["score", "--cond", "x.png", "--target", "x_inpaint.png", "--mask", "m.png", "--json"]
    (line,) = lines_of(run(*pair, "--model", model_files["inpaint"]))
    assert line["log_likelihood"] < 0


def test_without_opencv_the_extra_is_named(run, tmp_path, holed, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    refused = run(*holed, "telea")
    assert_refused(refused, 3, "not installed")
    assert "pip install 'caflow-cli[classical]'" in refused.stderr.decode()


def test_it_needs_no_torch(tmp_path, holed):
    root = Path(__file__).parents[2]
    paths = [str(root), str(root / "tests"), os.environ.get("PYTHONPATH", "")]
    probe = (
        "import sys\n"
        "sys.argv = 'caflow inpaint x.png --mask m.png --model telea'.split()\n"
        "from fake_opencv import fake_opencv; sys.modules['cv2'] = fake_opencv()\n"
        "from caflow_cli.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )
    assert (result.stdout, result.stderr) == ("x_inpaint.png\n", "False\n")

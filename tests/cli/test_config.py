"""Where values of options come from: typed, the environment, the default."""

import json

import pytest

from .process import assert_refused
from .scenes import save

PAIR = ("score", "--cond", "x.png", "--target", "x.png")


@pytest.mark.parametrize("command", [("superres", "x.png"), PAIR])
def test_typed_then_environment_then_default(run, tmp_path, command):
    """Observed by the name of a missing model, which is reported before any image is read."""
    save(tmp_path / "x.png", 8, 8)
    variable = {f"CAFLOW_{command[0].upper()}_MODEL": "surround"}
    for model, options in (("surround", []), ("typed", ["--model", "typed"])):
        assert_refused(run(*command, *options, **variable), 3, f"no model '{model}'")
    assert_refused(run("sample", "--cond", "x.png", **variable), 2, "sample needs a model")
    assert_refused(run("colorize", "x.png", CAFLOW_DEVICE="cuda:99"), 2, "'cuda:99'")
    assert_refused(run("colorize", "x.png", CAFLOW_COLORIZE_DEVICE="cuda:66"), 2, "'cuda:66'")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("candidates", "many", "valid integer"),
        ("keep", 3, "cannot keep 3 of 2 candidates"),
        ("tau", "banana", "tau is 'banana'"),
        ("quiet", "perhaps", "valid boolean"),
        ("device", "abacus", "'abacus'"),
        ("model", "nowhere", "no model 'nowhere'"),
    ],
)
def test_a_bad_value_of_the_environment_is_one_error(run, tmp_path, key, value, message):
    save(tmp_path / "x.png", 8, 8)
    given = ["superres", "x.png", *([] if key == "candidates" else ["-m", 2])]
    refused = run(*given, **{f"CAFLOW_SUPERRES_{key.upper()}": str(value)})
    assert_refused(refused, 3 if key == "model" else 2, message)


def test_score_takes_the_targets_own_model_unless_one_is_typed(run, tmp_path, model_file):
    save(tmp_path / "x.png", 8, 8)
    done = run("superres", "x.png", "-m", 1, "--model", "faces-superres-x4", "-o", "y.png")
    assert done.returncode == 0, done.stderr
    pair = ("score", "--cond", "x.png", "--target", "y.png", "--json")
    for model, options in (("faces-superres-x4", []), (model_file.name, ["--model", model_file])):
        done = run(*pair, *options, CAFLOW_SCORE_MODEL=str(model_file))
        assert json.loads(done.stdout)["model"]["id"] == model

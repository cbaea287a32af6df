"""Where values of options come from: typed, the environment, the user's file, the default."""

import json
from pathlib import Path

import pytest

from .process import assert_refused
from .scenes import save

PAIR = ("score", "--cond", "x.png", "--target", "x.png")


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's file, empty, beside an image."""
    path = tmp_path / "config.toml"
    path.touch()
    monkeypatch.setenv("CAFLOW_CONFIG", str(path))
    save(tmp_path / "x.png", 8, 8)
    return path


@pytest.mark.parametrize("command", [("superres", "x.png"), PAIR])
def test_typed_then_environment_then_file_then_default(run, file, command):
    """Observed by the name of a missing model, which is reported before any image is read."""
    file.write_text(f'device = "cuda:77"\n[{command[0]}]\nmodel = "filed"\ndevice = "cpu"\n')
    variable = {f"CAFLOW_{command[0].upper()}_MODEL": "surround"}
    for model, options, environment in (
        ("filed", [], {}),
        ("surround", [], variable),
        ("typed", ["--model", "typed"], variable),
    ):
        done = run(*command, *options, **environment)
        assert_refused(done, 3, f"no model '{model}'")
    assert_refused(run("sample", "--cond", "x.png", **variable), 2, "sample needs a model")
    assert_refused(run("colorize", "x.png"), 2, "'cuda:77'")
    assert_refused(run("colorize", "x.png", CAFLOW_DEVICE="cuda:99"), 2, "'cuda:99'")
    assert_refused(run("colorize", "x.png", CAFLOW_COLORIZE_DEVICE="cuda:66"), 2, "'cuda:66'")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("# a\ndevice = \n", "cannot be read: Invalid value (at line 2", "fix the file"),
        ("# a\ndevice =", "cannot be read: Invalid value (at line 2", "fix the file"),
        (b"\xff", "cannot be read: 'utf-8' codec", "fix the file"),
        (f"a = {'[' * 4999}{']' * 4999}", "cannot be read: maximum recursion", "fix the file"),
        ("a" + ".a" * 50_000 + " = 1", "cannot be read: it has more than 16 kB", "fix the file"),
        (f"{'a.' * 2999}a = 1", "cannot be read: it is nested more than 20 deep", "fix the file"),
        ("devcie = 'cpu'\n", "sets devcie, which is not an option", "COMMAND --help"),
        ("[superres]\ncandidate = 3\n", "sets superres.candidate", "COMMAND --help"),
        ("[models.lst]\njson = true\n", "sets models.lst, which is not a command", "--help"),
        ("superres = 3\n", "sets superres, which is not an option", ""),
    ],
)
def test_a_bad_file_stops_every_command_but_not_help_or_config(run, file, text, message, hint):
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    refused = run("superres", "x.png")
    assert_refused(refused, 2, message)
    assert repr(str(file)) in refused.stderr.decode()
    assert hint in refused.stderr.decode()
    assert_refused(run("models", "list"), 2, message)
    assert b"Usage: caflow superres" in run("superres", "--help").stdout
    assert run("--version").returncode == 0
    shown = run("config")
    assert (shown.returncode, shown.stdout.decode()) == (0, f"{file}\n")
    assert message in shown.stderr.decode()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("candidates", "many", "valid integer"),
        ("keep", 3, "cannot keep 3 of 2 candidates"),
        ("tau", "banana", "tau is 'banana'"),
        ("quiet", "perhaps", "valid boolean"),
        ("seed", [1], "valid integer"),
        ("device", "abacus", "'abacus'"),
        ("model", "nowhere", "no model 'nowhere'"),
    ],
)
def test_a_bad_value_is_one_error_and_the_file_is_named(run, file, key, value, message):
    given = ["superres", "x.png", *([] if key == "candidates" else ["-m", 2])]
    file.write_text(f"[superres]\n{key} = {json.dumps(value)}\n")
    code = 3 if key == "model" else 2
    refused = run(*given)
    assert_refused(refused, code, message)
    assert f"options are also set in {str(file)!r}" in refused.stderr.decode()
    if not isinstance(value, list):
        variable = f"CAFLOW_SUPERRES_{key.upper()}"
        by_variable = run(*given, **{variable: str(value)})
        assert_refused(by_variable, code, message)


def test_config_prints_the_place_and_what_is_set(run, file, monkeypatch, tmp_path):
    text = 'device = "cpu" # mine\n[superres]\ncandidates = "many"\n'
    file.write_text(text)
    assert run("config").stdout.decode() == f"{file}\n{text}"
    assert run("models", "list").returncode == 0  # a bad value of another command stops none
    file.unlink()
    assert run("config").stdout.decode() == f"{file}\n"
    monkeypatch.delenv("CAFLOW_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert Path(run("config").stdout.decode().strip()).parts[-2:] == ("caflow", "config.toml")


def test_score_takes_the_targets_own_model_unless_one_is_typed(run, file, model_file):
    done = run("superres", "x.png", "-m", 1, "--model", "faces-superres-x4", "-o", "y.png")
    assert done.returncode == 0, done.stderr
    pair = ("score", "--cond", "x.png", "--target", "y.png", "--json")
    file.write_text(f"[score]\nmodel = {json.dumps(str(model_file))}\n")
    for model, options, environment in (
        ("faces-superres-x4", [], {}),
        ("faces-superres-x4", [], {"CAFLOW_SCORE_MODEL": str(model_file)}),
        (model_file.name, ["--model", model_file], {}),
    ):
        assert json.loads(run(*pair, *options, **environment).stdout)["model"]["id"] == model

"""Evaluations that cannot be told, or ask for what another form has."""

from __future__ import annotations

import json

import pytest

from caflow_cli.cli.commands import evaluate
from caflow_cli.errors import CaflowError
from caflow_cli.temperature import Temperature

from .process import assert_refused

HINT = "caflow evaluate --task superres --data faces/ --metric "


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--metric", "fid"], "nothing to evaluate", HINT + "fid"),
        ([], "nothing to evaluate", HINT + "lpips,rmse"),
        (["a"], "1 sets of pictures", "caflow evaluate GENERATED REFERENCE"),
        (["a", "b", "--data", "d"], "not both", HINT),
        (["--task", "superres"], "no data", "--data DIR"),
        (["--data", "d", "--reference", "r"], "--reference is for JSON lines", HINT),
        (["a", "b", "--metric", "bpd"], "needs a model", "--metric bpd"),
        (["--data", "d", "--limit", "0"], "--limit is 0", "--limit 10"),
        (["--data", "d", "--skip-existing"], "--skip-existing", "--save-images DIR"),
        (["--data", "d", "--resize", "9"], "--resize", "leave out"),
        (["--data", "none"], "no data at 'none'", "--data"),
        (["a", "b", "--report", "r"], "--report is for a model", HINT),
        (["a", "b", "--tau", "0.5"], "--tau is for a model", HINT),
        (["a", "b"], "no pictures at 'a'", "folder"),
    ],
)
def test_wrong_usage_exits_2_with_what_to_type(run, tmp_path, arguments, message, hint):
    result = run("evaluate", *arguments)
    assert_refused(result, 2, message)
    assert hint in result.stderr.decode().splitlines()[1]
    assert not list(tmp_path.iterdir())


def test_a_terminal_is_not_waited_for(run, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    result = run("evaluate", "--reference", "r", "--metric", "fid")
    assert_refused(result, 2, "needs JSON lines")
    assert "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR" in (
        result.stderr.decode()
    )


# --- the user's file ------------------------------------------------------------------------------

FILE = """
tau = 0.8
candidates = 20
keep = 2
rank = "best"
batch-size = 4
skip-existing = true
task = "superres"
jobs = 2
[evaluate]
report = "report/"
search-rank = true
limit = 3
"""


@pytest.fixture
def mine(run, tmp_path):
    """`mine(file, *arguments)`: `caflow evaluate` with the user's file."""

    def mine(file, *arguments, **environment):
        (tmp_path / "mine.toml").write_text(file)
        return run("evaluate", *arguments, CAFLOW_CONFIG="mine.toml", **environment)

    return mine


@pytest.fixture
def taken(mine, monkeypatch):
    """`taken(file, *arguments)`: the options of a model on data, those of files, and settings."""
    found = []

    def keep(metrics, given, compared, networks, written, jobs, console):
        settings = evaluate.model_settings(given, metrics)
        evaluate.check_options("model", given, compared, written)
        found.append((given, written, settings))
        raise CaflowError("enough", "")

    monkeypatch.setattr(evaluate, "_on_data", keep)

    def taken(file, *arguments, **environment):
        done = mine(file, *arguments, **environment)
        assert done.stderr.startswith(b"error: enough"), done.stderr
        return found[-1]

    return taken


def test_two_folders_are_compared_whatever_the_users_file_says_of_models(mine, true_pictures):
    folders = (true_pictures, true_pictures, "--metric", "rmse", "--json")
    done = mine(FILE + 'data = "faces/"\nreference = "truths/"\n', *folders)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["form"] == "sets"
    plain = mine('[evaluate]\nmetric = ["rmse,bpd"]\n', *folders[:2], "--json")
    assert list(json.loads(plain.stdout)["metrics"]) == ["rmse"]
    assert_refused(mine("", *folders, "--tau", "0.5"), 2, "--tau is for a model")


def test_lines_are_read_whatever_the_users_file_says_of_models(mine, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    done = mine(FILE + 'data = "faces/"\n', "--reference", "r")
    assert_refused(done, 2, "--reference needs JSON lines")


def test_a_search_is_of_the_models_own_defaults(taken):
    file = FILE.replace("search-rank = true", "split = 'test'\nprotocol = 'table1'")
    for options in (["--search-tau"], ["--search-rank", "--write-defaults", "x.safetensors"]):
        given, written, settings = taken(file, "--data", "d", *options)
        assert (given.tau, given.rank, given.keep, given.protocol) == (None, None, None, None)
        assert (settings.candidates, settings.limit, settings.split) == ([20], 3, "val")
        assert (written.report, written.skip_existing) == (None, False)
    assert taken('candidates = "5"\n', "--data", "d", "--search-tau")[2].candidates == [5]
    assert (
        taken('[evaluate]\ncandidates = "5,6"\n', "--data", "d", "--search-tau")[2].candidates
        is None
    )


def test_a_model_on_data_takes_what_fits(taken):
    given, written, settings = taken("skip-existing = true\ntau = 0.8\nkeep = 3\n", "--data", "d")
    assert (written.skip_existing, given.tau, settings.keep) == (False, "0.8", [3])
    _, written, _ = taken("skip-existing = true\n", "--data", "d", "--save-images", "s")
    assert written.skip_existing
    assert taken("keep = 3\n", "--data", "d", "-m", "2")[0].keep is None
    assert taken("candidates = 2\n", "--data", "d", "-n", "3")[0].candidates is None
    assert taken('task = "colorize"\n', "--data", "d", "--model", "m")[0].task is None
    assert taken('task = "colorize"\n', "--data", "d")[0].task == "colorize"
    assert taken('[evaluate]\nmasks = "m"\nresize = 8\n', "--data", "d")[0].masks is None


def test_a_typed_protocol_goes_before_the_users_file(taken):
    file = 'tau = 0.8\ncandidates = 20\nkeep = 2\nrank = "best"\ntask = "colorize"\n'
    settings = taken(file, "--data", "d", "--protocol", "table1")[2]
    assert (settings.tau, settings.candidates) == ([Temperature.of(0.5)], [10])
    assert (settings.task, settings.ranks) == ("superres", ("likelihood",))
    assert taken(file, "--data", "d", "--protocol", "table1", "--tau", "1")[0].tau == "1"
    other = taken('[evaluate]\nprotocol = "table1"\n', "--data", "d", "--task", "colorize")[0]
    assert other.protocol is None

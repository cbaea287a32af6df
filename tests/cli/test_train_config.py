"""The config of a run: a file, with the flags laid over it."""

from __future__ import annotations

import pytest

from caflow_cli.cli.commands import train
from caflow_cli.cli.train_config import run_config
from caflow_cli.cli.train_options import RunOptions

from .process import assert_refused


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--out", "r"], "no data"),
        (["train", "--out", "r", "--resume"], "no run to resume in 'r'"),
        (["train", "--out", "r", "--resume", "--seed", "3"], "--seed"),
        (["train", "--out", "r", "--resume", "--crop", "random"], "--crop"),
        (["train", "--out", "r", "--data", ".", "--minutes", "nan"], "optim.minutes is nan"),
        (["train", "--out", "r", "--data", "."], "budget"),
        (["train", "--out", "r", "--data", ".", "--images", "9", "--preset", "huge"], "'huge'"),
        (["train", "--out", "r", "--data", ".", "--images", "9", "--set", "optim.x=1"], "optim.x"),
        (["train", "--out", "r", "--data", "d", "--images", "9"], "'d'"),
    ],
)
def test_wrong_usage_exits_2_and_writes_nothing(run, tmp_path, arguments, message):
    result = run(*arguments)
    assert_refused(result, 2, message)
    assert not list(tmp_path.iterdir())


def test_flags_come_before_the_file_and_a_budget_replaces_a_budget(tmp_path, monkeypatch):
    file = tmp_path / "run.toml"
    (tmp_path / "photos").mkdir()
    monkeypatch.chdir(tmp_path)
    file.write_text(
        'data = "photos"\nseed = 4\n[optim]\nimages = 100\nlr = 0.5\nbatch_size = 2\n'
        "[task]\nsize = 32\n"
    )
    config = str(file)
    plain = run_config("out", RunOptions(config=config))
    assert (plain.data, plain.out, plain.seed, plain.optim.images) == ("photos", "out", 4, 100)
    assert plain.crop == "whole"
    assert run_config("out", RunOptions(config=config, crop="random")).crop == "random"
    over = run_config("out", RunOptions(config=config, seed=7, minutes=3.0, lr=0.25, compiled=True))
    assert (over.seed, over.optim.lr, over.optim.batch_size) == (7, 0.25, 2)
    assert (over.optim.images, over.optim.minutes, over.optim.compile) == (None, 3.0, True)
    assert not over.optim.checkpoint_activations


@pytest.fixture
def ran(tmp_path, monkeypatch, run):
    """`ran(file, *options, **environment)`: the config that `caflow train --out run` takes."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "config.toml").write_text(
        'data = "photos"\nseed = 4\n[optim]\nimages = 64000\nlr = 0.002\nbatch_size = 16\n'
    )
    found = []
    monkeypatch.setattr(train, "_train", lambda config, resume, reporter: found.append(config))

    def ran(file, *options, **environment):
        (tmp_path / "mine.toml").write_text(file)
        done = run("train", "--out", "run", *options, CAFLOW_CONFIG="mine.toml", **environment)
        assert done.returncode == 0, done.stderr
        return found[-1]

    return ran


@pytest.mark.parametrize("how", [["--resume"], ["--config", "run/config.toml"]])
def test_the_users_file_does_not_change_a_config(ran, how):
    file = 'batch-size = 4\nseed = 1\n[train]\nminutes = 60\nlr = 0.01\ntask = "colorize"\n'
    config = ran(file + 'preset = "tiny"\nset = ["flip=false"]\ncompile = true\n', *how)
    assert (config.optim.images, config.optim.minutes) == (64000, None)
    assert (config.optim.lr, config.optim.batch_size, config.seed) == (0.002, 16, 4)
    assert (config.task.name, config.flip) == ("superres", True)
    # A run of version 0.1.0, whose file has no method, goes on by Adam.
    assert config.optim.method == ("adam" if "--resume" in how else "muon")
    assert not config.optim.compile
    typed = ran(file, *how, "--minutes", "5", "--batch-size", "2")
    assert (typed.optim.images, typed.optim.minutes, typed.optim.batch_size) == (None, 5, 2)


@pytest.mark.parametrize(("method", "goes_on_by"), [("muon", "muon"), (None, "adam")])
def test_a_file_for_a_run_that_goes_on_leaves_its_method(ran, tmp_path, method, goes_on_by):
    own = tmp_path / "run" / "config.toml"
    if method is not None:
        own.write_text(own.read_text() + f'method = "{method}"\n')
    (tmp_path / "own.toml").write_text('data = "photos"\n[optim]\nimages = 9\n')
    config = ran("", "--resume", "--config", "own.toml")
    assert (config.optim.images, config.optim.method) == (9, goes_on_by)
    own.write_text("no TOML")
    assert ran("", "--resume", "--config", "own.toml").optim.images == 9
    (tmp_path / "own.toml").write_text('data = "photos"\n[optim]\nimages = 9\nmethod = "muon"\n')
    assert ran("", "--resume", "--config", "own.toml").optim.method == "muon"

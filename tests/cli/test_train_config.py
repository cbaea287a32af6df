"""The config of a run: a file, with the flags laid over it."""

from __future__ import annotations

import pytest

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

"""The numerical soak, on small models of every task and on a few samples."""

from __future__ import annotations

import copy
import json

import pytest
import torch

from . import numbers


@pytest.mark.parametrize("task", ["superres", "inpaint", "colorize"])
def test_promises_are_kept(models_32, task):
    model = models_32[task]
    conds = numbers.conditions(model, None, 3)
    assert conds.dtype == torch.uint8
    assert conds.shape == (3, model.config.flow.cond_channels, 32, 32)
    samples = numbers.sample_at_length(model, conds, 6, 2, len)
    scores = numbers.score_twice(model, conds, 10, len)
    assert (samples.drawn, scores.pairs, scores.compared) == (6, 10, 45)
    assert numbers.broken_promises(samples, scores) == []


def test_broken_promises_are_noticed(models_32):
    model = copy.deepcopy(models_32["superres"])
    conds = numbers.conditions(model, None, 1)
    inverse = model.density.logit.inverse
    model.density.logit.inverse = lambda h, cond: (inverse(h, cond)[0] + 0.6, inverse(h, cond)[1])
    samples = numbers.sample_at_length(model, conds, 2, 2, len)
    assert samples.changed == samples.changed_raw == 2
    model.density.logit.inverse = lambda h, cond: (
        inverse(h, cond)[0] * torch.nan,
        inverse(h, cond)[1],
    )
    model.train().eval()  # folded anew
    samples = numbers.sample_at_length(model, conds, 2, 2, len)
    assert samples.non_finite == 2
    scores = numbers.Scores(worst=0.5, swapped=3)
    assert len(numbers.broken_promises(samples, scores)) == 3


def test_the_command_says_and_writes_what_it_found(tmp_path, capsys, models_32, monkeypatch):
    monkeypatch.setattr(numbers, "load", lambda name: models_32["superres"])
    arguments = ["--samples", "2", "--pairs", "2", "--models", "x", "--json", str(tmp_path / "j")]
    assert numbers.main(arguments) == 0
    assert "non-finite                    0" in capsys.readouterr().out
    content = json.loads((tmp_path / "j").read_text())
    assert content["models"]["x"]["samples"]["drawn"] == 2
    assert content["models"]["x"]["broken"] == []

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest
from evaluation.small_settings import settings

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.settings import Cell, EvaluationSettings


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"taus": (0.5, -1.0)}, "tau is -1"),
        ({"candidates": (0,)}, "cannot draw 0"),
        ({"keep": (4,)}, "cannot keep 4 of 3"),
        ({"seed": 2**32}, "seed"),
        ({"noise_samples": 0}, "0 noise samples"),
        ({"candidates": (1,), "metrics": ("diversity",)}, "diversity of one"),
    ],
)
def test_settings_that_cannot_be_run(changes, message):
    with pytest.raises(CaflowError, match=message) as caught:
        settings(**changes).check()
    assert caught.value.exit_code == 2


def test_a_sweep_is_all_that_fits_and_draws_once_a_temperature():
    sweep = settings(taus=(0.0, 0.5), candidates=(1, 10), keep=(1, 5), metrics=("likelihood",))
    assert len(sweep.cells) == 2 * 3
    assert (sweep.most, sweep.draws) == (10, [0.0, 0.5, 1.0])
    assert settings(metrics=("bpd",)).draws == []


def test_what_is_left_open_is_the_models_or_its_tasks():
    config = helpers.task_config("superres")
    own = replace(config, task=replace(config.task, tau=0.3, candidates=7))
    assert EvaluationSettings.resolve(config, "rmse").cells == [Cell(0.5, 10, 1)]
    assert EvaluationSettings.resolve(own, "rmse").cells == [Cell(0.3, 7, 1)]
    given = EvaluationSettings.resolve(own, ("ssim", "rmse"), (1, 0.5, 1), [4, 2], (1, 2))
    assert (given.taus, given.candidates, given.keep) == ((1.0, 0.5), (4, 2), (1, 2))
    assert given.metrics == ("rmse", "ssim")
    with pytest.raises(CaflowError, match="cannot keep 9 of 7") as caught:
        EvaluationSettings.resolve(own, "rmse", keep=9)
    assert (caught.value.exit_code, caught.value.hint) == (2, "-m 9")
    with pytest.raises(CaflowError, match="cannot draw 10001 candidates"):
        EvaluationSettings.resolve(own, "rmse", candidates=10_001)

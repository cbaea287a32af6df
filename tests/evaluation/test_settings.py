"""Settings of an evaluation: what is refused, filled in, and swept."""

import json
from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.metrics import METRICS, choose_metrics
from caflow_cli.evaluation.settings import Settings

CONFIG = helpers.task_config("superres")


def resolved(config=CONFIG, metrics=(), **options) -> Settings:
    return Settings.of(metrics, options).filled(config)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"candidates": 1, "metrics": "crps,rank"}, "no diversity, calibration, crps or rank"),
        ({"metrics": "beauty"}, "unknown metric"),
        ({"metrics": "seconds"}, "cannot measure 'seconds'"),
        ({"protocol": "sr4", "metrics": "fid"}, "cannot measure 'fid'"),
        ({"protocol": "sr4", "metrics": "psnr_hole"}, "cannot measure 'psnr_hole'"),
    ],
)
def test_metrics_that_cannot_be_measured(given, message):
    """`tests/settings/refusals.json` has the other settings."""
    with pytest.raises(CaflowError, match=message) as caught:
        resolved(**given)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"limit": "3"}, "limit is '3'"),
        ({"limit": True}, "limit is True"),
        ({"noise_samples": None}, "noise_samples is None"),
        ({"noise_samples": 1.5}, "noise_samples is 1.5"),
        ({"candidates": 2.5}, "candidates is 2.5"),
        ({"keep": 1.5}, "keep is 1.5"),
        ({"keep": [1, "x"]}, "-n is "),
        ({"tau": True}, "tau is True"),
        ({"seed": "a"}, "seed is 'a'"),
        ({"rank": 3}, "rank is 3"),
        ({"consistent": "yes"}, "consistent is 'yes'"),
        ({"weights": "alexnet"}, "weights is 'alexnet'"),
        ({"skip_existing": 1}, "skip_existing is 1"),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_the_keyword(given, message):
    with pytest.raises(CaflowError) as caught:
        resolved(**given)
    assert caught.value.message.startswith(message)
    assert caught.value.exit_code == 2


def test_numbers_of_numpy_and_pytorch_are_numbers():
    given = {"tau": np.float32(0.5), "candidates": torch.tensor(4), "keep": np.int64(2)}
    settings = resolved(**given, limit=np.int32(3), noise_samples=np.uint8(2))
    assert of(settings) == ([("0.5", 4, 2)], [("0.5", 4)])
    assert (settings.limit, settings.given["noise_samples"]) == (3, 2)
    json.dumps(settings.as_json())  # none is left
    for taus in (np.array([0.5, 1]), torch.tensor([0.5, 1]), [0.5, np.float64(1)], "0.5,1"):
        assert [str(tau) for tau in resolved(tau=taus).tau] == ["0.5", "1"]


def test_metrics_are_chosen_by_name_list_or_all():
    assert choose_metrics(["RMSE,lpips", "fid"], METRICS) == ("lpips", "rmse", "fid")
    assert choose_metrics(["all"], ["rmse", "ssim"]) == ("rmse", "ssim")
    with pytest.raises(CaflowError, match="unknown metric 'sim'") as caught:
        choose_metrics(["sim"], ["lpips", "rmse", "ssim"])
    assert caught.value.hint == "--metric ssim; known: lpips, rmse, ssim"


def of(settings):
    """Cells and draws of settings, with temperatures as texts."""
    cells = [(str(cell.tau), *cell[1:3]) for cell in settings.cells]
    return cells, [(str(tau), m) for tau, m in settings.draws.items()]


def test_a_sweep_is_all_combinations_and_draws_once_a_temperature():
    for keep in ((1, 5), "1,5"):
        cells, draws = of(resolved(tau=(0.0, 0.5), keep=keep, metrics="likelihood"))
        assert cells == [(tau, 10, n) for tau in ("0", "0.5") for n in (1, 5)]
        assert draws == [("0", 10), ("0.5", 10)]
    assert of(resolved(metrics="bpd")) == ([], [])


def test_whole_images_are_drawn_once_at_temperature_0():
    sweep = resolved(protocol="sr4", tau=(0, 0.7), candidates=4)
    draws = [("0", 1), ("0.7", 4)]
    assert of(sweep) == ([(tau, m, 1) for tau, m in draws], draws)
    assert sweep.metrics == ("lpips", "psnr_y", "ssim_y", "seconds")
    assert (sweep.kind.form, sweep.kind.side) == ("benchmark", None)


def test_images_have_the_size_of_the_model_or_for_native_pairs_their_own():
    paired = helpers.task_config("paired")
    native = replace(paired, task=replace(paired.task, native=True))
    sides = [resolved(config).kind.side for config in (CONFIG, paired, native)]
    assert sides == [CONFIG.task.size, paired.task.size, None]


def test_what_is_left_open_is_the_protocols_the_models_or_its_tasks():
    own = replace(CONFIG, task=replace(CONFIG.task, tau=0.3, candidates=7))
    assert of(resolved())[0] == [("0.5", 10, 1)]
    assert of(resolved(own))[0] == [("0.3", 7, 1)]
    given = {"metrics": ("ssim", "rmse"), "tau": (1, 0.5, 1), "candidates": 4, "keep": (1, 2)}
    record = resolved(own, **given).as_json()
    assert record["taus"] == [[1.0], [0.5]]
    assert (record["candidates"], record["keep"]) == (4, [1, 2])
    assert record["metrics"] == ["rmse", "ssim"]
    table1 = resolved(own, protocol="table1", metrics="psnr")
    assert (of(table1)[0], table1.limit) == ([("0.5", 10, 1)], 100)
    assert table1.metrics == ("lpips", "rmse", "psnr")
    assert table1.departures(100) == []
    other = resolved(own, protocol="table1", tau=0.9, limit=3)
    assert other.limit == 3
    assert other.departures(3) == ["other settings than those of table1: tau, limit"]

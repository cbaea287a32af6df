"""Sampling: one place says which tau and which M, and what no model can do."""

from __future__ import annotations

from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.checkpoint import Calibration
from caflow_cli.config import Temperature
from caflow_cli.errors import CaflowError
from caflow_cli.intervals import calibrated
from caflow_cli.records import checked, settings
from caflow_cli.sampling import NoiseSamples, Sampling, SamplingKeywords


@pytest.mark.parametrize(
    ("name", "tau", "candidates"),
    [("superres", 0.5, 10), ("colorize", 0.85, 10), ("inpaint", 0.5, 30), ("paired", 0.8, 10)],
)
def test_a_flag_beats_the_model_s_config_and_that_beats_the_task(name, tau, candidates):
    config = helpers.task_config(name)
    plain = {"keep": 1, "consistent": False, "precision": "float32"}
    assert Sampling().of(config) == Sampling(Temperature((tau,)), candidates, **plain)
    own = replace(config, task=replace(config.task, tau=0.0, candidates=7))
    assert Sampling().of(own) == Sampling(Temperature((0.0,)), 7, **plain)
    asked = Sampling(Temperature((0.9,)), 3, seed=5, rank="none", **{**plain, "keep": 2})
    assert asked.of(own) == asked
    assert Sampling().of(own).of(config) == Sampling(Temperature((0.0,)), 7, **plain)


def test_a_shape_must_fit_the_model_and_may_be_its_own():
    config = helpers.task_config("superres")
    own = replace(config, task=replace(config.task, tau=(0.9, 0.7, 0.5)))
    filled = Sampling().of(own)
    assert str(filled.temperature) == "0.9/0.7/0.5"
    assert Sampling(tau="1/2/3/4/5/6").of(config).temperature.values == (1, 2, 3, 4, 5, 6)
    with pytest.raises(CaflowError, match="has 4 values"):
        Sampling(tau=[1, 2, 3, 4]).of(config)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tau": -0.5}, "tau is -0.5"),
        ({"tau": "0.5/-1"}, "tau is -1.0"),
        ({"candidates": 2, "keep": 3}, "cannot keep 3 of 2 candidates"),
        ({"candidates": 0}, "cannot draw 0 candidates"),
        ({"candidates": 2**32 + 1}, "cannot draw 4294967297 candidates"),
        ({"keep": 0}, "cannot keep 0 candidates"),
        ({"seed": -1}, "seed -1 is out of range"),
        ({"seed": 2**32}, "seed 4294967296 is out of range"),
        ({"seed": 2**32 - 4, "candidates": 5}, "seed 4294967292 is out of range"),
        ({"seed": 2**32 - 4, "keep": 5}, "seed 4294967292 is out of range"),
        ({"rank": "beauty"}, "cannot rank by 'beauty'"),
        ({"precision": "float16"}, "unknown precision 'float16'"),
    ],
)
def test_what_is_out_of_range_is_refused(asked, message):
    with pytest.raises(CaflowError) as caught:
        Sampling(**asked).check()
    assert (caught.value.message, caught.value.exit_code) == (message, 2)
    assert caught.value.hint.startswith("-")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"keep": 2.5}, "keep is 2.5"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"candidates": True}, "candidates is True"),
        ({"candidates": "4"}, "candidates is '4'"),
        ({"tau": True}, "tau is True"),
        ({"rank": 1}, "rank is 1"),
        ({"consistent": 1}, "consistent is 1"),
        ({"precision": 16}, "precision is 16"),
    ],
)
def test_a_value_of_another_type_is_an_error_that_names_the_setting(asked, message):
    with pytest.raises(CaflowError) as caught:
        Sampling(**asked).check()
    assert (caught.value.message, caught.value.exit_code) == (message, 2)


def test_numbers_of_numpy_and_pytorch_are_numbers():
    asked = Sampling(tau=torch.tensor([0.5, 1]), candidates=np.int64(3), seed=torch.tensor(4))
    assert asked == Sampling(tau=(0.5, 1), candidates=3, seed=4)
    assert {type(asked.candidates), type(asked.seed)} == {int}


def test_the_keywords_of_restore_are_settings():
    assert SamplingKeywords.__annotations__.keys() < settings(Sampling).keys()


@pytest.mark.parametrize(
    ("size", "asked", "candidates"),
    [
        ((64, 64), {}, 10),
        ((272, 272), {}, 10),
        ((512, 768), {}, 1),
        ((4000, 3000), {}, 1),
        ((512, 768), {"keep": 3}, 3),
        ((512, 768), {"candidates": 7}, 7),
        ((512, 768), {"rank": "consensus"}, 10),
    ],
)
def test_large_results_of_superres_get_as_many_candidates_as_fit(size, asked, candidates):
    config = helpers.task_config("superres")
    assert Sampling(**asked).of(config, size).candidates == candidates
    own = replace(config, task=replace(config.task, candidates=4))
    assert Sampling().of(own, size).candidates == 4
    assert Sampling().of(helpers.task_config("colorize"), size).candidates == 10


@pytest.mark.parametrize(
    ("windows", "asked", "candidates"),
    [
        (1, {}, 30),
        (4, {}, 11),
        (60, {}, 1),
        (60, {"keep": 2}, 2),
        (60, {"candidates": 7}, 7),
        (60, {"rank": "consensus"}, 30),
    ],
)
def test_holes_of_many_windows_get_as_many_candidates_as_fit(windows, asked, candidates):
    config = helpers.task_config("inpaint")
    assert Sampling(**asked).of(config, (128, 128), windows).candidates == candidates
    own = replace(config, task=replace(config.task, candidates=10))  # at most
    assert Sampling().of(own, (128, 128), 1).candidates == 10
    assert Sampling().of(own, (128, 128), 60).candidates == 1


def test_options_that_depend_on_the_task():
    asked, config = Sampling(consistent=True), helpers.task_config("superres")
    assert asked.of(config).consistent
    own = replace(config, task=replace(config.task, consistent=True))
    assert Sampling().of(own).consistent
    assert not Sampling(consistent=False).of(own).consistent
    with pytest.raises(CaflowError, match="only superres can be consistent, not colorize"):
        asked.of(helpers.task_config("colorize"))
    with pytest.raises(CaflowError, match="cannot keep 20 of 10 candidates"):
        Sampling(keep=20).of(config)
    with pytest.raises(CaflowError, match="cannot use 0 noise samples"):
        checked(NoiseSamples, 0, "noise_samples")


CALIBRATION = Calibration(
    tau=(0.9, 0.7, 0.5),
    candidates=40,
    consistent=True,
    precision="bf16",
    level=0.9,
    lambd=1.5,
    images=200,
    width=12.5,
    data="photos, val",
)


def test_a_calibration_determines_what_is_not_given():
    filled = calibrated(Sampling(keep=2, seed=7), CALIBRATION, "mine")
    assert filled.options == "--tau 0.9/0.7/0.5 -m 40 --consistent --precision bf16"
    assert (filled.keep, filled.seed) == (2, 7)
    same = Sampling(tau="0.9/0.7/0.5", candidates=40, consistent=True, precision="bf16")
    assert calibrated(same, CALIBRATION, "mine").options == filled.options

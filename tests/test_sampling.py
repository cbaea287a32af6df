"""How candidates are drawn and chosen: what may be asked, and what stands where nothing is."""

import dataclasses

import pytest

from caflow_cli.config import Config, FlowConfig, TaskConfig
from caflow_cli.errors import CaflowError
from caflow_cli.sampling import RANKS, Sampling, check_noise_samples
from caflow_cli.tasks import TASKS


def config(task="superres", **own):
    flow = FlowConfig(cond_channels=TASKS[task].channels[0])
    return Config(flow, TaskConfig(task, size=32, **own))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"tau": -0.1}, "tau is -0.1"),
        ({"tau": float("inf")}, "tau is inf"),
        ({"tau": float("nan")}, "tau is nan"),
        ({"candidates": 0}, "cannot draw 0 candidates"),
        ({"candidates": 2**32 + 1}, "cannot draw 4294967297 candidates"),
        ({"keep": 0}, "0 pictures to keep"),
        ({"keep": 3, "candidates": 2}, "cannot keep 3 of 2 candidates"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**32 - 3, "candidates": 4}, "seed 4294967293"),
        ({"batch_size": 0}, "batch size 0"),
        ({"noise_samples": 0}, "0 noise samples"),
        ({"rank": "beauty"}, "cannot rank by 'beauty'"),
    ],
)
def test_what_no_model_can_draw_is_refused_before_one_is_loaded(asked, message):
    with pytest.raises(CaflowError) as caught:
        Sampling(**asked).check()
    assert message in caught.value.message
    assert caught.value.hint
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"tau": 0.0},
        {"keep": 5},  # of as many candidates as the task draws
        {"candidates": 1, "seed": 2**32 - 1},
        *({"rank": rank} for rank in RANKS),
    ],
)
def test_what_a_model_can_draw_is_let_through(asked):
    Sampling(**asked).check()


def test_what_is_asked_for_beats_the_models_own_values_and_these_the_tasks():
    own = config(tau=0.3, candidates=4)
    asked = Sampling(tau=0.9, candidates=7).of(own)
    assert (asked.tau, asked.candidates) == (0.9, 7)
    asked = Sampling().of(own)
    assert (asked.tau, asked.candidates) == (0.3, 4)
    assert Sampling(tau=0.0).of(own).tau == 0.0


@pytest.mark.parametrize("task", TASKS)
def test_a_task_knows_how_to_draw(task):
    asked = Sampling(seed=3).of(config(task))
    assert (asked.tau, asked.candidates) == (TASKS[task].tau, TASKS[task].candidates)
    assert asked.seed == 3


def test_values_that_are_filled_in_are_checked_too():
    with pytest.raises(CaflowError, match="cannot keep 3 of 2 candidates"):
        Sampling(keep=3).of(config(candidates=2))


def test_only_superres_can_be_consistent():
    assert Sampling(consistent=True).of(config()).consistent
    with pytest.raises(CaflowError, match="only superres can be consistent, not inpaint") as caught:
        Sampling(consistent=True).of(config("inpaint"))
    assert caught.value.exit_code == 2


def test_a_record_does_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Sampling().tau = 1.0


def test_a_score_needs_noise():
    check_noise_samples(1)
    with pytest.raises(CaflowError, match="0 noise samples"):
        check_noise_samples(0)

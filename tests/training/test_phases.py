"""Phases of a run: their order, rates and parameters, and how a state names them."""

from __future__ import annotations

from dataclasses import replace

import helpers
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.model import CAFlow
from caflow_cli.training.config import OptimConfig, SamplesConfig
from caflow_cli.training.parameters import named_parameters
from caflow_cli.training.phases import Phases, phases_of, wants_perceptual

GUIDED = helpers.small_config(scales=2, guide=4)
PLAIN = helpers.small_config(scales=2)


def phases(config=GUIDED, **optim):
    return Phases(phases_of(OptimConfig(images=100, batch_size=1, **optim), config.flow))


@pytest.fixture(scope="module")
def parameters():
    return named_parameters(CAFlow(GUIDED))


def test_a_guide_that_learns_alone_first_has_a_schedule_of_its_own():
    run = phases(lr=1.0, guide_first=0.5, guide_first_lr=0.1, warmup=10)
    rates, begun = [], []
    for step in range(100):
        if run.current_ends(step / 100):
            run.begin_next(step)
            begun.append(step)
        rates.append(run.rate(step, step / 100, 0))
    assert begun == [50]
    assert rates[:3] == pytest.approx([0.01, 0.02, 0.03], rel=0.05)
    assert max(rates[:50]) < 0.1
    assert rates[49] == pytest.approx(0.001, rel=0.2)
    assert rates[50:53] == pytest.approx([0.1, 0.2, 0.3], rel=0.05)
    assert rates[99] == pytest.approx(0.01, rel=0.2)


def test_the_last_phase_never_ends():
    run = phases(guide_first=0.5)
    run.begin_next(0)
    assert not run.current_ends(1.0)


@pytest.mark.parametrize("config", [PLAIN, GUIDED])
def test_a_new_run_passes_over_a_phase_that_takes_no_time(config):
    run = phases(config)
    assert run.current.whole_model
    assert (run.current.begin, run.current.end) == (0.0, 1.0)
    assert run.record() == {"phase": 1 if config is GUIDED else 0, "phase_began_at": 0}


@pytest.mark.parametrize(("share", "name"), [(0.0, "all else learns"), (0.06, "all learn")])
def test_who_learns_in_each_phase(parameters, share, name):
    alone, together = phases_of(
        OptimConfig(images=1, guide_first=0.5, guide_lr_share=share), GUIDED.flow
    )
    for parameter in parameters:
        of_guide = parameter.startswith("A.guide.")
        assert alone.learns(parameter, parameters[parameter]) == of_guide
        learns = together.learns(parameter, parameters[parameter])
        assert learns == (not of_guide or share > 0), parameter
    assert (alone.name, together.name) == ("the guide alone", name)
    assert (alone.whole_model, together.whole_model) == (False, True)


def test_a_guide_gets_its_share_of_the_rate_and_alone_all_of_it(parameters):
    alone, together = phases_of(
        OptimConfig(images=1, guide_first=0.5, guide_lr_share=0.05), GUIDED.flow
    )
    for name, parameter in parameters.items():
        if name.startswith("A.guide."):
            assert together.share(name, parameter) == 0.05
            assert alone.share(name, parameter) == 1.0


def test_wide_matrices_learn_slower(parameters):
    (narrow,) = phases_of(OptimConfig(images=1, invconv_lr_width=16), PLAIN.flow)
    (whole,) = phases_of(OptimConfig(images=1, invconv_lr_width=0), PLAIN.flow)
    shares = {}
    for name, parameter in parameters.items():
        if not name.startswith("A.guide."):
            wide = name.endswith(".lu") and len(parameter) > 16
            shares[name] = narrow.share(name, parameter)
            assert shares[name] == (16 / len(parameter) if wide else 1)
            assert whole.share(name, parameter) == 1
    assert min(shares.values()) < 0.5


@pytest.mark.parametrize(
    ("number", "first_step", "record"),
    [
        (0, 0, {"guide_alone": True, "guide_steps": 30}),
        (1, 20, {"guide_alone": False, "guide_steps": 20}),
        (0, 0, {"phase": 0, "phase_began_at": 0}),
        (1, 20, {"phase": 1, "phase_began_at": 20}),
    ],
)
def test_a_state_says_in_which_phase_a_run_is(number, first_step, record):
    """In the words of 0.1.0, too."""
    run = phases(guide_first=0.5)
    if number:
        run.begin_next(first_step)
    if "phase" in record:
        assert run.record() == record
    again = phases(guide_first=0.5)
    again.restore({**record, "step": 30})
    assert again.number == number
    assert again.record() == run.record()
    assert again.rate(31, 0.31, 0) == run.rate(31, 0.31, 0)


def test_states_of_before_there_were_guides_are_read():
    run = phases(PLAIN)
    run.restore({"step": 30})
    assert run.record() == {"phase": 0, "phase_began_at": 0}


def test_a_state_of_a_phase_that_there_is_not_is_refused():
    run = Phases(phases_of(OptimConfig(images=1), GUIDED.flow))
    with pytest.raises(CaflowError, match="of phase 3, and this config has 2") as caught:
        run.restore({"phase": 2, "phase_began_at": 4})
    assert caught.value.exit_code == 2


def test_a_phase_goes_on_though_the_config_gives_it_no_time_any_more():
    """So that the next one begins as it should, from what the guide has become."""
    run = phases(guide_first=0.0)
    run.restore({"guide_alone": True, "guide_steps": 8})
    assert not run.current.whole_model
    assert run.current_ends(0.1)


def test_a_guide_that_learns_from_pictures_has_two_phases_of_its_own(parameters):
    def distance(x, w):
        return (x - w).square().mean((1, 2, 3))

    optim = OptimConfig(
        images=1, guide_first=0.5, guide_loss="picture", guide_first_lr=0.1, warmup=1, lr=1.0
    )
    assert wants_perceptual(optim, GUIDED.flow)
    near, alike, together = phases_of(optim, GUIDED.flow, distance)
    assert (near.begin, near.end, alike.begin, alike.end) == (0, 0.2, 0.2, 0.5)
    assert (near.unit, alike.unit, together.unit) == ("L1", "L1 and LPIPS", "bits/dim")
    for phase in (near, alike):
        assert not phase.whole_model
        learns = {n for n, p in parameters.items() if phase.learns(n, p)}
        assert learns == {n for n in parameters if n.startswith("A.guide.")}
    assert alike.rate(200, 0.0, 0) == pytest.approx(near.rate(200, 0.0, 0) / 2)


@pytest.mark.parametrize(
    ("config", "optim"),
    [
        (PLAIN, {"guide_loss": "picture"}),
        (GUIDED, {"guide_loss": "picture", "guide_first": 0}),
        (GUIDED, {"guide_loss": "picture", "guide_perceptual": 0}),
        (GUIDED, {"guide_loss": "likelihood"}),
    ],
)
def test_who_does_not_need_a_perceptual_net(config, optim):
    optim = OptimConfig(images=1, **{"guide_first": 0.5, **optim})
    assert not wants_perceptual(optim, config.flow)
    assert len(phases_of(optim, config.flow)) == (2 if config.flow.guides else 1)


def test_draws_teach_in_the_last_part(parameters):
    def distance(x, w):
        return (x - w).square().mean((1, 2, 3))

    optim = OptimConfig(images=1, guide_first=0.5, warmup=1, lr=1.0)
    samples = SamplesConfig(share=0.2, lr=0.1, weight=3.0)
    assert wants_perceptual(optim, GUIDED.flow, samples)
    assert not wants_perceptual(optim, GUIDED.flow, replace(samples, perceptual=0.0))
    _, together, taught = phases_of(optim, GUIDED.flow, distance, samples)
    assert (together.begin, together.end, taught.begin, taught.end) == (0.5, 0.8, 0.8, 1.0)
    assert together.draws is None
    assert taught.draws is not None
    assert taught.weight == 3.0
    assert taught.whole_model
    for name, parameter in parameters.items():
        assert taught.share(name, parameter) == together.share(name, parameter)
    assert taught.rate(200, 0.0, 0) == pytest.approx(0.1, rel=0.01)


@pytest.mark.parametrize("guide_first", [0.0, 0.5])
def test_a_run_may_be_taught_by_draws_throughout(guide_first):
    """Then the phase between takes no time, and is passed over."""
    optim = OptimConfig(images=1, guide_first=guide_first)
    run = Phases(phases_of(optim, GUIDED.flow, None, SamplesConfig(share=1 - guide_first)))
    while run.current_ends(guide_first):
        run.begin_next(0)
    assert run.current is run[len(run) - 1]
    assert run.number == 2

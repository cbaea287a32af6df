"""Phases of a run: their order, rates and parameters, and how a state names them."""

from dataclasses import replace

import helpers
import pytest

from caflow_cli.model import CAFlow
from caflow_cli.training import OptimConfig, SamplesConfig
from caflow_cli.training.optim import named_parameters
from caflow_cli.training.phases import learning_rate, phases_of
from caflow_cli.training.resolve import build_config

GUIDED = helpers.small_config(scales=2, guide=4, guide_net="unet")
PLAIN = helpers.small_config(scales=2)


@pytest.fixture(scope="module")
def parameters():
    return named_parameters(CAFlow(GUIDED))


def distance(x, w):
    return (x - w).square().mean((1, 2, 3))


def test_a_cosine_warms_up_linearly_and_falls_to_a_hundredth():
    optim = OptimConfig(lr=2.0, warmup=100, images=1)

    def rate(step, progress, optim=optim):
        return learning_rate(optim, step, progress, epoch=3)

    assert rate(0, 0.0) == pytest.approx(0.02)
    assert rate(49, 0.0) == pytest.approx(1.0)
    assert rate(99, 0.0) == pytest.approx(2.0)
    assert rate(10_000, 0.5) == pytest.approx(2 * (0.01 + 0.99 / 2))
    assert rate(10_000, 1.0) == rate(10_000, 1.5) == pytest.approx(0.02)
    slow = replace(optim, warmup=1000)
    # A fifth of a short budget ends the warm-up, though not before 150 steps.
    assert rate(199, 0.1, slow) == pytest.approx(rate(10_000, 0.1) / 2)
    assert rate(199, 0.2, slow) == rate(10_000, 0.2)
    assert rate(29, 0.5, slow) == pytest.approx(rate(10_000, 0.5) / 5)


def test_a_stable_rate_falls_in_the_last_share_of_the_budget_and_does_not_know_its_end_before():
    optim = OptimConfig(lr=2.0, warmup=100, images=1, schedule="stable", decay_share=0.25)

    def rate(step, progress, **changes):
        return learning_rate(replace(optim, **changes), step, progress, epoch=3)

    assert rate(49, 0.0) == pytest.approx(1.0)
    assert rate(99, 0.0) == rate(10_000, 0.5) == rate(10_000, 0.75) == 2.0
    falling = [rate(10_000, 0.75 + 0.25 * t) for t in (0.01, 0.25, 0.64, 0.99)]
    roots = (0.1, 0.5, 0.8, 0.99**0.5)
    assert falling == pytest.approx([2 * (0.01 + 0.99 * (1 - root)) for root in roots])
    assert rate(10_000, 1.0) == rate(10_000, 1.5) == pytest.approx(0.02)
    assert rate(10_000, 1.0, decay_share=0.0) == 2.0
    assert rate(10_000, 0.36, decay_share=1.0) == pytest.approx(2 * (0.01 + 0.99 * 0.4))
    for step in (0, 50, 100, 3000):
        assert len({rate(step, step / budget) for budget in (5000, 7000, 10**6)}) == 1


def test_the_papers_rate_falls_by_a_thousandth_per_epoch_and_once_to_a_tenth():
    optim = build_config({"data": "d", "out": "o"}, preset="ffhq-superres-x4").optim

    def rate(step, epoch):
        return learning_rate(optim, step, 0.5, epoch)

    assert rate(0, 0) == pytest.approx(1e-3 / 500)
    assert rate(499, 0) == rate(2124, 0) == pytest.approx(1e-3)
    assert rate(2125, 1) == pytest.approx(1e-3 * 0.999)
    assert rate(69_999, 32) == pytest.approx(1e-3 * 0.999**32)
    assert rate(70_000, 32) == pytest.approx(1e-4 * 0.999**32)


@pytest.mark.parametrize("schedule", ["cosine", "paper"])
def test_wide_matrices_train_slower_but_in_the_papers_presets(parameters, schedule):
    optim = OptimConfig(images=1, schedule=schedule)
    (flows,) = phases_of(optim, PLAIN.flow, SamplesConfig())
    shares = {}
    for name, parameter in parameters.items():
        if not name.startswith("A.guide."):
            wide = name.endswith(".lu") and len(parameter) > 16 and schedule != "paper"
            shares[name] = flows.share(name, parameter)
            assert shares[name] == (16 / len(parameter) if wide else 1)
    assert (min(shares.values()) < 0.5) == (schedule != "paper")


def test_a_guide_trains_on_l1_and_then_on_lpips_and_is_fixed_afterward(parameters):
    rates = {"guide_first_lr": 0.1, "warmup": 1, "lr": 1.0}
    optim = OptimConfig(images=1, guide_first=0.5, guide_perceptual=2.0, **rates)
    near, alike, flows = phases_of(optim, GUIDED.flow, SamplesConfig(), lambda: distance)
    assert (near.begin, near.end, alike.begin, alike.end) == (0, 0.2, 0.2, 0.5)
    assert (flows.begin, flows.end) == (0.5, 1.0)
    for phase, alone in ((near, True), (alike, True), (flows, False)):
        assert phase.guide_alone is alone
        for name, parameter in parameters.items():
            of_guide = name.startswith("A.guide.")
            assert (phase.share(name, parameter) > 0) == (of_guide == alone), name
    rates = [phase.rate(200, phase.begin, 0) for phase in (near, alike)]
    assert rates == pytest.approx([0.1, 0.05])
    assert near.rate(200, near.end, 0) == pytest.approx(0.001)  # each has a schedule of its own
    assert flows.rate(200, 0.75, 0) == pytest.approx(0.01 + 0.99 / 2)


def test_a_guide_alone_takes_the_whole_budget_at_the_rate_of_the_schedule():
    optim = OptimConfig(images=1, guide_first=1.0, guide_perceptual=0, guide_first_lr=0.1, warmup=1)
    guide, flows = phases_of(optim, GUIDED.flow, SamplesConfig())
    assert (guide.begin, guide.end, flows.begin, flows.end) == (0, 1, 1, 1)
    assert guide.validates
    assert not phases_of(replace(optim, guide_first=0.5), GUIDED.flow, SamplesConfig())[0].validates
    stable = replace(optim, schedule="stable", decay_share=0.0)
    constant, _ = phases_of(stable, GUIDED.flow, SamplesConfig())
    assert {constant.rate(200, spent, 0) for spent in (0.0, 0.5, 0.99)} == {0.1}
    falling, _ = phases_of(replace(stable, decay_share=0.5), GUIDED.flow, SamplesConfig())
    assert falling.rate(200, 0.5, 0) == 0.1 > falling.rate(200, 0.6, 0)


def test_the_last_part_has_a_loss_on_samples(parameters):
    optim = OptimConfig(images=1, guide_first=0.5, guide_perceptual=0, warmup=1, lr=1.0)
    loaded, samples = [], SamplesConfig(share=0.2, lr=0.1, weight=3.0)
    _, flows, last = phases_of(optim, GUIDED.flow, samples, lambda: loaded.append(1) or distance)
    assert loaded == [1]
    assert (flows.begin, flows.end, last.begin, last.end) == (0.5, 0.8, 0.8, 1.0)
    assert flows.samples is None
    assert last.samples is not None
    assert last.weight == 3.0
    for name, parameter in parameters.items():
        assert last.share(name, parameter) == flows.share(name, parameter)
    assert last.rate(200, last.begin, 0) == pytest.approx(0.1)

"""The learning rate over a run."""

from __future__ import annotations

from dataclasses import replace

import pytest

from caflow_cli.training.config import OptimConfig
from caflow_cli.training.schedule import learning_rate
from caflow_cli.training.settings import build_config


def test_the_rate_warms_up_linearly_and_falls_as_a_cosine():
    optim = OptimConfig(lr=2.0, warmup=100, lr_floor=0.1, images=1)

    def rate(step, progress):
        return learning_rate(optim, step, progress, epoch=3)

    assert rate(0, 0.0) == pytest.approx(0.02)
    assert rate(49, 0.0) == pytest.approx(1.0)
    assert rate(99, 0.0) == pytest.approx(2.0)
    assert rate(10_000, 0.5) == pytest.approx(2 * (0.1 + 0.9 / 2))
    assert rate(10_000, 1.0) == rate(10_000, 1.5) == pytest.approx(0.2)

    def slow(step, progress):
        return learning_rate(replace(optim, warmup=1000), step, progress, epoch=0)

    # A fifth of a short budget ends the warm-up, though not before 150 steps.
    assert slow(199, 0.1) == pytest.approx(rate(10_000, 0.1) / 2)
    assert slow(199, 0.2) == rate(10_000, 0.2)
    assert slow(29, 0.5) == pytest.approx(rate(10_000, 0.5) / 5)


def test_a_stable_rate_stays_and_falls_in_the_last_share_of_the_budget():
    optim = OptimConfig(
        lr=2.0, warmup=100, lr_floor=0.1, images=1, schedule="stable", decay_share=0.25
    )

    def rate(step, progress, **changes):
        return learning_rate(replace(optim, **changes), step, progress, epoch=3)

    assert rate(49, 0.0) == pytest.approx(1.0)
    assert rate(99, 0.0) == rate(10_000, 0.5) == rate(10_000, 0.75) == 2.0
    falling = [rate(10_000, 0.75 + 0.25 * t) for t in (0.01, 0.25, 0.64, 0.99)]
    assert falling == pytest.approx(
        [2 * (0.1 + 0.9 * (1 - root)) for root in (0.1, 0.5, 0.8, 0.99**0.5)]
    )
    assert rate(10_000, 1.0) == rate(10_000, 1.5) == pytest.approx(0.2)
    assert rate(10_000, 1.0, decay_share=0.0) == 2.0
    assert rate(10_000, 0.36, decay_share=1.0) == pytest.approx(2 * (0.1 + 0.9 * 0.4))


def test_a_stable_rate_does_not_know_its_end_before_it_decays():
    optim = OptimConfig(images=1, schedule="stable")
    for step in (0, 100, 499, 500, 3000):
        rates = {learning_rate(optim, step, step / budget, 0) for budget in (3750, 5000, 10**6)}
        assert len(rates) == 1


def test_the_warm_up_of_a_stable_rate_counts_steps_alone():
    optim = OptimConfig(images=1, lr=1.0, warmup=500, schedule="stable", decay_share=0.0)
    for step in (0, 20, 149, 499):
        rates = {learning_rate(optim, step, step / budget, 0) for budget in (500, 1000, 10**6)}
        assert rates == {(step + 1) / 500}


def test_the_papers_rate_falls_by_a_thousandth_an_epoch_and_once_to_a_tenth():
    optim = build_config({"data": "d", "out": "o"}, preset="ffhq-superres-x4").optim
    assert (optim.schedule, optim.warmup, optim.clip, optim.ema) == ("paper", 500, 1.0, 0.999)
    assert optim.cond_weight == 0.01

    def rate(step, epoch):
        return learning_rate(optim, step, 0.5, epoch)

    assert rate(0, 0) == pytest.approx(1e-3 / 500)
    assert rate(249, 0) == pytest.approx(0.5e-3)
    assert rate(499, 0) == rate(2124, 0) == pytest.approx(1e-3)
    assert rate(2125, 1) == pytest.approx(1e-3 * 0.999)
    assert rate(69_999, 32) == pytest.approx(1e-3 * 0.999**32)
    assert rate(70_000, 32) == pytest.approx(1e-4 * 0.999**32)
    assert rate(500_000, 235) == pytest.approx(1e-4 * 0.999**235)

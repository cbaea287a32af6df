"""Bad steps, and the way back from them."""

from __future__ import annotations

import math

import pytest
import torch

from caflow_cli.training.guard import Guard
from caflow_cli.training.muon import Muon


def guarded():
    layer = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(layer.parameters())
    return layer, Guard({"layer": layer, "optimizer": optimizer})


@pytest.mark.parametrize(
    ("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (3.0, math.nan), (3.0, math.inf)]
)
def test_non_finite_steps_are_refused_and_counted(loss, norm):
    _, guard = guarded()
    assert guard.accepts(3.0, 1.0)
    assert not guard.accepts(loss, norm)
    assert guard.skipped == 1
    assert guard.accepts(3.0, 1.0)
    assert not guard.wants_rollback()


def test_a_jump_of_the_loss_is_refused_but_a_fall_is_not():
    _, guard = guarded()
    assert guard.accepts(5.0, 1.0)
    assert guard.accepts(3.0, 1.0)
    assert not guard.accepts(8.0, 1.0)


def test_twenty_bad_steps_in_a_row_lead_back_to_the_last_good_state():
    layer, guard = guarded()
    assert guard.accepts(3.0, 1.0)
    good = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight.fill_(math.nan)
    for step in range(20):
        assert not guard.wants_rollback(), step
        assert not guard.accepts(math.nan, 1.0)
    assert guard.wants_rollback()
    assert guard.roll_back()
    assert torch.equal(layer.weight, good)
    assert guard.rollbacks == 1
    assert not guard.wants_rollback()


def test_the_way_back_takes_muons_means_along():
    generator = torch.Generator().manual_seed(0)
    kernel = torch.nn.Parameter(torch.randn(6, 4, 3, 3, generator=generator))
    rule = Muon([{"params": [kernel], "orthogonal": True}], lr=0.1)
    guard = Guard({"rule": rule})
    gradients = [torch.randn(kernel.shape, generator=generator) for _ in range(2)]
    kernel.grad = gradients[0].clone()
    rule.step()
    guard.remember()
    known = rule.state[kernel]["momentum"].clone()
    kernel.grad = gradients[1].clone()
    rule.step()
    assert not torch.equal(rule.state[kernel]["momentum"], known)
    assert guard.roll_back()
    assert torch.equal(rule.state[kernel]["momentum"], known)


def test_without_a_good_state_there_is_no_way_back():
    _, guard = guarded()
    assert not guard.roll_back()


def test_a_written_state_becomes_the_one_to_go_back_to_once_a_good_loss_has_shown_it_sound():
    layer, guard = guarded()

    def weights(value):
        with torch.no_grad():
            layer.weight.fill_(value)

    def go_back():
        for _ in range(20):
            guard.accepts(math.nan, 1.0)
        assert guard.roll_back()
        return float(layer.weight[0, 0].detach())

    weights(1.0)
    assert guard.accepts(3.0, 1.0)
    weights(2.0)
    guard.state_written()
    assert go_back() == 1.0  # 2 never had a good loss
    assert guard.accepts(3.0, 1.0)
    weights(3.0)
    guard.state_written()
    assert guard.accepts(3.0, 1.0)
    weights(4.0)
    assert go_back() == 3.0


def test_a_state_that_does_not_help_is_given_up():
    _, guard = guarded()
    assert guard.accepts(3.0, 1.0)
    for attempt in range(5):
        for _ in range(20):
            guard.accepts(math.nan, 1.0)
        assert guard.roll_back(), attempt
    for _ in range(20):
        guard.accepts(math.nan, 1.0)
    assert not guard.roll_back()


def test_earlier_returns_are_forgotten_after_a_success():
    _, guard = guarded()
    for _ in range(3):
        assert guard.accepts(3.0, 1.0)
        guard.state_written()
        assert guard.accepts(3.0, 1.0)
        for attempt in range(5):
            for _ in range(20):
                guard.accepts(math.nan, 1.0)
            assert guard.roll_back(), attempt
    assert guard.rollbacks == 15


def test_the_copy_is_of_weights_that_showed_a_good_loss():
    layer, guard = guarded()
    good = layer.weight.detach().clone()
    assert guard.accepts(3.0, 1.0)
    with torch.no_grad():  # the step that was accepted destroys the weights
        layer.weight.fill_(1e30)
    for _ in range(20):
        guard.accepts(math.inf, 1.0)
    assert guard.roll_back()
    assert torch.equal(layer.weight, good)


def test_losses_of_another_kind_are_measured_anew():
    _, guard = guarded()
    for _ in range(30):
        assert guard.accepts(1.0, 1.0)
    assert not guard.accepts(3.0, 1.0)
    guard.forget()
    assert not guard.roll_back()  # to weights that were good at something else
    assert guard.accepts(3.0, 1.0)
    assert guard.mean == 3.0

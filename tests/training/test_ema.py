"""The average of the weights."""

from __future__ import annotations

import torch
from helpers import small_config

from caflow_cli.model import CAFlow
from caflow_cli.training.ema import EMA


def test_the_average_is_the_recursion_it_claims_to_be():
    model = CAFlow(small_config(scales=1))
    ema = EMA(model, 0.999)
    parameter = next(model.parameters())
    average = next(ema.model.parameters())
    expected = None
    for update in range(5):
        with torch.no_grad():
            parameter.add_(update + 1.0)
        ema.update()
        rate = min(0.999, (1 + update) / (10 + update)) if update else 0.0
        current = parameter.detach().clone()
        expected = current if expected is None else rate * expected + (1 - rate) * current
        torch.testing.assert_close(average, expected)
    assert not ema.model.training
    assert not any(p.requires_grad for p in ema.model.parameters())


def test_the_average_follows_actnorms_flag():
    model = CAFlow(small_config(scales=1)).train()
    ema = EMA(model, 0.9)
    flags = [b for name, b in ema.model.named_buffers() if name.endswith("initialized")]
    assert not any(flags)
    x = torch.rand(4, 3, 8, 8) * 255
    model(x, x)
    ema.update()
    assert all(b for name, b in ema.model.named_buffers() if name.endswith("initialized"))

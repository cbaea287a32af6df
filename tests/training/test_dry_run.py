"""The estimate of what a run takes."""

from __future__ import annotations

from dataclasses import replace

import pytest
from workers import tiny

from caflow_cli.model import CAFlow
from caflow_cli.training.dry_run import estimate
from caflow_cli.training.optimise import Optimiser
from caflow_cli.training.settings import apply_settings


def test_an_estimate_times_the_guide_alone_and_all_together(pictures, tmp_path, monkeypatch):
    """By a clock that only steps move: the guide's by one second, the whole model's by ten."""
    clock = [0.0]
    step = Optimiser.step

    def timed(self, batch, lr):
        clock[0] += 10 if self.phases.current.whole_model else 1
        return step(self, batch, lr)

    monkeypatch.setattr(Optimiser, "step", timed)
    monkeypatch.setattr("caflow_cli.training.dry_run.time.perf_counter", lambda: clock[0])
    settings = ["flow.guide=8", "optim.guide_first=0.5"]
    run = apply_settings(tiny(pictures, tmp_path / "x"), settings)
    found = estimate(run)
    assert (found.steps, found.images) == (20, 160)
    assert found.minutes * 60 == pytest.approx(10 * 1 + 10 * 10)
    assert found.images_per_second == pytest.approx(8 / 10)
    assert found.pictures == {"train": 24, "val": 8, "test": 1}
    model = CAFlow(replace(CAFlow().config, flow=run.flow))
    assert list(found.parameters) == ["A", "R", "T", "F", "Q", "total"]
    assert found.parameters["total"] == sum(p.numel() for p in model.parameters())
    assert found.parameters["total"] == sum(list(found.parameters.values())[:-1])
    assert found.parameters["A"] > 0 == found.parameters["Q"]
    found = estimate(replace(run, optim=replace(run.optim, images=None, minutes=10.0)))
    assert found.steps == 300 + 30
    assert not (tmp_path / "x").exists()

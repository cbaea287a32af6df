"""Trackers, by the real packages where they are installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.training import OptimConfig, RunConfig
from caflow_cli.training.tracker import Tracker, check_tracker


def config(out: Path, tracker: str | None) -> RunConfig:
    return RunConfig("photos", str(out), OptimConfig(images=8), tracker=tracker)


class Fake:
    """Accelerate's object, with one tracker that keeps, or refuses, what it is told."""

    is_main_process = True

    def __init__(self, name: str, fails: bool = False) -> None:
        self.name, self.fails, self.told, self.began = name, fails, [], None
        self.trackers = [self]

    def init_trackers(self, *how):
        print("trackers print to stdout")
        if self.fails:
            raise RuntimeError("no\nAPI key")
        self.began = how

    def log(self, values, step):
        if self.fails:
            raise RuntimeError("gone")
        self.told.append((step, values))

    def log_images(self, values, step, **_):
        self.told.append((step, {name: np.asarray(v).shape for name, v in values.items()}))

    def finish(self):
        self.told.append("end")


def test_numbers_and_grids_go_to_the_tracker(tmp_path, capsys):
    fake, notes = Fake("wandb"), []
    tracker = Tracker(config(tmp_path / "run", "wandb"), fake, notes.append)
    tracker.begin()
    tracker.figures({"event": "step", "step": 3, "loss": 1.5, "text": "x"}, 3)
    tracker.grid(np.zeros((4, 6, 3), np.uint8), 3)
    tracker.end()
    assert fake.told == [(3, {"loss": 1.5}), (3, {"samples": (1, 4, 6, 3)}), "end"]
    project, values, options = fake.began
    assert (project, options["wandb"]["name"]) == ("caflow", "run")
    assert values["optim.lr"] == 8e-3
    assert str(tmp_path) not in str(values)  # no path of this machine
    assert capsys.readouterr().out == ""
    again = Fake("wandb")
    Tracker(config(tmp_path / "run", "wandb"), again, notes.append).begin()
    assert again.began[2]["wandb"]["id"] == options["wandb"]["id"]  # of a run that goes on


def test_a_run_without_a_tracker_tells_nobody(tmp_path):
    fake = Fake("wandb")
    tracker = Tracker(config(tmp_path, None), fake, print)
    tracker.begin()
    tracker.figures({"loss": 1.0}, 1)
    tracker.end()
    assert (fake.began, fake.told) == (None, [])


def test_a_tracker_that_does_not_start_is_one_error(tmp_path):
    with pytest.raises(CaflowError) as caught:
        Tracker(config(tmp_path, "wandb"), Fake("wandb", fails=True), print).begin()
    assert caught.value.message == "tracker wandb does not start: no API key"
    assert "WANDB_MODE=offline" in caught.value.hint
    assert caught.value.exit_code == 2


def test_a_tracker_that_fails_later_does_not_end_the_run(tmp_path):
    fake, notes = Fake("wandb"), []
    tracker = Tracker(config(tmp_path, "wandb"), fake, notes.append)
    tracker.begin()
    fake.fails = True
    tracker.figures({"loss": 1.0}, 1)
    tracker.figures({"loss": 1.0}, 2)
    assert notes == ["tracker wandb fails, and is left out: gone"]


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr("caflow_cli.training.tracker.find_spec", lambda name: None)
    with pytest.raises(CaflowError) as caught:
        check_tracker("trackio")
    assert caught.value.hint == "pip install trackio, or leave tracker out"
    check_tracker(None)


@pytest.mark.parametrize("name", ["tensorboard", "trackio", "wandb"])
def test_the_package_itself(tmp_path, monkeypatch, name):
    pytest.importorskip(name)
    accelerate = pytest.importorskip("accelerate")
    monkeypatch.setenv("WANDB_MODE", "offline")
    if name == "trackio":
        monkeypatch.setattr("trackio.utils.TRACKIO_DIR", tmp_path / "trackio", raising=False)
    accelerator = accelerate.Accelerator(cpu=True, log_with=name, project_dir=str(tmp_path))
    notes: list[str] = []
    tracker = Tracker(config(tmp_path, name), accelerator, notes.append)
    tracker.begin()
    tracker.figures({"loss": 1.0}, 1)
    tracker.grid(np.zeros((8, 8, 3), np.uint8), 1)
    tracker.end()
    assert notes == []

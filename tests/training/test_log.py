"""What a run reports: progress, its curve, and trackers."""

import io
import json

import pytest
from PIL import Image

from caflow_cli.errors import CaflowError
from caflow_cli.training import OptimConfig, RunConfig
from caflow_cli.training.log import EventLog, Progress, draw_curve


def test_the_curve_is_an_image_whatever_there_is_to_draw():
    step = {"event": "step", "images": 10, "running_bits_per_dim": None}
    known = {"val_bits_per_dim": 3.6, "train_bits_per_dim": 3.4}
    events = [step, {**step, "running_bits_per_dim": 4.0}, {"event": "validation", "images": 20}]
    for some in ([], events[:1], [*events[:2], {**events[2], **known}]):
        assert Image.open(io.BytesIO(draw_curve(some))).size == (960, 540)


class Fake:
    """Accelerate's object, with one tracker that keeps, or refuses, what it gets."""

    is_main_process, num_processes = True, 1

    def __init__(self, fails: bool = False) -> None:
        self.fails, self.got, self.trackers = fails, [], []

    def init_trackers(self, *how):
        print("trackers print to stdout")
        if self.fails:
            raise RuntimeError("no\nAPI key")
        self.began, self.trackers = how, [self]

    def log(self, values, step):
        if self.fails:
            raise RuntimeError("gone")
        self.got.append((step, values))

    def finish(self):
        self.got.append("end")


def started(out, fake, tracker="wandb") -> EventLog:
    out.mkdir(exist_ok=True)
    config = RunConfig("photos", str(out), OptimConfig(images=8), tracker=tracker)
    log = EventLog(config, fake, Progress(step=3))
    log.start_tracker()
    return log


def test_numbers_go_to_the_tracker(tmp_path, capsys):
    fake, again = Fake(), Fake()
    log = started(tmp_path / "run", fake)
    log.write("step", loss=1.5, unit="x")
    log.end_tracker()
    numbers = {"images": 96, "loss": 1.5, "elapsed_s": 0.0}
    assert fake.got == [(3, numbers), "end"]
    project, values, options = fake.began
    assert (project, options["wandb"]["name"]) == ("caflow", "run")
    assert values["optim"]["lr"] == 8e-3
    assert str(tmp_path) not in str(values)  # no path of this machine
    assert capsys.readouterr().out == ""
    started(tmp_path / "run", again)
    assert again.began[2]["wandb"]["id"] == options["wandb"]["id"]  # of a run that goes on


def test_a_tracker_that_fails_does_not_end_the_run_and_one_that_does_not_start_is_refused(tmp_path):
    fake = Fake()
    log = started(tmp_path, fake)
    fake.fails = True
    for loss in (1.0, 2.0):
        log.write("step", loss=loss)
    lines = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert [line.get("text", line.get("loss")) for line in lines] == [
        *(1.0, "tracker wandb failed and is disabled: gone", 2.0)
    ]
    with pytest.raises(CaflowError, match="tracker wandb failed to start: no API key") as caught:
        started(tmp_path, Fake(fails=True))
    assert caught.value.exit_code == 2
    silent = Fake()
    started(tmp_path, silent, None).write("step", loss=1.0)
    assert silent.got == []

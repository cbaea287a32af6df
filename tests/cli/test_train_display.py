"""A run as a person sees it, where stderr is no terminal."""

from __future__ import annotations

import pytest

from caflow_cli.cli.console import Console
from caflow_cli.cli.train_display import Display


@pytest.fixture
def display():
    console = Console()
    with console.progress("{task.fields[figures]}") as progress:
        yield Display(console, progress)


def step(number: int, progress: float, bits: float | None = 3.5) -> dict:
    return {
        "event": "step",
        "step": number,
        "progress": progress,
        "images_per_second": 12.25,
        "running_bits_per_dim": bits,
    }


def test_steps_are_lines_with_a_pause_between_and_say_what_is_left(display, monkeypatch, capsys):
    for now, event in ((100, step(10, 0.1)), (110, step(20, 0.2)), (160, step(30, 0.4, None))):
        monkeypatch.setattr("time.monotonic", lambda now=now: now)
        display(event)
    assert capsys.readouterr().err.splitlines() == [
        "step 10  10.0%  12.2 images/s  3.5000 bits/dim",
        "step 30  40.0%  12.2 images/s  - bits/dim  2 min left",
    ]


def test_other_events_are_a_line_each_and_unknown_ones_none(display, capsys):
    data = {"event": "data", "skipped": 2, "skipped_names": ["a.png"], "train": 9, "val": 1}
    display(data)
    display(
        {"event": "validation", "step": 5, "val_bits_per_dim": None, "train_bits_per_dim": 3.25}
    )
    display({"event": "rollback", "step": 6, "lr_scale": 0.5})
    display({"event": "note", "text": "so it is"})
    display({"event": "nothing known"})
    assert capsys.readouterr().err.splitlines() == [
        "skipped damaged images (2): a.png, ...",
        "9 training images, 1 validation images",
        "few validation images, whose figures vary by chance: put at least 20 into a folder val/",
        "step 5  validation - bits/dim  training images 3.2500",
        "step 6: unstable; back to the last good state with 0.5 times the learning rate",
        "so it is",
    ]

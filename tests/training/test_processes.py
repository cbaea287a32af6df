"""Runs of several processes, and of processes that are stopped."""

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from workers import run, tiny

from caflow_cli.training.loop import noted_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no forks and no POSIX signals")


def figures(outcome, name="loss"):
    """A figure of every step."""
    return [step[name] for step in outcome["steps"]]


def states(out: Path) -> list[str]:
    return [p.name for p in sorted((out / "state").iterdir())]


def same_state(a: Path, b: Path, name: str = "step-00000010", atol: float = 0.0) -> None:
    for file in ("model", "ema", "optimizer"):
        x, y = (load_file(path / "state" / name / f"{file}.safetensors") for path in (a, b))
        assert x.keys() == y.keys()
        for key in x:
            torch.testing.assert_close(x[key], y[key], rtol=0, atol=atol, msg=f"{file}: {key}")


def test_the_first_signal_is_noted_and_a_second_ctrl_c_interrupts():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with noted_signals() as flags:
        assert flags() == [0, 0]
        os.kill(os.getpid(), signal.SIGTERM)
        assert flags() == [0, 1]
        os.kill(os.getpid(), signal.SIGINT)  # the user's signal comes first
        assert flags() == [1, 0]
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert before == (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))


def test_two_ranks_do_what_one_does_and_stop_and_go_on_together(photos, tmp_path):
    """In all phases: a guide alone, of parts of a batch; likelihood; samples."""
    flow = {**tiny(photos, tmp_path)["flow"], "guide": 4, "guide_net": "unet"}
    optim = {"guide_first": 0.2, "guide_first_lr": 1e-3, "guide_perceptual": 0.0, "accumulate": 2}
    samples = {"share": 0.4, "perceptual": 0.0, "tau": 0.7}
    one, two = (
        tiny(photos, tmp_path / ranks, flow=flow, optim=optim, samples=samples)
        for ranks in ("one", "two")
    )
    (alone,) = run(one, double=True)
    assert alone["error"] is None
    # Rank 1 alone is told to stop; both do, after the same step, and rank 0 writes the state.
    first = run(two, 2, signals={1: (6, signal.SIGTERM)}, double=True)
    assert [o["code"] for o in first] == [143, 143], first
    assert states(tmp_path / "two") == ["step-00000005", "step-00000007"]
    second = run(two, 2, resume=True, double=True)
    assert [o["error"] for o in second] == [None, None]
    for name in ("loss", "image", "cond_bits_per_dim"):
        found = figures(first[0], name) + figures(second[0], name)
        assert found == pytest.approx(figures(alone, name), abs=1e-9)
    assert figures(alone, "image")[-1] > 0
    for name in ("val_bits_per_dim", "train_bits_per_dim", "val_image_loss"):
        seen = [e.get(name) for e in alone["events"] if e["event"] == "validation"]
        events = [*first[0]["events"], *second[0]["events"]]
        assert seen[-1] > 0
        assert [e.get(name) for e in events if e["event"] == "validation"] == [
            value and pytest.approx(value, abs=1e-9) for value in seen
        ]
    # What is written is the same: above all, actnorms come from the moments of the whole batch.
    same_state(tmp_path / "one", tmp_path / "two", atol=1e-9)
    written = load_file(tmp_path / "two" / "best.safetensors")
    assert all(written[key] for key in written if key.endswith(".initialized"))
    for a, b in zip(*(o["weights"] for o in second), strict=True):
        np.testing.assert_array_equal(a, b)
    assert first[0]["written"]
    assert first[1]["written"] == second[1]["written"] == second[1]["events"] == []
    # What stops rank 0 stops them all.
    assert ["already holds a run" in o["again"] for o in second] == [True, True]


@pytest.fixture(scope="module")
def straight(photos, tmp_path_factory):
    """Ten steps in one process."""
    out = tmp_path_factory.mktemp("straight") / "run"
    (outcome,) = run(tiny(photos, out))
    assert outcome["error"] is None
    assert len(figures(outcome)) == 10
    return out, outcome


def test_a_run_that_is_killed_stopped_and_out_of_space_ends_with_the_same_bits(
    photos, straight, tmp_path
):
    out = tmp_path / "run"
    values = tiny(photos, out)
    for step in (3, 7):  # before and after the first state
        assert not (out / "state").exists()
        (outcome,) = run(values, signals={0: (step, signal.SIGKILL)})
        assert outcome["exit"] == -signal.SIGKILL
    assert states(out) == ["step-00000005"]
    (outcome,) = run(values, resume=True, signals={0: (1, signal.SIGINT)})
    assert outcome["code"] == 130
    assert figures(outcome) == figures(straight[1])[5:7]
    assert "interrupted after step 7" in outcome["error"]
    assert outcome["hint"] == f"caflow train --out {out} --resume"
    assert states(out) == ["step-00000005", "step-00000007"]
    run(values, resume=True, signals={0: (1, signal.SIGTERM)})
    assert states(out) == ["step-00000007", "step-00000009"]
    size = (out / "state" / "step-00000009" / "model.safetensors").stat().st_size
    late = tiny(photos, out, validate_every=100)
    (outcome,) = run(late, resume=True, file_limit=size // 2)
    assert "cannot write the state of step 10" in outcome["error"]
    assert "File too large" in outcome["error"]
    assert f"--out {out} --resume" in outcome["hint"]
    assert states(out) == ["step-00000007", "step-00000009"]
    assert not list(out.rglob("*.tmp"))
    (outcome,) = run(values, resume=True)
    assert outcome["error"] is None
    assert states(out) == ["step-00000009", "step-00000010"]
    same_state(straight[0], out)
    lines = (out / "metrics.jsonl").read_text().splitlines()
    assert sum('"event": "step"' in line for line in lines) == 1

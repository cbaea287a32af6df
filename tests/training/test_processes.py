"""Runs of several processes, and of processes that are stopped."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from workers import run, tiny

from caflow_cli.training.processes import Stopped, noted_signals

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no forks and no POSIX signals")


def losses(outcome, figure="loss"):
    """A figure of every step."""
    return [step[figure] for step in outcome["steps"]]


def validations(outcome, figure):
    return [e[figure] for e in outcome["events"] if e["event"] == "validation" and figure in e]


def states(out: Path) -> list[str]:
    return [p.name for p in sorted((out / "state").iterdir())]


def same_state(a: Path, b: Path) -> None:
    for file in ("model", "ema", "optimizer"):
        x, y = (load_file(path / f"{file}.safetensors") for path in (a, b))
        assert x.keys() == y.keys()
        assert all(torch.equal(x[key], y[key]) for key in x), file


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
    assert [
        Stopped.by([float(a), float(b)], 7, "run").exit_code for a, b in ((2, 0), (0, 1), (1, 2))
    ] == [130, 143, 130]
    assert Stopped.by([0.0, 0.0], 7, "run") is None


@pytest.fixture(scope="module")
def straight(photos, tmp_path_factory):
    """Ten steps in one process."""
    out = tmp_path_factory.mktemp("straight") / "run"
    (outcome,) = run(tiny(photos, out))
    assert outcome["error"] is None
    assert len(losses(outcome)) == 10
    return out, outcome


@pytest.fixture(scope="module")
def double(photos, tmp_path_factory):
    """The same in float64."""
    (outcome,) = run(tiny(photos, tmp_path_factory.mktemp("double") / "run"), double=True)
    assert outcome["error"] is None
    return outcome


def test_two_ranks_do_what_one_does_and_stop_and_go_on_together(photos, double, tmp_path):
    out = tmp_path / "two"
    values = tiny(photos, out)
    # Rank 1 alone is told to stop; both do, after the same step, and rank 0 writes the state.
    first = run(values, 2, signals={1: (6, signal.SIGTERM)}, double=True)
    assert [o["code"] for o in first] == [143, 143], first
    assert states(out) == ["step-00000005", "step-00000007"]
    second = run(values, 2, resume=True, double=True)
    assert [o["error"] for o in second] == [None, None]
    assert losses(first[0]) + losses(second[0]) == pytest.approx(losses(double), abs=1e-9)
    # Actnorms come from the moments of both halves of the batch.
    for a, b, c in zip(*(o["weights"] for o in (*second, double)), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_allclose(a, c, atol=1e-9)
    for figure in ("val_bits_per_dim", "train_bits_per_dim"):
        two = validations(first[0], figure) + validations(second[0], figure)
        assert two == pytest.approx(validations(double, figure), abs=1e-9)
    assert first[0]["written"]
    assert first[1]["written"] == second[1]["written"] == second[1]["events"] == []
    # What stops rank 0 stops them all.
    refused = run(values, 2)
    assert ["holds a run already" in o["error"] for o in refused] == [True, True]


def test_two_ranks_train_a_guide_as_one_does(photos, tmp_path):
    flow = {**tiny(photos, tmp_path)["flow"], "guide": 4}
    optim = {
        "guide_first": 0.5,
        "guide_first_lr": 1e-3,
        "accumulate": 2,
        "images": 48,
        "guide_perceptual": 0.0,
    }
    (one,) = run(tiny(photos, tmp_path / "one", flow=flow, optim=optim), double=True)
    two = run(tiny(photos, tmp_path / "two", flow=flow, optim=optim), 2, double=True)
    assert [o["error"] for o in (one, *two)] == [None] * 3
    assert len(losses(one)) == 6
    assert losses(two[0]) == pytest.approx(losses(one), abs=1e-9)
    # What is written is the same: above all, its actnorms are marked as initialised.
    steps = ["state/step-00000006/model", "state/step-00000006/ema", "last", "best"]
    for name in steps:
        a, b = (load_file(tmp_path / ranks / f"{name}.safetensors") for ranks in ("one", "two"))
        assert a.keys() == b.keys()
        for key in a:
            torch.testing.assert_close(b[key], a[key], rtol=0, atol=1e-9, msg=f"{name}: {key}")
        assert all(b[key] for key in b if key.endswith(".initialized")), name


def test_two_ranks_learn_from_samples_as_one_does(photos, tmp_path):
    values = {"samples": {"share": 0.6, "perceptual": 0.0, "tau": 0.7}, "optim": {"images": 80}}
    (one,) = run(tiny(photos, tmp_path / "one", **values), double=True)
    two = run(tiny(photos, tmp_path / "two", **values), 2, double=True)
    assert [o["error"] for o in (one, *two)] == [None] * 3
    assert losses(two[0]) == pytest.approx(losses(one), abs=1e-9)
    assert losses(two[0], "image") == pytest.approx(losses(one, "image"), abs=1e-9)
    assert losses(one, "image")[-1] > 0
    a, b = (validations(o, "val_picture_loss") for o in (one, two[0]))
    assert a
    assert b == pytest.approx(a, abs=1e-9)


def test_a_killed_run_goes_on_bit_for_bit(photos, straight, tmp_path):
    out, alone = straight
    killed = tmp_path / "killed"
    (outcome,) = run(tiny(photos, killed), signals={0: (7, signal.SIGKILL)})
    assert outcome["exit"] == -signal.SIGKILL
    assert states(killed) == ["step-00000005"]
    (outcome,) = run(tiny(photos, killed), resume=True)
    assert losses(outcome) == losses(alone)[5:]
    same_state(out / "state" / "step-00000010", killed / "state" / "step-00000010")
    lines = (killed / "metrics.jsonl").read_text().splitlines()
    assert sum('"event": "step"' in line for line in lines) == 1


def test_ctrl_c_between_states_writes_one_and_goes_on_bit_for_bit(photos, straight, tmp_path):
    out, _ = straight
    stopped = tmp_path / "stopped"
    (outcome,) = run(tiny(photos, stopped), signals={0: (6, signal.SIGINT)})
    assert outcome["code"] == 130
    assert "interrupted after step 7" in outcome["error"]
    assert outcome["hint"] == f"caflow train --out {stopped} --resume"
    assert states(stopped) == ["step-00000005", "step-00000007"]
    # Stopped again: of the two, one stays that no interrupt has made.
    (outcome,) = run(tiny(photos, stopped), resume=True, signals={0: (1, signal.SIGTERM)})
    assert states(stopped) == ["step-00000005", "step-00000009"]
    run(tiny(photos, stopped), resume=True)
    assert states(stopped) == ["step-00000005", "step-00000010"]
    same_state(out / "state" / "step-00000010", stopped / "state" / "step-00000010")


def test_a_full_disk_leaves_the_last_state_whole(photos, straight, tmp_path):
    out = tmp_path / "full"
    (outcome,) = run(tiny(photos, out), signals={0: (6, signal.SIGINT)})
    before = states(out)
    size = (out / "state" / before[0] / "model.safetensors").stat().st_size
    late = tiny(photos, out, validate_every=100)
    (outcome,) = run(late, resume=True, file_limit=size // 2)
    assert "cannot write the state of step 10" in outcome["error"]
    assert "File too large" in outcome["error"]
    assert f"--out {out} --resume" in outcome["hint"]
    assert states(out) == before
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]
    (outcome,) = run(tiny(photos, out), resume=True)
    assert outcome["error"] is None
    same_state(straight[0] / "state" / "step-00000010", out / "state" / "step-00000010")


def test_a_run_killed_before_its_first_state_starts_again(photos, straight, tmp_path):
    out = tmp_path / "early"
    values = tiny(photos, out, validate_every=2)
    (outcome,) = run(values, signals={0: (3, signal.SIGKILL)})
    assert outcome["exit"] == -signal.SIGKILL
    assert (out / "best.safetensors").exists()
    assert not (out / "state").exists()
    (outcome,) = run(values)
    assert "holds a run already" in outcome["error"]
    assert outcome["hint"].startswith("add --resume")
    (outcome,) = run(values, resume=True)
    assert outcome["error"] is None
    (note,) = [e["text"] for e in outcome["events"] if e["event"] == "note"]
    assert note == "killed before its first state: this run starts again"
    same_state(straight[0] / "state" / "step-00000010", out / "state" / "step-00000010")

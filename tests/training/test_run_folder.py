"""The folder of a run: its lock, and the leftovers of a killed run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.training.run_folder import RunFolder


def test_a_lock_is_not_taken_from_who_gets_it_next(tmp_path, monkeypatch):
    first, second, third = (RunFolder(tmp_path / "run") for _ in range(3))
    first.open(resume=False)
    release = first._lock.release

    def release_and_lose_the_race() -> None:
        release()
        second.open(resume=False)

    monkeypatch.setattr(first._lock, "release", release_and_lose_the_race)
    first.close()  # it never began: what it made goes
    with pytest.raises(CaflowError, match="another process is training"):
        third.open(resume=False)
    second.close()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_another_process_made_meanwhile_is_not_overwritten(tmp_path, monkeypatch):
    folder = RunFolder(tmp_path / "run")
    acquire = folder._lock.acquire

    def acquire_late(**options: float) -> None:
        (tmp_path / "run" / "metrics.jsonl").touch()
        (tmp_path / "run" / "best.safetensors").touch()
        acquire(**options)

    monkeypatch.setattr(folder._lock, "acquire", acquire_late)
    with pytest.raises(CaflowError, match="holds a run already"):
        folder.open(resume=False)
    assert not folder._lock.is_locked


def test_leftovers_of_a_killed_run_go(tmp_path):
    left = [
        ".caflow-0123456789ab.tmp",
        "samples/.caflow-0123456789ab.tmp",
        ".best.safetensors.17.tmp",
        "cache/.train-0.u8.17.tmp",
        "state/.step-00000010.17.tmp/model.safetensors",
    ]
    kept = ["best.safetensors", "state/step-00000010/model.safetensors", ".mine"]
    for name in left + kept:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    folder = RunFolder(tmp_path)
    folder.open(resume=True)
    folder.close()
    found = {str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*") if p.is_file()}
    assert found == set(kept)


@pytest.mark.parametrize(
    ("steps", "state", "again"),
    [
        ([], False, True),  # killed as it began
        ([0, 10, 100], False, True),
        ([0, 110], False, False),  # a state was written, and is gone
        ([0, 100], True, False),
        ([0, "end"], False, False),
    ],
)
def test_what_was_killed_before_its_first_state_starts_again(tmp_path, steps, state, again):
    events = [
        {"event": "end", "step": 50} if step == "end" else {"event": "step", "step": step}
        for step in steps
    ]
    text = "".join(json.dumps(event) + "\n" for event in events)
    Path(tmp_path, "metrics.jsonl").write_text(text, encoding="utf-8")
    if state:
        (tmp_path / "state" / "step-00000100").mkdir(parents=True)
    assert RunFolder(tmp_path).starts_again(100) is again


def test_what_was_killed_before_its_first_state_can_be_started_again(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"event": "data", "step": 0}\n')
    folder = RunFolder(tmp_path)
    folder.open(resume=False)
    folder.close()
    (tmp_path / "state" / "step-00000100").mkdir(parents=True)
    with pytest.raises(CaflowError, match="holds a run already"):
        folder.open(resume=False)

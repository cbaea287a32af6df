"""A share of the faults: the same few kills at every run, and few processes at once."""

from __future__ import annotations

import pytest

from . import concurrency, kill_at_writes
from .report import Report

pytestmark = pytest.mark.skipif("sys.platform != 'linux'", reason="signals, limits and mounts")


def test_a_killed_training_goes_on_bit_for_bit(tmp_path):
    report = Report("")
    # Between the first model and the first state, and within the last state.
    kill_at_writes.train(report, 2, 30, tmp_path)
    assert report.violations == []
    assert report.counts["train: killed"] == 2


def test_a_killed_command_leaves_whole_pictures_and_can_be_run_again(tmp_path):
    report = Report("")
    kill_at_writes.superres(report, 3, 3, tmp_path)
    assert report.violations == []
    assert report.counts["superres: killed"] == 3


def test_a_killed_packing_leaves_whole_files_and_can_be_run_again(tmp_path):
    report = Report("")
    kill_at_writes.pack(report, 100, 0, tmp_path)
    assert report.violations == []
    assert report.counts["pack: killed"] == report.counts["pack: changes to files"] > 3


def test_many_pulls_at_once_download_once(tmp_path):
    report = Report("")
    concurrency.pull(report, 3, tmp_path / "pull", size=1_000_000)
    assert report.violations == []

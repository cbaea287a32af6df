"""The benchmark that is for GPUs runs, small, on a CPU."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "restore.py"


def test_it_measures_candidates_and_training(tmp_path):
    figures = tmp_path / "figures.json"
    command = [sys.executable, SCRIPT, "--preset", "tiny", "--candidates", "2", "--rounds", "1"]
    command += ["--train", "--json", figures]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "candidates/s" in done.stdout
    assert "images/s" in done.stdout
    ways = json.loads(figures.read_text(encoding="utf-8"))
    assert [one["way"] for one in ways] == ["plain", "batched", "folded"]
    for one in ways:
        assert one["candidates_per_second"] > 0
        assert 0 < one["share_of_ceiling"] < 2
        assert one["peak_gb"] > 0.1


def test_a_point_of_the_sweep_is_drawn_in_the_tiles_asked_for():
    def point(**own):
        command = [sys.executable, SCRIPT, "--preset", "tiny", "--child", json.dumps(own)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    whole, tiled = point(side=1088), point(side=1088, tile=512)
    for one in (whole, tiled):
        assert one["per_megapixel"] == pytest.approx(one["seconds"] / 1.183744)
        assert 0.1 < one["start_gb"] < one["peak_gb"]
    assert tiled["peak_gb"] < whole["peak_gb"]

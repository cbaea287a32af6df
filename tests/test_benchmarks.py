"""The benchmark that is for GPUs runs, small, on a CPU."""

import json
from pathlib import Path

import forked
import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "restore.py"
RUN = "import runpy, sys; sys.argv[:1] = []; runpy.run_path(sys.argv[0], run_name='__main__')"


def benchmark(*arguments, cwd):
    """What it prints, of the smallest model."""
    done = forked.run(RUN, SCRIPT, "--preset", "tiny", *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout.decode()


def test_it_measures_candidates_and_training(tmp_path):
    figures = tmp_path / "figures.json"
    once = ["--candidates", 2, "--rounds", 1, "--train", "--json", figures]
    said = benchmark(*once, cwd=tmp_path)
    assert "candidates/s" in said
    assert "images/s" in said
    ways = json.loads(figures.read_text(encoding="utf-8"))
    assert [one["way"] for one in ways] == ["plain", "batched", "folded"]
    for one in ways:
        assert one["candidates_per_second"] > 0
        assert 0 < one["share_of_ceiling"] < 2
        assert one["peak_gb"] > 0.1


def test_a_point_of_the_sweep_is_measured(tmp_path):
    own = json.dumps({"side": 256, "M": 2})
    one = json.loads(benchmark("--child", own, cwd=tmp_path))
    assert one["per_megapixel"] == pytest.approx(one["seconds"] / (2 * 0.256**2))
    assert 0.1 < one["start_gb"] <= one["peak_gb"]


def test_draws_in_two_precisions_are_compared(model_files, true_pictures, tmp_path):
    script = Path(__file__).parent / "benchmarks" / "precision.py"
    options = ["--data", true_pictures, "--model", model_files["colorize"], "--metrics", "rmse"]
    anywhere = "from caflow_cli import devices; devices.LACKING['fast bf16'] = set()\n"
    done = forked.run(
        anywhere + RUN, script, *options, "--pictures", 2, "--rounds", 1, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["pictures"] == 2
    assert 0 < figures["values_apart"] < 1
    assert figures["rmse"]["difference"] == pytest.approx(
        figures["rmse"]["bf16"] - figures["rmse"]["float32"], abs=1e-9
    )
    assert set(figures["seconds"]) == {"float32", "bf16", "score"}

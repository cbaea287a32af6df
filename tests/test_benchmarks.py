"""The benchmark runs, small."""

import json
from pathlib import Path

import forked
import pytest

SCRIPT = Path(__file__).parent / "benchmarks" / "speed.py"
# A preset of the smallest size.
RUN = """
import runpy, sys
from caflow_cli import config
sizes = {"r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 8, "f_hidden": 8}
config.preset = lambda name: config.FlowConfig(**sizes)
sys.argv[:1] = []
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.parametrize("options", [["-m", 2], ["--train", "--batch", 2]])
def test_it_measures_candidates_and_training(options, tmp_path):
    done = forked.run(RUN, SCRIPT, "--rounds", 1, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["images_per_second"] == pytest.approx(2 / figures["seconds"])
    assert figures["gflops"] > 0
    assert figures["peak_gb"] > 0.1

"""The benchmarks run, small."""

import ast
import importlib
import json
import shutil
from pathlib import Path

import forked
import numpy as np
import pytest

from caflow_cli.assets import example_path
from caflow_cli.images import write_png

SCRIPT = Path(__file__).parent / "benchmarks" / "speed.py"
# A preset of the smallest size.
RUN = """
import runpy, sys
from caflow_cli import config, tasks
sizes = {"r_steps": 1, "t_steps": 1, "f_steps": 1, "hidden": 8, "f_hidden": 8}
tasks.preset = lambda name: config.FlowConfig(**sizes)
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


def test_hints_help(tmp_path):
    (tmp_path / "scenes").mkdir()
    shutil.copy(example_path("cat"), tmp_path / "scenes")
    done = forked.run(SCRIPT.with_name("hints.py").read_text(), "scenes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line.rsplit(maxsplit=1) for line in done.stdout.decode().splitlines()]
    rmse = {what.strip(): float(value) for what, value in lines}
    assert rmse["10 points"] < rmse["no hints"]
    assert rmse["10 points"] < rmse["10 points, without a sample"]


def test_a_pattern_is_found_at_its_period_and_in_its_direction(tmp_path):
    """`periodic.py`, of noise with stripes every 4 pixels along x."""
    noise = np.random.default_rng(3).integers(108, 148, (150, 170, 3))
    stripes = 40 * (np.arange(170) % 4 == 0)
    for name, image in (("noise", noise), ("stripes", noise + stripes[:, None])):
        (tmp_path / name).mkdir()
        write_png(tmp_path / name / "x.png", image.astype(np.uint8))
        write_png(tmp_path / name / "small.png", image[:59].astype(np.uint8))
        done = forked.run(SCRIPT.with_name("periodic.py").read_text(), name, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.decode().splitlines()]
        found = [(key, float(share)) for key, share in lines]
        assert [key for key, _ in found] == ["y2", "y4", "y8", "x2", "x4", "x8"]
        assert all(share < 0.003 or share > 0.03 for _, share in found)
        assert all((share > 0.03) == (name == "stripes" and "x" in key) for key, share in found)


SCRIPTS = [*SCRIPT.parent.glob("*.py"), Path(__file__).parents[1] / "docs" / "images" / "draw.py"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_what_scripts_import_of_the_package_is_there(script):
    """They are run by hand, so nothing else notices a name that moved."""
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("caflow_cli"):
            module = importlib.import_module(node.module)
            for alias in node.names:
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")

"""The benchmarks run, small."""

import ast
import importlib
import json
import shutil
from pathlib import Path

import forked
import numpy as np
import pytest
import small_fields
import tifffile

from caflow_cli.assets import example_path
from caflow_cli.config import Values
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


RUN_BESIDE = """
import pathlib, runpy, sys
sys.argv[:1] = []
sys.path.insert(0, str(pathlib.Path(sys.argv[0]).parent))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def measured(script: str, model: Path, data: Path, *options: object) -> dict:
    out = data.parent / "figures.json"
    path = SCRIPT.with_name(script)
    done = forked.run(
        RUN_BESIDE, path, model, data, "-m", 4, "--json", out, *options, cwd=data.parent
    )
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())[data.stem]


def test_heights_are_measured_beside_simple_methods(tmp_path):
    """Smooth hills beside the sea, which are nearly their back-projected bicubic field."""
    model = small_fields.fresh(Values("m", "relative", 0, 900, resolution=2), guide_net="relief")
    model.save(tmp_path / "model.safetensors")
    y, x = np.mgrid[:140, :270]
    hills = 300 * (1 - np.cos((x - 96).clip(0) / 5)) * (1 + 0.3 * np.sin(y / 5))
    hills = hills.astype(np.int16)
    tifffile.imwrite(tmp_path / "hills.tif", hills)
    found = measured("heights.py", tmp_path / "model.safetensors", tmp_path / "hills.tif")
    names = ["bicubic", "back_projected", "white", "filtered", "guide", "model"]
    assert list(found) == names
    crps = {name: found[name]["crps"] for name in names}
    assert crps["filtered"] < crps["back_projected"] < 0.02 * hills.std()
    assert "spread" not in found["bicubic"]
    assert found["back_projected"]["slope"] == pytest.approx(1, abs=0.03)
    assert found["white"]["sea"] > 98  # there is relief beside it
    assert 50 < found["model"]["sea"] < 100


def test_rain_is_measured_on_days(tmp_path):
    (tmp_path / "day").mkdir()
    for k in range(24):
        tifffile.imwrite(tmp_path / "day" / f"{k:02}.tif", small_fields.rain(48, 48, k))
    model = small_fields.save_model(tmp_path / "model.safetensors")
    found = measured("rain.py", model, tmp_path / "day", "--every", 8)
    assert list(found) == ["model", "guide"]
    for figures in found.values():
        assert figures["crps"] > 0
        assert 0 <= figures["coverage"] <= 100
        assert 0 <= figures["rank"] <= 1
        assert figures["milliseconds"] > 0


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

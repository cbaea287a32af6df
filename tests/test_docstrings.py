"""Examples in docstrings run, and every public name has one."""

from __future__ import annotations

import doctest
import functools
import importlib
import inspect
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import caflow_cli
from caflow_cli.config import Config
from caflow_cli.sampling import Sampling

# Results, which examples of the functions that return them show, and a record of many fields.
SHOWN_ELSEWHERE = {"Candidates", "OptimConfig", "Score", "__version__"}
PUBLIC = {name: getattr(caflow_cli, name) for name in caflow_cli.__all__}
OBJECTS = {**PUBLIC, "Config": Config, "Sampling": Sampling}


@pytest.fixture(scope="module")
def workplace(tmp_path_factory) -> Path:
    """A folder with the images that examples name: photos of 16 pixels a side, faces of 64."""
    folder = tmp_path_factory.mktemp("examples")
    generator = np.random.default_rng(0)
    for name, count, side in (("photos", 24, 16), ("faces", 2, 64)):
        (folder / name).mkdir()
        for index in range(count):
            corners = Image.fromarray(generator.integers(0, 256, (2, 2, 3), np.uint8))
            image = corners.resize((side, side), Image.Resampling.BICUBIC)
            image.save(folder / name / f"{index:02d}.png")
    return folder


@pytest.fixture(scope="module")
def loads_once():
    """Several examples load one model, and change nothing of it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caflow_cli, "load", functools.cache(caflow_cli.load))
        yield


@pytest.mark.parametrize("name", sorted(OBJECTS.keys() - SHOWN_ELSEWHERE))
@pytest.mark.usefixtures("loads_once")
def test_the_example_runs(name, workplace, monkeypatch):
    monkeypatch.chdir(workplace)
    target = OBJECTS[name]
    module = importlib.import_module(target.__module__)
    parser, runner = doctest.DocTestParser(), doctest.DocTestRunner()
    text = inspect.getdoc(target) or ""
    where = f"{module.__name__}.{name}"
    example = parser.get_doctest(text, {}, where, module.__file__, 0)
    assert example.examples, f"{name} has no example"
    failed, tried = runner.run(example)
    assert failed == 0
    assert tried > 0

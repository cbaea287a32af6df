"""Every setting that is refused, by command and in Python: message, hint and exit code.

`refusals.json` has the cases.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import helpers
import pytest

import caflow_cli as caflow
from caflow_cli.checkpoint import Calibration
from caflow_cli.config import TaskConfig
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.settings import Settings
from caflow_cli.intervals import CalibrationImages, calibrate, calibrated
from caflow_cli.records import parse
from caflow_cli.sampling import Sampling
from caflow_cli.tasks import TASKS
from caflow_cli.training import RunConfig
from caflow_cli.training.resolve import build_config

FILE = Path(__file__).with_name("refusals.json")
CASES: dict[str, list[dict[str, Any]]] = json.loads(FILE.read_text(encoding="utf-8"))
RUN = {"data": "d", "out": "o"}
BUDGET = {"optim": {"images": 10}}
CALIBRATION = {
    **{"tau": [0.9, 0.7, 0.5], "candidates": 40, "consistent": True, "precision": "bf16"},
    **{"level": 0.9, "lambda": 1.5, "images": 200, "width": 12.5, "data": "photos, val"},
}


def of_python(what: str, given: dict[str, Any], models: Any) -> None:
    """Do what a case says with its settings."""
    superres = models["superres"]
    small = helpers.noise(8, 8)
    if what == "Sampling":
        Sampling(**given).check()
    elif what == "Sampling.of":
        task = given.pop("task", "superres")
        Sampling(**given).of(helpers.task_config(task))
    elif what == "restore":
        caflow.restore(models[given.pop("task", "superres")], small, **given)
    elif what == "score":
        caflow.score(superres, small, helpers.noise(32, 32), **given)
    elif what == "evaluate":
        settings = Settings.of(given.pop("metrics", ()), given)
        settings.filled(helpers.task_config("superres"))
    elif what == "calibrate":
        level = given.pop("level", 0.9)
        images = CalibrationImages(data="set")
        calibrate(models[given.pop("task", "superres")], images, Sampling(**given), level)
    elif what == "calibrated":
        calibrated(Sampling(**given), Calibration.of(CALIBRATION), "mine")
    elif what == "Calibration":
        without = given.pop("without", None)
        values = {key: value for key, value in CALIBRATION.items() if key != without}
        Calibration.of({**values, **given})
    elif what == "TaskConfig":
        parse(TaskConfig, given, "task")
    elif what == "RunConfig":
        parse(RunConfig, {**RUN, **BUDGET, **given})
    else:
        assert what == "build_config"
        build_config({**RUN, **BUDGET, **given.pop("values", {})}, **given)


def answer_of_python(case: dict[str, Any], models: Any) -> dict[str, Any]:
    with pytest.raises(CaflowError) as caught:
        of_python(case["what"], json.loads(json.dumps(case["given"])), models)
    error = caught.value
    return {"message": error.message, "hint": error.hint, "code": error.exit_code}


def answer_of_command(words: str, run: Any, model_files: Any) -> dict[str, Any]:
    places = {f"{{{task}}}": str(path) for task, path in model_files.items()}
    typed = [places.get(word, word) for word in words.split()]
    result = run(*typed)
    said = result.stderr.decode()
    for place, path in places.items():
        said = said.replace(path, place)
    lines = [line for line in said.splitlines() if line.startswith(("error: ", "hint: "))]
    # The rest of a message of Typer depends on its version.
    lines = [
        re.sub(r"(Invalid value for .*?'(?=:)|No such option: \S+).*", r"\1", one) for one in lines
    ]
    return {"said": lines, "code": result.returncode}


@pytest.mark.parametrize("case", CASES["python"], ids=lambda c: f"{c['what']} {c['given']}"[:60])
def test_a_setting_that_python_is_given_is_refused(case, task_models, monkeypatch, images):
    monkeypatch.chdir(images)
    answer = answer_of_python(case, task_models)
    assert answer == {key: case[key] for key in answer}


@pytest.fixture(scope="module")
def files_of_scales(tmp_path_factory):
    """A model file for every task, of three scales."""
    folder = tmp_path_factory.mktemp("scales")
    paths = {}
    for task in TASKS:
        config = helpers.task_config(task, conditional="dual-glow")
        paths[task] = folder / f"{task}.safetensors"
        helpers.data_like_model(config, 2, size=32).save(paths[task], {"images": 0})
    return paths


@pytest.mark.parametrize("case", CASES["commands"], ids=lambda case: case["words"][:60])
def test_a_setting_that_is_typed_is_refused(case, run, images, files_of_scales):
    before = sorted(path.name for path in images.rglob("*"))
    answer = answer_of_command(case["words"], run, files_of_scales)
    assert answer == {key: case[key] for key in answer}
    assert sorted(path.name for path in images.rglob("*")) == before  # nothing is written

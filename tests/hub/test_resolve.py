"""From a model's name to its file."""

from __future__ import annotations

import shutil

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.hub.resolve import default_model, resolve
from caflow_cli.paths import sha256_of
from caflow_cli.tasks import TASKS


def test_every_task_has_a_default_model():
    assert {task: default_model(task).task for task in TASKS} == {t: t for t in TASKS}
    assert default_model("superres").id == "photos-superres-x4"


def test_files_and_folders_resolve_without_their_path(model_file, tmp_path):
    by_file = resolve(str(model_file))
    assert by_file.id == "small.safetensors"
    assert by_file.sha256 == sha256_of(model_file)
    run = tmp_path / "my-run"
    run.mkdir()
    shutil.copy(model_file, run / "best.safetensors")
    assert resolve(str(run)).id == "my-run"
    shutil.copy(model_file, run / "model.safetensors")
    assert resolve(str(run)).path.name == "model.safetensors"


@pytest.mark.parametrize("name", ["faces-superres-x5", "no/such.safetensors", "a b"])
def test_an_unknown_model_is_an_error_of_weights(name):
    with pytest.raises(CaflowError, match="no model") as caught:
        resolve(name)
    assert caught.value.exit_code == 3
    if name == "faces-superres-x5":
        assert caught.value.hint == "--model faces-superres-x4"


def test_a_folder_without_a_model_is_an_error_of_weights(tmp_path):
    with pytest.raises(CaflowError, match="no model in the folder") as caught:
        resolve(str(tmp_path))
    assert caught.value.exit_code == 3

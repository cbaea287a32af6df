"""Models that the environment names."""

from __future__ import annotations

import pytest

from caflow_cli.cli.environment import model_of_environment, named_in_environment

from .process import assert_refused
from .scenes import save


@pytest.fixture(autouse=True)
def _none_named(monkeypatch):
    for name in ("", "_SUPERRES", "_COLORIZE", "_INPAINT", "_PAIRED"):
        monkeypatch.delenv(f"CAFLOW_MODEL{name}", raising=False)


def test_a_model_for_one_task_does_not_stop_another(monkeypatch, model_files):
    assert model_of_environment("superres") is None
    general, own = str(model_files["superres"]), str(model_files["inpaint"])
    monkeypatch.setenv("CAFLOW_MODEL", general)
    assert model_of_environment("superres") == model_of_environment(None) == general
    assert model_of_environment("inpaint") is None
    monkeypatch.setenv("CAFLOW_MODEL_INPAINT", own)
    assert model_of_environment("inpaint") == named_in_environment("inpaint") == own
    assert named_in_environment("superres") == general
    monkeypatch.setenv("CAFLOW_MODEL_SUPERRES", own)
    assert model_of_environment("superres") == model_of_environment(None) == own
    monkeypatch.delenv("CAFLOW_MODEL_SUPERRES")
    monkeypatch.setenv("CAFLOW_MODEL", "telea")
    monkeypatch.delenv("CAFLOW_MODEL_INPAINT")
    assert (model_of_environment("inpaint"), model_of_environment("superres")) == ("telea", None)


def test_commands_take_what_is_theirs(run, tmp_path, model_files):
    save(tmp_path / "x.png", 8, 8)
    models = {"CAFLOW_MODEL": str(model_files["inpaint"])}
    own = run(
        "superres", "x.png", "-m", 1, **models, CAFLOW_MODEL_SUPERRES=str(model_files["superres"])
    )
    assert own.returncode == 0, own.stderr
    sampled = run("sample", "x.png", "-m", 1, CAFLOW_MODEL_PAIRED=str(model_files["paired"]))
    assert sampled.returncode == 0, sampled.stderr
    wrong = run(
        "superres", "x.png", "--overwrite", CAFLOW_MODEL_SUPERRES=str(model_files["inpaint"])
    )
    assert_refused(wrong, 2, "is for inpaint, not superres")

"""What a trained model is worth beside what can be had without it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate, verdict
from caflow_cli.evaluation.verdict import Verdict, against_baseline
from caflow_cli.temperature import Temperature


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint"])
def test_the_figures_are_those_of_evaluate(models_32, true_pictures, task):
    found = against_baseline(models_32[task], true_pictures, "test", limit=2)
    rows = evaluate(models_32[task], true_pictures, ["rmse"], split="test", limit=2).results
    base = next(row for row in rows if row.what == found.baseline)
    assert found.pictures == 2
    assert found.baseline_rmse == pytest.approx(base.values["rmse"].mean, abs=1e-6)
    assert found.rmse > 0


def test_a_run_looks_at_twenty_pictures_at_most(models_32, true_pictures, tmp_path):
    (tmp_path / "val").mkdir()
    for index in range(22):
        shutil.copy(true_pictures / "test" / "p0.png", tmp_path / "val" / f"{index:02}.png")
    found = against_baseline(models_32["colorize"], tmp_path, limit=500)
    assert found.pictures == 20


def test_a_pair_is_compared_with_the_next_and_a_single_one_with_none(
    models_32, true_pictures, tmp_path
):
    for side in ("A", "B"):
        shutil.copytree(true_pictures / "test", tmp_path / "test" / side)
    model = models_32["paired"]
    found = against_baseline(model, tmp_path, "test", limit=2)
    rows = evaluate(model, tmp_path, ["rmse"], split="test", limit=2).results
    assert (found.baseline, rows[0].what) == ("another target", "another target")
    assert found.baseline_rmse == pytest.approx(rows[0].values["rmse"].mean, abs=1e-6)
    assert against_baseline(model, tmp_path, "test", limit=1).pictures == 1
    for file in [*tmp_path.rglob("p[1-3].png"), *tmp_path.rglob("p4.png")]:
        file.unlink()
    assert against_baseline(model, tmp_path, "test") is None


def test_a_picture_without_a_sound_draw_is_said(models_32, true_pictures, monkeypatch):
    def refuse(*_):
        raise CaflowError("no sound draw", "--tau 0.5", 1)

    monkeypatch.setattr(verdict, "restore_with", refuse)
    found = against_baseline(models_32["superres"], true_pictures, "test", limit=1)
    assert found.rmse is None
    assert not found.useful
    assert np.isfinite(found.baseline_rmse)


@pytest.mark.parametrize(("rmse", "useful"), [(9.0, True), (11.0, False), (None, False)])
def test_useful_is_nearer_than_the_baseline(rmse, useful):
    assert Verdict(3, Temperature.of(0.5), rmse, "bicubic", 10.0).useful is useful

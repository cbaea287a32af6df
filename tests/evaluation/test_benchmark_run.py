"""Benchmarks on whole pictures: every figure computed again, by hand."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import smooth_image

from caflow_cli.data import load_split
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import run_benchmark
from caflow_cli.evaluation.benchmarks import BENCHMARKS
from caflow_cli.evaluation.damage import damage
from caflow_cli.evaluation.metrics.formulas import colourfulness, psnr_y
from caflow_cli.evaluation.whole_pictures import baseline, pose_whole
from caflow_cli.images import read_image, write_png
from caflow_cli.inference import restore
from caflow_cli.inference.score import to_batch

SIZES = {"a": (34, 50), "b": (48, 33), "c": (32, 32)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    """Three pictures of three sizes."""
    folder = tmp_path_factory.mktemp("photos")
    for seed, (name, size) in enumerate(SIZES.items()):
        picture = smooth_image(1, 3, size, seed=seed)[0].permute(1, 2, 0).numpy()
        write_png(folder / f"{name}.png", picture)
    return folder


@pytest.fixture(scope="module")
def masks(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("masks")
    for k in range(2):
        mask = np.zeros((20, 20, 3), np.uint8)
        mask[4 * k + 2, 3:14] = 255
        write_png(folder / f"m{k}.png", mask)
    return folder


def rows(evaluation):
    return {(r.what, str(r.cell.tau) if r.cell else ""): r for r in evaluation.results}


def psnr(error: np.ndarray) -> float:
    return 20 * np.log10(255 / np.sqrt(np.mean(np.square(error.astype(float)))))


def test_sr4_measures_what_restore_returns(models_32, photos):
    model, sr4 = models_32["superres"], BENCHMARKS["sr4"]
    found = run_benchmark(
        sr4, model, photos, ("psnr_y", "seconds"), tau=(0, 0.7), candidates=3, seed=9
    )
    table = rows(found)
    assert list(table) == [("bicubic", ""), ("model", "0"), ("model", "0.7")]
    assert (found.form, found.images, found.metrics) == ("benchmark", 3, ["psnr_y", "seconds"])
    assert table["model", "0"].cell.m == 1
    assert table["model", "0.7"].label == "model, τ 0.7, likeliest of 3"
    ours, bicubic = [], []
    for index, name in enumerate(SIZES):
        problem = pose_whole(sr4, read_image(photos / f"{name}.png"), index, name)
        image = restore(model, problem.input, 0.7, 3, seed=9 + 1_000_003 * index).kept[0].image
        truth = to_batch([problem.truth])
        ours.append(psnr_y(to_batch([image]), truth).item())
        bicubic.append(psnr_y(to_batch([baseline("bicubic", problem)]), truth).item())
    row = table["model", "0.7"]
    assert row.values["psnr_y"].mean == pytest.approx(np.mean(ours))
    assert table["bicubic", ""].values["psnr_y"].mean == pytest.approx(np.mean(bicubic))
    paired = np.subtract(ours, bicubic)
    difference = row.differences["bicubic"]["psnr_y"]
    assert difference.mean == pytest.approx(paired.mean())
    assert difference.standard_error == pytest.approx(paired.std(ddof=1) / 3**0.5)
    assert row.values["seconds"].mean > 0
    json.dumps(found.as_json(), allow_nan=False)


def test_published_figures_stand_beside_a_set_of_their_name(models_32, photos, tmp_path):
    (tmp_path / "Set5").symlink_to(photos)
    found = run_benchmark(
        BENCHMARKS["sr4"], models_32["superres"], tmp_path / "Set5", ["psnr_y"], tau=0, limit=1
    )
    assert rows(found)["SRCNN, published", ""].values["psnr_y"].mean == 30.48
    assert any("Wang et al. 2018" in note for note in found.notes)


def test_repair_compares_at_the_same_masks(models_32, photos, masks, opencv_in_name):
    model, repair = models_32["inpaint"], BENCHMARKS["repair"]
    found = run_benchmark(
        repair, model, photos, ["psnr_hole"], masks=masks, tau=0.5, candidates=2, seed=4
    )
    table = rows(found)
    assert list(table) == [("telea", ""), ("navier-stokes", ""), ("model", "0.5")]
    ours, telea = [], []
    for index, name in enumerate(SIZES):
        truth = read_image(photos / f"{name}.png")
        mask = damage(read_image(masks / f"m{index % 2}.png"), *truth.shape[:2], 4, index)
        hole = mask > 0
        given = np.where(hole[..., None], np.uint8(128), truth)
        made = restore(model, given, 0.5, 2, seed=4 + 1_000_003 * index, mask=mask).kept[0].image
        ours.append(psnr(made[hole].astype(int) - truth[hole]))
        telea.append(psnr(100 - truth[hole].astype(int)))
    assert table["telea", ""].values["psnr_hole"].mean == pytest.approx(np.mean(telea))
    row = table["model", "0.5"]
    assert row.values["psnr_hole"].mean == pytest.approx(np.mean(ours))
    difference = row.differences["telea"]["psnr_hole"]
    assert difference.mean == pytest.approx(np.mean(ours) - np.mean(telea))
    assert row.differences.keys() == {"telea", "navier-stokes"}


def test_a_limit_changes_neither_masks_nor_seeds(models_32, photos, masks, opencv_in_name):
    def pictures(limit):
        saved = photos.parent / f"saved{limit}"
        run_benchmark(
            BENCHMARKS["repair"],
            models_32["inpaint"],
            photos,
            ["psnr_hole"],
            masks=masks,
            candidates=1,
            limit=limit,
            save_images=saved,
        )
        return {path.name: read_image(path) for path in sorted(saved.iterdir())}

    whole, part = pictures(None), pictures(2)
    assert list(whole) == ["a.png", "b.png", "c.png"]
    assert list(part) == ["a.png", "b.png"]
    assert all(np.array_equal(whole[name], image) for name, image in part.items())


def test_without_opencv_the_rest_is_measured(models_32, photos, masks, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    found = run_benchmark(
        BENCHMARKS["repair"], models_32["inpaint"], photos, ["rmse"], masks=masks, candidates=1
    )
    assert [row.what for row in found.results] == ["model"]
    (note,) = found.notes
    assert "without telea and navier-stokes" in note
    assert "pip install 'caflow-cli[classical]'" in note
    with pytest.raises(CaflowError, match="not installed"):
        run_benchmark(BENCHMARKS["repair"], "telea", photos, ["rmse"], masks=masks)


def test_colourfulness_is_a_ratio_of_means(models_32, photos):
    found = run_benchmark(
        BENCHMARKS["colour"],
        models_32["colorize"],
        photos,
        ["rmse", "colourfulness"],
        tau=0.8,
        candidates=2,
    )
    table = rows(found)
    assert table["grey copy", ""].values["colourfulness"].mean == 0
    made, true = [], []
    for index, name in enumerate(SIZES):
        problem = pose_whole(BENCHMARKS["colour"], read_image(photos / f"{name}.png"), index, name)
        best = restore(models_32["colorize"], problem.input, 0.8, 2, seed=1_000_003 * index)
        made.append(colourfulness(to_batch([best.kept[0].image])).item())
        true.append(colourfulness(to_batch([problem.truth])).item())
    ratio = table["model", "0.8"].values["colourfulness"]
    assert ratio.mean == pytest.approx(sum(made) / sum(true))


def test_a_damaged_picture_is_left_out(models_32, photos, tmp_path):
    for path in photos.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "b.png").write_bytes(b"no picture")
    found = run_benchmark(BENCHMARKS["sr4"], models_32["superres"], tmp_path, ["psnr_y"], tau=0)
    assert (found.images, [name for name, _ in found.failed]) == (2, ["b.png"])
    for path in tmp_path.iterdir():
        path.write_bytes(b"no picture")
    with pytest.raises(CaflowError, match="no picture could be measured"):
        run_benchmark(BENCHMARKS["sr4"], models_32["superres"], tmp_path, ["psnr_y"], tau=0)


def test_settings_of_a_sweep_are_saved_apart(models_32, photos, tmp_path):
    saved = tmp_path / "out"
    arguments = (BENCHMARKS["sr4"], models_32["superres"], photos, ["rmse"])
    run_benchmark(*arguments, tau=(0, "0.9/0.5/0.2"), candidates=2, limit=1, save_images=saved)
    names = sorted(str(path.relative_to(saved)) for path in saved.rglob("*.png"))
    assert names == ["tau0.9-0.5-0.2_m2_likelihood/a.png", "tau0_m1_likelihood/a.png"]
    with pytest.raises(CaflowError, match="exists"):
        run_benchmark(*arguments, tau=0, save_images=saved)


def test_models_of_other_tasks_and_factors_are_refused(models_32, photos):
    with pytest.raises(CaflowError, match="protocol colour is for colorize, not superres"):
        run_benchmark(BENCHMARKS["colour"], models_32["superres"], photos)
    import copy
    from dataclasses import replace

    twice = copy.copy(models_32["superres"])
    twice.config = replace(twice.config, task=replace(twice.config.task, factor=2))
    with pytest.raises(CaflowError, match="enlarges 4 times, the model 2"):
        run_benchmark(BENCHMARKS["sr4"], twice, photos)


def test_pictures_are_not_shrunk_to_the_models_size(models_32, photos, tmp_path):
    saved = tmp_path / "out"
    run_benchmark(
        BENCHMARKS["colour"], models_32["colorize"], photos, ["rmse"], tau=0, save_images=saved
    )
    shapes = {path.stem: read_image(path).shape[:2] for path in saved.iterdir()}
    assert shapes == SIZES


def test_a_split_is_what_the_models_training_held_out(task_models, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    pictures = smooth_image(12, 3, 32, seed=3).permute(0, 2, 3, 1).numpy()
    for index, picture in enumerate(pictures):
        write_png(folder / f"{index:02}.png", picture)
    model = copy.copy(task_models["superres"])
    model.split_seed = 2
    saved = tmp_path / "out"
    found = run_benchmark(
        BENCHMARKS["sr4"], model, folder, ["psnr_y"], split="val", candidates=1, save_images=saved
    )
    assert found.settings["data"]["split_seed"] == 2
    held_out = load_split(folder, "val", 32, seed=2).names
    assert held_out != load_split(folder, "val", 32).names
    assert [file.name for file in saved.glob("*.png")] == held_out

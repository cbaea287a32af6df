"""Protocols: published figures, and runs on whole images, every figure computed again by hand."""

from __future__ import annotations

import copy
import json
import sys

import numpy as np
import pytest
from helpers import smooth_image

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import METRICS, evaluate
from caflow_cli.evaluation.examples import damage
from caflow_cli.evaluation.metrics.pairs import colourfulness, psnr_y
from caflow_cli.evaluation.protocols import PROTOCOLS, get_protocol
from caflow_cli.evaluation.settings import Settings
from caflow_cli.images import read_image, write_png
from caflow_cli.inference import restore, task_of, to_batch

SIZES = {"a": (34, 50), "b": (48, 33), "c": (32, 32)}


def figures(name, data="x"):
    return get_protocol(name).published(data)


def test_protocols_hold_the_papers_figures():
    table1 = figures("table1")
    ours = table1["CAFLOW"]
    assert (ours["lpips"], ours["rmse"]) == (0.08, 17.56)
    assert table1["bicubic"]["rmse"] == 20.10
    assert figures("table2")["CAFLOW, five for each image"]["fid"] == 16.73
    assert figures("table3")["CAFLOW"]["psnr"] == 26.08
    for protocol in PROTOCOLS.values():
        assert set(protocol.metrics) <= METRICS.keys()
    with pytest.raises(CaflowError) as caught:
        get_protocol("repare")
    assert caught.value.hint == "--protocol repair"


@pytest.mark.parametrize(
    ("data", "bicubic", "edsr"),
    [
        ("a/Set5", 28.42, 32.46),
        ("Set14.zip", 26.00, 28.80),
        ("B100/", 25.96, 27.71),
        ("c:\\sets\\Urban-100", 23.14, 26.64),
    ],
)
def test_published_figures_are_those_of_the_set_with_that_name(data, bicubic, edsr):
    rows = figures("sr4", data)
    assert rows["bicubic"]["psnr_y"] == bicubic
    assert rows["EDSR"]["psnr_y"] == edsr
    assert rows["ESRGAN"].keys() == {"psnr_y", "lpips"}
    assert rows["bicubic"]["lpips"] > 2 * rows["ESRGAN"]["lpips"]
    names = ("bicubic", "SRCNN", "EDSR", "RRDB", "ESRGAN")
    assert list(rows) == list(names)
    assert figures("sr4", "holidays") == figures("colour", data) == {}


def test_departures_from_a_paper_are_said():
    settings = Settings(protocol="table1", candidates=10)
    assert settings.departures(100) == []
    (note,) = Settings(protocol="table1", tau=0.9).departures(12)
    assert note == "not quite table1: tau 0.9 instead of 0.5; 12 images instead of 100"


# --- whole images ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three images of three sizes."""
    folder = tmp_path_factory.mktemp("photos")
    for seed, (name, size) in enumerate(SIZES.items()):
        write_png(
            folder / f"{name}.png", smooth_image(1, 3, size, seed)[0].permute(1, 2, 0).numpy()
        )
    return folder


@pytest.fixture(scope="module")
def masks(tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    for k in range(2):
        mask = np.zeros((20, 20, 3), np.uint8)
        mask[4 * k + 2, 3:14] = 255
        write_png(folder / f"m{k}.png", mask)
    return folder


@pytest.fixture
def run(models_32, without_lpips):
    def of(protocol, data, **settings):
        model = models_32[get_protocol(protocol).task]
        return model, evaluate(model, data, protocol=protocol, **settings)

    return of


def rows(evaluation):
    return {(r.what, str(r.cell.tau) if r.cell else ""): r for r in evaluation.results}


def test_sr4_measures_what_restore_returns(run, photos):
    model, found = run("sr4", photos, tau=(0, 0.7), candidates=3, seed=9)
    table = rows(found)
    assert list(table) == [("bicubic", ""), ("model", "0"), ("model", "0.7")]
    assert (found.form, found.images) == ("benchmark", 3)
    assert table["model", "0"].cell.m == 1
    row = table["model", "0.7"]
    assert row.label == "model, τ 0.7, likeliest of 3"
    ours, bicubic = [], []
    for index, name in enumerate(SIZES):
        truth = read_image(photos / f"{name}.png")
        height, width = (side // 4 * 4 for side in truth.shape[:2])
        truth = np.ascontiguousarray(truth[:height, :width])
        given = task_of(model).degrade(truth)
        image = restore(model, given, 0.7, 3, seed=9 + 1_000_003 * index).kept[0].image
        enlarged = task_of(model).condition(given)[:height, :width]
        for values, made in ((ours, image), (bicubic, enlarged)):
            values.append(psnr_y(to_batch([made]), to_batch([truth])).item())
    assert row.values["psnr_y"].mean == pytest.approx(np.mean(ours))
    assert table["bicubic", ""].values["psnr_y"].mean == pytest.approx(np.mean(bicubic))
    paired = np.subtract(ours, bicubic)
    difference = row.differences["bicubic"]["psnr_y"]
    assert difference.mean == pytest.approx(paired.mean())
    assert difference.standard_error == pytest.approx(paired.std(ddof=1) / 3**0.5)
    assert row.values["seconds"].mean > 0
    json.dumps(found.as_json(), allow_nan=False)


def test_published_figures_stand_beside_a_set_of_their_name(run, photos, tmp_path):
    (tmp_path / "Set5").symlink_to(photos)
    _, found = run("sr4", tmp_path / "Set5", tau=0, limit=1)
    assert rows(found)["SRCNN, published", ""].values["psnr_y"].mean == 30.48
    assert any("Wang et al. 2018" in note for note in found.notes)


def test_repair_compares_at_the_same_masks(run, photos, masks, opencv_in_name):
    model, found = run("repair", photos, masks=masks, tau=0.5, candidates=2, seed=4)
    table = rows(found)
    assert list(table) == [("telea", ""), ("navier-stokes", ""), ("model", "0.5")]
    ours, telea = [], []
    for index, name in enumerate(SIZES):
        truth = read_image(photos / f"{name}.png")
        mask = damage(read_image(masks / f"m{index % 2}.png"), *truth.shape[:2], 4, index)
        hole = mask > 0
        given = np.where(hole[..., None], np.uint8(128), truth)
        made = restore(model, given, 0.5, 2, seed=4 + 1_000_003 * index, mask=mask).kept[0].image
        for values, image in ((ours, made[hole].astype(float)), (telea, 100.0)):
            error = np.sqrt(np.mean(np.square(image - truth[hole])))
            values.append(20 * np.log10(255 / error))
    assert table["telea", ""].values["psnr_hole"].mean == pytest.approx(np.mean(telea))
    row = table["model", "0.5"]
    assert row.values["psnr_hole"].mean == pytest.approx(np.mean(ours))
    difference = row.differences["telea"]["psnr_hole"]
    assert difference.mean == pytest.approx(np.mean(ours) - np.mean(telea))
    assert row.differences.keys() == {"telea", "navier-stokes"}


def test_repair_without_opencv_says_what_to_install(run, photos, masks, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CaflowError, match="OpenCV's, which is not installed") as caught:
        run("repair", photos, masks=masks)
    assert (caught.value.exit_code, caught.value.hint[:11]) == (3, "pip install")


def test_a_limit_changes_neither_masks_nor_seeds(run, photos, masks, opencv_in_name, tmp_path):
    def images(limit):
        saved = tmp_path / f"saved{limit}"
        run("repair", photos, masks=masks, candidates=1, limit=limit, save_images=saved)
        return {path.name: read_image(path) for path in sorted(saved.glob("*.png"))}

    whole, part = images(None), images(2)
    assert list(whole) == ["a.png", "b.png", "c.png"]
    assert list(part) == ["a.png", "b.png"]
    assert all(np.array_equal(whole[name], image) for name, image in part.items())
    assert [image.shape[:2] for image in whole.values()] == list(SIZES.values())


def test_colourfulness_is_a_ratio_of_means(run, photos):
    model, found = run("colour", photos, tau=0.8, candidates=2)
    table = rows(found)
    assert table["grey copy", ""].values["colourfulness"].mean == 0
    made, true = [], []
    for index, name in enumerate(SIZES):
        truth = read_image(photos / f"{name}.png")
        best = restore(model, truth, 0.8, 2, seed=1_000_003 * index).kept[0].image
        for values, image in ((made, best), (true, truth)):
            values.append(colourfulness(to_batch([image])).item())
    ratio = table["model", "0.8"].values["colourfulness"]
    assert ratio.mean == pytest.approx(sum(made) / sum(true))
    assert list(table["model", "0.8"].differences["grey copy"]) == ["lpips", "rmse"]


def test_a_model_of_another_task_or_factor_is_refused(models_32, photos):
    with pytest.raises(CaflowError, match="sr4 is for superres, not colorize"):
        evaluate(models_32["colorize"], photos, protocol="sr4")
    model = copy.copy(models_32["superres"])
    task = copy.copy(model.config.task)
    object.__setattr__(task, "factor", 2)
    model.config = copy.copy(model.config)
    object.__setattr__(model.config, "task", task)
    with pytest.raises(CaflowError, match="sr4 enlarges 4 times, the model 2"):
        evaluate(model, photos, protocol="sr4")

"""Protocols: published figures, and runs on whole images, every figure computed again by hand."""

import copy
import io
import json
import sys

import numpy as np
import pytest
from helpers import smooth_image
from PIL import Image
from scipy.ndimage import gaussian_filter

from caflow_cli.data.examples import open_split
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import evaluate
from caflow_cli.evaluation.examples import (
    colorfulness,
    make_example,
    psnr_hole,
    run_baseline,
)
from caflow_cli.evaluation.metrics.pairs import FORMULAS
from caflow_cli.evaluation.protocols import get_protocol
from caflow_cli.images import read_image, write_png
from caflow_cli.restoration import restore, task_of, to_batch
from caflow_cli.tasks import shrink_as_web

SIZES = {"a": (34, 50), "b": (48, 33), "c": (32, 32)}


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Three images of three sizes."""
    folder = tmp_path_factory.mktemp("photos")
    for seed, (name, size) in enumerate(SIZES.items()):
        image = smooth_image(1, 3, size, seed)[0].permute(1, 2, 0).numpy()
        write_png(folder / f"{name}.png", image)
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


@pytest.mark.parametrize(
    ("protocol", "metric", "baselines"),
    [
        ("sr4", "psnr_y", ["bicubic"]),
        ("sr4-web", "psnr_y", ["bicubic"]),
        ("repair", "psnr_hole", ["telea", "navier-stokes"]),
        ("color", "rmse", ["gray copy"]),
    ],
)
def test_whole_images_are_restored_as_commands_do(
    run, photos, masks, opencv_in_name, protocol, metric, baselines
):
    given = masks if protocol == "repair" else None
    model, found = run(protocol, photos, tau=(0, 0.7), candidates=3, seed=9, masks=given)
    task, table = task_of(model), rows(found)
    assert list(table) == [*((name, "") for name in baselines), ("model", "0"), ("model", "0.7")]
    assert (found.form, found.images) == ("benchmark", 3)
    assert table["model", "0"].cell.candidates == 1
    row, ours, theirs, colors = table["model", "0.7"], [], [], []
    with open_split(photos) as reader, open_split(masks) as holes:
        for index in range(3):
            web = protocol == "sr4-web"
            inputs = "web" if web else "clean"
            example = make_example(task, reader, index, holes if given else None, 9, inputs)
            seed, mask = 9 + 1_000_003 * index, example.mask
            image = restore(model, example.input, 0.7, 3, seed=seed, mask=mask).kept[0].image
            colors.append(colorfulness(task, example, image))
            other = run_baseline(task, baselines[0], example)
            for values, made in ((ours, image), (theirs, other)):
                if metric in FORMULAS:
                    value = FORMULAS[metric](to_batch([made]), to_batch([example.truth])).item()
                else:
                    value = psnr_hole(task, example, made)
                values.append(value)
    assert row.label == "model, τ 0.7, likeliest of 3"
    assert row.values[metric].mean == pytest.approx(np.mean(ours))
    paired, difference = np.subtract(ours, theirs), row.differences[baselines[0]][metric]
    assert difference.mean == pytest.approx(paired.mean())
    assert difference.standard_error == pytest.approx(paired.std(ddof=1) / 3**0.5)
    assert list(row.differences) == baselines
    assert row.values["seconds"].mean > 0
    json.dumps(found.as_json(), allow_nan=False)
    if web:
        assert 0 < row.values["checkerboard"].mean < 0.2
    if protocol == "color":  # a ratio of means, of which there are no differences
        made, true = np.sum(colors, 0)
        assert row.values["colorfulness"].mean == pytest.approx(made / true)
        assert table["gray copy", ""].values["colorfulness"].mean == 0
        assert list(row.differences["gray copy"]) == ["lpips", "rmse"]


def test_m_is_that_of_the_command(run, tmp_path):
    data, saved = tmp_path / "data", tmp_path / "saved"
    data.mkdir()
    for name, side in (("large", 504), ("small", 32)):
        image = smooth_image(1, 3, side, side)[0].permute(1, 2, 0).numpy()
        write_png(data / f"{name}.png", image)
    model, found = run("sr4", data, metrics=["rmse"], save_images=saved)
    lines = (saved / "evaluate.jsonl").read_text().splitlines()[1:]
    (large,), (small,) = (json.loads(line)["draws"] for line in lines)
    assert (len(large["candidates"]), len(small["candidates"])) == (2, 10)
    assert "at most 10 candidates, as many as fit 0.75 megapixels" in found.notes
    with open_split(data) as reader:
        example = make_example(task_of(model), reader, 0)
    result = restore(model, example.input)
    assert len(result.ranked) == 2
    assert np.array_equal(read_image(saved / "large.png"), result.kept[0].image)


def test_published_figures_stand_beside_a_set_of_their_name(run, photos, tmp_path):
    (tmp_path / "Set5").symlink_to(photos)
    _, found = run("sr4", tmp_path / "Set5", tau=0, limit=1)
    assert rows(found)["SRCNN, published", ""].values["psnr_y"].mean == 30.48
    assert any("Wang et al. 2018" in note for note in found.notes)


def test_repair_without_opencv_says_what_to_install(run, photos, masks, monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(CaflowError, match="need OpenCV, which is not installed") as caught:
        run("repair", photos, masks=masks)
    assert (caught.value.exit_code, caught.value.hint[:11]) == (3, "pip install")


def test_a_limit_changes_neither_masks_nor_seeds(run, photos, masks, opencv_in_name, tmp_path):
    def images(limit):
        saved = tmp_path / f"saved{limit}"
        run("repair", photos, masks=masks, candidates=1, limit=limit, save_images=saved)
        return {path.name: read_image(path) for path in sorted(saved.glob("?.png"))}

    whole, part = images(None), images(2)
    assert list(whole) == ["a.png", "b.png", "c.png"]
    assert list(part) == ["a.png", "b.png"]
    assert all(np.array_equal(whole[name], image) for name, image in part.items())
    assert [image.shape[:2] for image in whole.values()] == list(SIZES.values())


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


def test_web_inputs_are_blurred_noisy_and_compressed_alike_each_time():
    """As the recipe has it: blur of σ 1.6, BICUBIC, noise of σ 4, JPEG 60 with halved chroma."""
    truth = smooth_image(1, 3, 64, seed=1)[0].permute(1, 2, 0).numpy()
    blurred = np.rint(gaussian_filter(truth.astype(np.float32), (1.6, 1.6, 0))).astype(np.uint8)
    small = Image.fromarray(blurred).resize((16, 16), Image.Resampling.BICUBIC)
    noisy = np.asarray(small) + 4 * np.random.default_rng(3).standard_normal((16, 16, 3))
    file = io.BytesIO()
    levels = np.rint(noisy).clip(0, 255).astype(np.uint8)
    Image.fromarray(levels).save(file, "JPEG", quality=60, subsampling=2)
    np.testing.assert_array_equal(shrink_as_web(truth, 16, 16, 3), np.asarray(Image.open(file)))
    gray = np.full((64, 64, 3), 128, np.uint8)
    found, again, other = (shrink_as_web(gray, 16, 16, index).astype(float) for index in (3, 3, 4))
    assert np.array_equal(found, again)
    assert not np.array_equal(found, other)
    assert 0.2 < found.std() < 4  # JPEG leaves less than σ 4
    edge = gray.copy()
    edge[:, :32], edge[:, 32:] = 0, 255
    columns = np.mean([shrink_as_web(edge, 16, 16, k) for k in range(20)], axis=(0, 1, 3))
    assert columns[:6].max() < 12
    assert columns[10:].min() > 243
    assert 5 < columns[7] < 50  # a step of BICUBIC alone undershoots

"""`caflow evaluate`: its three forms and what it prints."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ..process import assert_refused


@pytest.fixture(scope="module")
def model_32(models_32, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m32.safetensors"
    models_32["superres"].save(path, {"images": 0})
    return path


def table(result) -> list[dict[str, str]]:
    header, *lines = result.stdout.decode().splitlines()
    names = header.split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]


def test_a_model_on_data_gives_a_table_and_the_same_as_json(run, true_images, model_32):
    given = ["evaluate", "--data", true_images, "--model", model_32, "-m", "3", "--seed", "5"]
    done = run(*given, "--metric", "rmse,bpd", "--metric", "diversity", "-n", "1,2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b"to measure: 5\n"
    rows = table(done)
    whats = ["model", "model - all candidates", "model - bicubic", "all candidates"]
    assert [(r["what"], r["n"]) for r in rows] == [
        *(("bicubic", ""), *((what, n) for n in "12" for what in whats), ("truth", ""))
    ]
    record = json.loads(run(*given, "--metric", "rmse,bpd,diversity", "-n", "1,2", "--json").stdout)
    assert (record["schema"], record["command"], record["status"]) == (3, "evaluate", "ok")
    assert record["model"]["id"] == "m32.safetensors"
    assert (record["task"], record["images"], record["failed"]) == ("superres", 5, [])
    assert record["params"]["seed"] == 5
    assert record["metrics"]["bpd"].keys() == {"definition", "range", "units", "better"}
    assert record["estimator"]["noise_samples"] == 1
    model = record["results"][1]
    assert (model["tau"], model["candidates"], model["keep"]) == ([0.5], 3, 1)
    assert float(rows[1]["rmse"]) == pytest.approx(model["values"]["rmse"]["mean"], rel=1e-5)
    assert float(rows[1]["rmse_se"]) == pytest.approx(
        model["values"]["rmse"]["standard_error"], rel=1e-2
    )


def test_a_damaged_image_gives_the_rest_and_exit_1(run, true_images, model_32, tmp_path):
    data = tmp_path / "data"
    shutil.copytree(true_images, data)
    (data / "test" / "p1.png").write_bytes(b"no image")
    done = run(
        *("evaluate", "--data", data, "--model", model_32, "-m", "2", "--metric", "rmse"),
        *("--save-images", "out", "--json"),
    )
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert (record["status"], record["images"]) == ("error", 4)
    assert record["failed"][0]["input"] == "p1.png"
    assert done.stderr.decode().splitlines()[1].startswith("error: 'test/p1.png'")
    assert not (tmp_path / "out" / "p1.png").exists()
    assert (tmp_path / "out" / "p2.png").exists()


def test_folders_against_folders(run, true_images):
    done = run("evaluate", true_images, true_images, "--metric", "rmse,psnr")
    (row,) = table(done)
    assert row["what"] == "generated"
    assert (float(row["rmse"]), row["psnr"]) == (0.0, "inf")


def test_a_default_metric_without_its_network_is_left_out(run, true_images, model_32, tmp_path):
    offline = {"TORCH_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    test = true_images / "test"
    on_data = ("--data", true_images, "--model", model_32, "-m", "1", "--limit", "1")
    for given in ((test, test), on_data):
        done = run("evaluate", *given, "--json", CAFLOW_LPIPS_WEIGHTS="", **offline)
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert list(record["metrics"]) == list(record["results"][0]["values"]) == ["rmse"]
        said = [line for line in done.stderr.decode().splitlines() if line[:5] == "note:"]
        assert said == [f"note: {note}" for note in record["notes"]]
        (note,) = said
        assert "lpips is left out" in note
        assert "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in note


def test_a_metric_without_its_network_leaves_the_others_and_exits_3(
    run, true_images, model_32, tmp_path
):
    test = true_images / "test"
    on_data = ("--data", true_images, "--model", model_32, "-m", "1", "--limit", "2")
    for given, images in (((test, test), "5"), (on_data, "2")):
        done = run("evaluate", *given, "--metric", "lpips,rmse", CAFLOW_LPIPS_WEIGHTS="gone")
        assert done.returncode == 3
        assert {row["images"] for row in table(done)} == {images}
        assert "rmse" in table(done)[0]
        *_, error, hint = done.stderr.decode().splitlines()
        assert error.startswith("error: lpips: no LPIPS trunk: 'gone' cannot be read")
        assert "--lpips-weights FILE" in hint


def test_saved_images_come_with_a_sheet(run, true_images, model_32, tmp_path):
    given = ("--data", true_images, "--model", model_32, "-m", "2", "--metric", "rmse")
    done = run("evaluate", *given, "--tau", "0,1", "--limit", "2", "--save-images", "out")
    assert done.returncode == 0, done.stderr
    sheet = np.asarray(Image.open(tmp_path / "out" / "evaluate.png"))
    # Two rows of four images of 192 pixels: bicubic, a candidate of each temperature, truth.
    assert 4 * 192 < sheet.shape[1] < 4 * 220
    assert 2 * 192 < sheet.shape[0] < 2 * 300
    truth = np.asarray(Image.open(true_images / "test" / "p0.png")).astype(int)
    enlarged = truth.repeat(6, 0).repeat(6, 1)[:, :186]
    left = 12 + 3 * (192 + 12)
    assert abs(sheet[12 : 12 + 192, left : left + 186] - enlarged).max() <= 1


def test_a_folder_of_saved_images_can_be_compared(run, true_images, model_32, tmp_path):
    """Its sheet is no result."""
    given = ("--data", true_images, "--model", model_32, "-m", "2", "--metric", "rmse")
    (_, first, *_) = table(run("evaluate", *given, "--save-images", "out"))
    assert (tmp_path / "out" / "evaluate.png").exists()
    done = run("evaluate", "out", true_images / "test", "--metric", "rmse")
    assert done.returncode == 0, done.stderr
    assert [row["rmse"] for row in table(done)] == [first["rmse"]]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        ([], "expected either --data", "--data"),
        (["a"], "expected two sets of images, got 1", "GENERATED REFERENCE"),
        (["a", "b", "--data", "d"], "expected either --data", "--data"),
        (["a", "b", "--tau", "1"], "--tau needs a model on data", "--data"),
        (["a", "b", "-m", "3"], "--candidates needs a model", "--data"),
        (["--data", "d", "--protocol", "repair"], "needs damage masks", "--masks DIR"),
        (["--data", "d", "--metric", "rsme"], "unknown metric 'rsme'", "--metric rmse"),
    ],
)
def test_wrong_usage_exits_2_with_what_to_type(run, tmp_path, arguments, message, hint):
    result = run("evaluate", *arguments)
    assert_refused(result, 2, message)
    assert hint in result.stderr.decode().splitlines()[1]
    assert not list(tmp_path.iterdir())

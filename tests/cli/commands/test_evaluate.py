"""`caflow evaluate`: its three forms and what it prints."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.checkpoint import read_info
from caflow_cli.config import RULES
from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import defaults
from caflow_cli.evaluation.temperature_search import searched

from ..process import assert_refused
from ..results import lines_of
from ..scenes import pixels


@pytest.fixture(scope="module")
def model_32(models_32, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "m32.safetensors"
    models_32["superres"].save(path, {"images": 0})
    return path


def table(result) -> list[dict[str, str]]:
    header, *lines = result.stdout.decode().splitlines()
    names = header.split("\t")
    return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]


def test_a_model_on_data_gives_a_table_and_the_same_as_json(run, true_pictures, model_32):
    given = ["evaluate", "--data", true_pictures, "--model", model_32, "-m", "3", "--seed", "5"]
    done = run(*given, "--metric", "rmse,bpd", "--metric", "diversity", "-n", "1,2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == b""
    rows = table(done)
    assert [(r["what"], r["n"]) for r in rows] == [
        ("bicubic", ""),
        ("model", "1"),
        ("model - all candidates", "1"),
        ("model - bicubic", "1"),
        ("all candidates", "1"),
        ("model", "2"),
        ("model - all candidates", "2"),
        ("model - bicubic", "2"),
        ("all candidates", "2"),
        ("truth", ""),
    ]
    record = json.loads(run(*given, "--metric", "rmse,bpd,diversity", "-n", "1,2", "--json").stdout)
    assert (record["schema"], record["command"], record["status"]) == (2, "evaluate", "ok")
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


def test_a_damaged_picture_gives_the_rest_and_exit_1(run, true_pictures, model_32, tmp_path):

    data = tmp_path / "data"
    shutil.copytree(true_pictures, data)
    (data / "test" / "p1.png").write_bytes(b"no picture")
    done = run(
        *("evaluate", "--data", data, "--model", model_32, "-m", "2", "--metric", "rmse"),
        *("--save-images", "out", "--json"),
    )
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert (record["status"], record["images"]) == ("error", 4)
    assert record["failed"][0]["input"] == "p1.png"
    assert done.stderr.decode().splitlines()[0].startswith("error: 'test/p1.png'")
    assert not (tmp_path / "out" / "p1.png").exists()
    assert (tmp_path / "out" / "p2.png").exists()


def test_folders_against_folders(run, true_pictures):
    done = run("evaluate", true_pictures, true_pictures, "--metric", "rmse,psnr")
    (row,) = table(done)
    assert row["what"] == "generated"
    assert (float(row["rmse"]), row["psnr"]) == (0.0, "inf")


def test_what_a_command_wrote_comes_through_a_pipe(
    run, true_pictures, model_32, tmp_path, monkeypatch
):
    for index in range(2):
        truth = Image.open(true_pictures / "test" / f"p{index}.png")
        truth.resize((8, 8), Image.Resampling.BICUBIC).save(tmp_path / f"p{index}.png")
    written = run(
        *("superres", "p0.png", "p1.png", "-o", "out/", "-m", "2", "-n", "2", "--json"),
        *("--model", model_32),
    )
    assert written.returncode == 0, written.stderr
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO(written.stdout.decode()))
    done = run("evaluate", "--reference", true_pictures / "test", "--metric", "rmse", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["form"], record["images"]) == ("lines", 2)
    expected = [
        np.mean(
            [
                np.sqrt(np.mean((pixels(output["path"]).astype(float) - pixels(truth)) ** 2))
                for output in json.loads(line)["outputs"]
            ]
        )
        for line, truth in zip(
            written.stdout.splitlines(),
            (true_pictures / "test" / f"p{index}.png" for index in range(2)),
            strict=True,
        )
    ]
    found = record["results"][0]["values"]["rmse"]
    assert found["mean"] == pytest.approx(np.mean(expected))
    assert found["count"] == 2


def test_protocols_show_the_papers_figures(run, true_pictures, model_32):
    given = ("evaluate", "--data", true_pictures, "--model", model_32, "--protocol", "table3")
    assert_refused(run(*given), 2, "inpaint")
    weights = os.environ.get("CAFLOW_LPIPS_WEIGHTS")
    if weights is None:
        pytest.skip("CAFLOW_LPIPS_WEIGHTS is not set")
    given = (*given[:-1], "table1", "-m", "2")
    done = run(*given)
    assert done.returncode == 0, done.stderr
    rows = {row["what"]: row for row in table(done)}
    assert rows["CAFLOW, published"]["rmse"] == "17.56"
    assert rows["bicubic, published"]["lpips"] == "0.34"
    assert float(rows["model"]["lpips"]) > 0
    note = done.stderr.decode()
    assert "not quite table1: M 2 instead of 10; 5 pictures instead of 100" in note


def test_missing_networks_exit_3_and_leave_nothing(run, true_pictures, model_32, tmp_path):
    offline = {"TORCH_HOME": str(tmp_path / "cache"), "https_proxy": "http://127.0.0.1:9"}
    given = ["evaluate", "--data", true_pictures, "--model", model_32, "--save-images", "out"]
    for metric, option in (("lpips", "--lpips-weights"), ("fid", "--fid-weights")):
        result = run(
            *(*given, "--report", "report", "--metric", metric),
            **{"CAFLOW_LPIPS_WEIGHTS": "", "CAFLOW_FID_WEIGHTS": ""} | offline,
        )
        lines = result.stderr.splitlines(keepends=True)
        # Older versions of torch say first what they are about to download.
        said = b"".join(line for line in lines if not line.startswith(b"Downloading: "))
        result = replace(result, stderr=said)
        assert_refused(result, 3, "download failed")
        assert option in result.stderr.decode().splitlines()[1]
        assert not (tmp_path / "out").exists()
        assert not (tmp_path / "report").exists()


def test_a_default_metric_without_its_network_is_left_out(run, true_pictures, model_32, tmp_path):
    offline = {"TORCH_HOME": str(tmp_path), "https_proxy": "http://127.0.0.1:9"}
    test = true_pictures / "test"
    on_data = ("--data", true_pictures, "--model", model_32, "-m", "1", "--limit", "1")
    for given in ((test, test), on_data):
        done = run("evaluate", *given, "--json", CAFLOW_LPIPS_WEIGHTS="", **offline)
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert list(record["metrics"]) == list(record["results"][0]["values"]) == ["rmse"]
        said = [line for line in done.stderr.decode().splitlines() if "Downloading" not in line]
        assert said == [f"note: {note}" for note in record["notes"]]
        (note,) = said
        assert "lpips is left out" in note
        assert "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth" in note


def test_one_candidate_is_not_calibrated(run, true_pictures, model_32):
    given = ("evaluate", "--data", true_pictures, "--model", model_32, "--metric", "calibration")
    assert_refused(run(*given, "-m", "1"), 2, "one candidate has no spread to calibrate")
    rows = [row for row in table(run(*given, "-m", "1,3", "--limit", "1")) if row["tau"]]
    assert [(row["m"], row["calibration"] != "") for row in rows] == [("1", False), ("3", True)]


def test_a_closed_stdout_is_an_error_of_one_line(run, true_pictures, monkeypatch):
    folder = true_pictures / "test"
    monkeypatch.setattr(sys, "stdout", None)
    done = run("evaluate", folder, folder, "--metric", "rmse")
    assert_refused(done, 1, "stdout is closed")


@pytest.fixture
def with_val(true_pictures, tmp_path) -> Path:
    data = tmp_path / "faces"
    shutil.copytree(true_pictures / "test", data / "val")
    return data


def test_a_search_names_a_temperature_by_its_rule(run, with_val, model_32):
    if os.environ.get("CAFLOW_LPIPS_WEIGHTS") is None:
        pytest.skip("CAFLOW_LPIPS_WEIGHTS is not set")
    given = ["evaluate", "--data", with_val, "--model", model_32, "--search-tau"]
    done = run(*given, "--limit", 2, "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    tried = [row for row in record["results"] if row["what"] == "model"]
    assert len(tried) == 14
    means = {json.dumps(row["tau"]): row["values"] for row in tried}
    search = record["search"]["tau"]
    assert (search["split"], search["pictures"]) == (record["data"]["split"], 2) == ("val", 2)
    chosen = means[json.dumps(search["tau"])]
    assert chosen["lpips"] == search["lpips"]
    limit = 1.1 * min(values["rmse"]["mean"] for values in means.values())
    assert search["rmse_at_most"] == pytest.approx(limit)
    fit = [v["lpips"]["mean"] for v in means.values() if v["rmse"]["mean"] <= limit]
    assert chosen["lpips"]["mean"] == min(fit)
    assert b"the lowest lpips whose rmse is at most 10% above" in done.stderr


def test_defaults_are_written_and_told(run, with_val, model_32, tmp_path, monkeypatch):
    """Of a number and two shapes; all that are tried: the test before, and tests/evaluation."""
    monkeypatch.setattr(defaults, "searched", lambda flow: searched(flow)[5:8])
    if os.environ.get("CAFLOW_LPIPS_WEIGHTS") is None:
        pytest.skip("CAFLOW_LPIPS_WEIGHTS is not set")
    before = model_32.read_bytes()
    given = ["evaluate", "--data", "faces", "--model", model_32, "--search-tau", "--search-rank"]
    given += ["-m", 2, "--limit", 2, "--json", "--write-defaults", "tuned.safetensors"]
    done = run(*given)
    assert done.returncode == 0, done.stderr
    assert b"wrote tuned.safetensors" in done.stderr
    assert model_32.read_bytes() == before
    search = json.loads(done.stdout)["search"]
    assert search.pop("written") == "tuned.safetensors"
    info = read_info(tmp_path / "tuned.safetensors")
    assert info.training["defaults"] == search
    assert info.training["images"] == 0
    tau = search["tau"]["tau"]
    assert info.config.task.tau == (tuple(tau) if len(tau) > 1 else tau[0])
    assert info.config.task.rank == search["rank"]["rank"]
    assert search["rank"]["tau"] == tau
    sha256 = hashlib.sha256(before).hexdigest()
    assert search["tau"]["model"] == {"id": "m32.safetensors", "sha256": sha256}
    assert str(tmp_path) not in json.dumps(info.training)
    told = run("models", "info", "tuned.safetensors", "--json")
    (facts,) = lines_of(told)
    assert facts["defaults"]["tau"]["from"] == "search"
    assert facts["defaults"]["tau"]["search"] == search["tau"]
    text = run("models", "info", "tuned.safetensors").stdout.decode()
    assert "pictures of val/ of faces" in text
    again = run(*given)
    assert_refused(again, 2, "'tuned.safetensors' exists, and no model is replaced")
    assert (tmp_path / "tuned.safetensors").stat().st_size > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--write-defaults", "x.safetensors"], "--write-defaults without a search"),
        (["--search-rank", "--write-defaults", "x.png"], "does not end in .safetensors"),
        (["--search-rank", "--write-defaults", "faces/x/.safetensors"], "does not end in"),
        (["--search-rank", "--tau", "0.5", "--write-defaults", "x.safetensors"], "own temperature"),
        (["--search-rank", "--report", "out"], "a search has no --report"),
        (["--search-tau", "--save-images", "out"], "a search has no --save-images"),
        (["--search-tau", "--write-defaults", "{model}"], "exists, and no model is replaced"),
        (["--search-tau", "--write-defaults", "file/x.safetensors"], "cannot write into"),
    ],
)
def test_defaults_that_cannot_be_written_are_refused_first(
    run, with_val, model_32, tmp_path, options, message
):
    (tmp_path / "file").touch()
    before = model_32.read_bytes()
    options = [option.format(model=model_32) for option in options]
    done = run("evaluate", "--data", with_val, "--model", model_32, *options)
    assert_refused(done, 2, message)
    assert model_32.read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"faces", "file"}


def test_a_damaged_picture_leaves_a_search_of_the_others(run, with_val, model_32, tmp_path):
    if os.environ.get("CAFLOW_LPIPS_WEIGHTS") is None:
        pytest.skip("CAFLOW_LPIPS_WEIGHTS is not set")
    (with_val / "val" / "p1.png").write_bytes(b"no picture")
    done = run(
        *("evaluate", "--data", with_val, "--model", model_32, "--search-rank", "-m", 2),
        *("--limit", 3, "--json", "--write-defaults", "x.safetensors"),
    )
    assert done.returncode == 1
    search = json.loads(done.stdout)["search"]
    assert (search["rank"]["pictures"], search["written"]) == (2, "x.safetensors")
    assert read_info(tmp_path / "x.safetensors").training["defaults"]["rank"] == search["rank"]


def test_what_was_measured_is_printed_even_if_it_cannot_be_written(
    run, with_val, model_32, tmp_path, monkeypatch
):
    if os.environ.get("CAFLOW_LPIPS_WEIGHTS") is None:
        pytest.skip("CAFLOW_LPIPS_WEIGHTS is not set")

    def full(path, data, replace=True):
        raise CaflowError(f"cannot write {str(path)!r}: no space", "choose another output path")

    monkeypatch.setattr(defaults, "atomic_write", full)
    done = run(
        *("evaluate", "--data", with_val, "--model", model_32, "--search-rank", "-m", 2),
        *("--limit", 2, "--json", "--write-defaults", "x.safetensors"),
    )
    assert done.returncode == 1
    record = json.loads(done.stdout)
    assert record["search"]["written"] is None
    assert record["search"]["rank"]["rules"].keys() == set(RULES)
    assert b"error: cannot write" in done.stderr
    assert not (tmp_path / "x.safetensors").exists()


def test_a_fill_of_the_environment_is_for_holes(run, tmp_path, true_pictures, model_32):
    fill = {"CAFLOW_MODEL_INPAINT": "telea", "CAFLOW_MODEL_SUPERRES": str(model_32)}
    given = ("evaluate", "--data", true_pictures, "--metric", "rmse", "--limit", "1")
    done = run(*given, "-m", "1", "--json", **fill)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["model"]["id"] == "m32.safetensors"
    for options in (["--task", "inpaint"], ["--protocol", "repair"]):
        refused = run(*given, *options, "--tau", "1", **fill)
        assert_refused(refused, 2, "telea draws no candidates")
    assert_refused(run(*given, "--tau", "1", CAFLOW_MODEL="telea"), 2, "telea draws no candidates")
    (tmp_path / "mine.toml").write_text('[model]\ninpaint = "telea"\n')
    filed = run(*given, "--task", "inpaint", "--tau", "1", CAFLOW_CONFIG="mine.toml")
    assert_refused(filed, 2, "telea draws no candidates")
    typed = ("--model", "telea", "--protocol", "repair", "--tau", "1")
    nowhere = run(*given, *typed, CAFLOW_MODEL="nowhere.safetensors")
    assert_refused(nowhere, 2, "telea draws no candidates")

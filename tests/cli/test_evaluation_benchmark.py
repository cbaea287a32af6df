"""`caflow evaluate` on whole pictures: what it prints, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest

from caflow_cli.evaluation.metrics import formulas, pairs

from .process import assert_refused
from .scenes import save, save_mask


@pytest.fixture
def sets(tmp_path, opencv_in_name, monkeypatch):
    """Pictures and masks; something quick stands in the place of LPIPS."""
    monkeypatch.setattr(pairs, "LpipsDistance", lambda weights, device: formulas.rmse)
    for seed, (height, width) in enumerate(((36, 50), (40, 32))):
        save(tmp_path / "photos" / f"p{seed}.png", height, width, seed)
    save_mask(tmp_path / "masks" / "m.png", 24, 24)
    return tmp_path


def values(record, what):
    (row,) = [row for row in record["results"] if row["what"] == what]
    return {name: value["mean"] for name, value in row["values"].items()}


@pytest.mark.parametrize(
    ("protocol", "task", "metrics", "baselines"),
    [
        ("sr4", "superres", ["lpips", "psnr_y", "ssim_y", "seconds"], ["bicubic"]),
        ("repair", "inpaint", ["lpips", "psnr_hole", "seconds"], ["telea", "navier-stokes"]),
        ("colour", "colorize", ["lpips", "rmse", "colourfulness", "seconds"], ["grey copy"]),
    ],
)
def test_each_protocol_is_one_command(run, sets, model_files, protocol, task, metrics, baselines):
    given = ["evaluate", "--protocol", protocol, "--data", "photos", "--model", model_files[task]]
    given += ["--masks", "masks"] if protocol == "repair" else []
    done = run(*given, "-m", "2", "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    record = json.loads(done.stdout)
    assert (record["form"], record["task"], record["images"]) == ("benchmark", task, 2)
    assert list(record["metrics"]) == metrics
    assert [row["what"] for row in record["results"]] == [*baselines, "model"]
    assert values(record, "model").keys() == set(metrics)
    assert record["protocol"]["name"] == protocol
    assert record["params"]["candidates"] == [2]
    header, *lines = run(*given, "-m", "2").stdout.splitlines()
    assert len(lines) == 2 * len(baselines) + 1
    assert header.decode().split("\t")[-2:] == ["seconds", "seconds_se"]


def test_a_classical_fill_takes_a_models_place(run, sets):
    given = ["evaluate", "--model", "telea", "--data", "photos", "--metric", "psnr,psnr_hole"]
    done = run(*given, "--json")
    assert (done.returncode, done.stderr) == (0, b"")
    record = json.loads(done.stdout)
    assert record["model"] == {"id": "telea", "sha256": None}
    assert [row["what"] for row in record["results"]] == ["mean fill", "telea"]
    assert "estimator" not in record
    # A quarter of the pixels holds all the error.
    found = values(record, "telea")
    assert found["psnr"] - found["psnr_hole"] == pytest.approx(10 * np.log10(4), abs=0.3)
    repaired = run(*given[:5], "--protocol", "repair", "--masks", "masks", "--metric", "rmse")
    assert [line.split(b"\t")[0] for line in repaired.stdout.splitlines()[1:]] == [
        b"navier-stokes",
        b"telea",
        b"telea - navier-stokes",
    ]


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--protocol", "repair"], "needs masks", "--masks DIR"),
        (["--protocol", "sr4", "--masks", "m"], "--masks is for --protocol repair", "leave"),
        (["--masks", "m"], "--masks is for --protocol repair", "--protocol repair"),
        (["--protocol", "sr4", "--task", "inpaint"], "sr4 is for superres", "--task superres"),
        (["--protocol", "sr4", "--report", "r"], "--report is not for whole", "--save-images"),
        (["--protocol", "sr4", "-n", "2"], "-n is not for whole pictures", "leave -n out"),
        (["--protocol", "sr4", "--search-tau"], "--search-tau is not", "leave"),
        (["--protocol", "sr4", "--search-rank"], "--search-rank is not", "leave"),
        (["--protocol", "sr4", "--write-defaults", "f"], "--write-defaults is not", "leave"),
        (["--protocol", "sr4", "--resize", "8"], "--resize is not", "leave"),
        (["--protocol", "sr4", "--skip-existing"], "--skip-existing is not", "leave"),
        (["--protocol", "sr4", "--limit", "0"], "--limit is 0", "--limit 10"),
        (["--protocol", "sr4", "--metric", "fid"], "'fid' needs", "--metric fid"),
        (["--protocol", "sr4", "--metric", "psnr_hole"], "'psnr_hole' is measured", "repair"),
        (["--model", "telea", "--protocol", "colour"], "telea only fills holes", "repair"),
        (["--model", "telea", "--protocol", "table3"], "telea only fills holes", "repair"),
        (["--model", "telea", "--tau", "0"], "so --tau means nothing", "leave --tau out"),
        (["--model", "telea", "-m", "3"], "so -m means nothing", "leave -m out"),
        (["--model", "telea", "--rank", "none"], "so --rank means nothing", "leave"),
        (["--model", "telea", "--task", "colorize"], "is for inpaint", "--task inpaint"),
    ],
)
def test_wrong_usage_exits_2_with_what_to_type(run, tmp_path, arguments, message, hint):
    result = run("evaluate", "--data", "d", *arguments)
    assert_refused(result, 2, message)
    assert hint in result.stderr.decode().splitlines()[1]
    assert not list(tmp_path.iterdir())


def test_the_users_file_is_not_refused(run, sets):
    (sets / "mine.toml").write_text(
        "tau = 0.8\ncandidates = 20\nkeep = 2\nrank = 'best'\nnoise-samples = 2\nbatch-size = 4\n"
        "skip-existing = true\n[evaluate]\nreport = 'r'\nresize = 8\nsave-stats = 's.npz'\n"
    )
    given = ("evaluate", "--model", "telea", "--data", "photos", "--metric", "psnr")
    done = run(*given, CAFLOW_CONFIG="mine.toml")
    assert (done.returncode, done.stderr) == (0, b"")
    typed = run(*given, "--tau", "1", CAFLOW_CONFIG="mine.toml")
    assert_refused(typed, 2, "so --tau means nothing")


def test_metrics_of_whole_pictures_are_for_them_alone(run, sets, model_files):
    given = ["evaluate", "--data", "photos", "--model", model_files["superres"], "--metric"]
    assert_refused(run(*given, "colourfulness"), 2, "'colourfulness' is measured by a protocol")
    pair = ["evaluate", "photos", "photos", "--metric"]
    assert_refused(run(*pair, "seconds"), 2, "'seconds' is measured by a protocol")
    done = run(*pair, "psnr_y,ssim_y", "--json")
    assert values(json.loads(done.stdout), "generated") == {"psnr_y": None, "ssim_y": 1.0}

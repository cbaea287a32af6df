"""`caflow evaluate` on whole pictures: what it prints, and what it refuses."""

from __future__ import annotations

import json

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


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--protocol", "repair"], "needs masks", "--masks DIR"),
        (["--protocol", "sr4", "--masks", "m"], "--masks is for --protocol repair", "leave"),
        (["--masks", "m"], "--masks is for --protocol repair", "--protocol repair"),
        (["--protocol", "sr4", "--task", "inpaint"], "sr4 is for superres", "--task superres"),
        (["--protocol", "sr4", "--report", "r"], "--report is not for whole", "--save-images"),
        (["--protocol", "sr4", "-n", "2"], "-n is not for whole pictures", "leave -n out"),
        (["--protocol", "sr4", "--resize", "8"], "--resize is not", "leave"),
        (["--protocol", "sr4", "--skip-existing"], "--skip-existing is not", "leave"),
        (["--protocol", "sr4", "--limit", "0"], "--limit is 0", "--limit 10"),
        (["--protocol", "sr4", "--metric", "fid"], "'fid' needs", "--metric fid"),
        (["--protocol", "sr4", "--metric", "psnr_hole"], "'psnr_hole' is measured", "repair"),
    ],
)
def test_wrong_usage_exits_2_with_what_to_type(run, tmp_path, arguments, message, hint):
    result = run("evaluate", "--data", "d", *arguments)
    assert_refused(result, 2, message)
    assert hint in result.stderr.decode().splitlines()[1]
    assert not list(tmp_path.iterdir())


def test_metrics_of_whole_pictures_are_for_them_alone(run, sets, model_files):
    given = ["evaluate", "--data", "photos", "--model", model_files["superres"], "--metric"]
    assert_refused(run(*given, "colourfulness"), 2, "'colourfulness' is measured by a protocol")
    pair = ["evaluate", "photos", "photos", "--metric"]
    assert_refused(run(*pair, "seconds"), 2, "'seconds' is measured by a protocol")
    done = run(*pair, "psnr_y,ssim_y", "--json")
    assert values(json.loads(done.stdout), "generated") == {"psnr_y": None, "ssim_y": 1.0}

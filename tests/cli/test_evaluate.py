"""`caflow evaluate`: its three forms, what it prints, and how it refuses."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.cli.evaluation_table import rich_table, tab_separated
from caflow_cli.evaluation import METRICS, Evaluation, Result
from caflow_cli.evaluation.estimates import Estimate
from caflow_cli.evaluation.settings import Cell

from .process import assert_refused

HINT = "caflow evaluate --task superres --data faces/ --metric "


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
    assert (record["schema"], record["command"], record["status"]) == (1, "evaluate", "ok")
    assert record["model"]["id"] == "m32.safetensors"
    assert (record["task"], record["images"], record["failed"]) == ("superres", 5, [])
    assert record["params"]["seed"] == 5
    assert record["metrics"]["bpd"].keys() == {"definition", "range", "units", "better"}
    assert record["estimator"]["noise_samples"] == 1
    model = record["results"][1]
    assert (model["tau"], model["candidates"], model["keep"]) == (0.5, 3, 1)
    assert float(rows[1]["rmse"]) == pytest.approx(model["values"]["rmse"]["mean"], rel=1e-5)
    assert float(rows[1]["rmse_se"]) == pytest.approx(
        model["values"]["rmse"]["standard_error"], rel=1e-2
    )


def test_a_damaged_picture_gives_the_rest_and_exit_1(run, true_pictures, model_32, tmp_path):
    import shutil

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
                np.sqrt(np.mean((pixels(output["path"]) - pixels(truth)) ** 2))
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


def pixels(path: str | Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB")).astype(float)


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


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["--metric", "fid"], "nothing to evaluate", HINT + "fid"),
        ([], "nothing to evaluate", HINT + "lpips,rmse"),
        (["a"], "1 sets of pictures", "caflow evaluate GENERATED REFERENCE"),
        (["a", "b", "--data", "d"], "not both", HINT),
        (["--task", "superres"], "no data", "--data DIR"),
        (["--data", "d", "--reference", "r"], "--reference is for JSON lines", HINT),
        (["--data", "d", "--metric", "lpisp"], "'lpisp'", "--metric lpips"),
        (["a", "b", "--metric", "bpd"], "needs a model", "--metric bpd"),
        (["--data", "d", "--tau", "warm"], "--tau is 'warm'", "--tau 0,0.5,1"),
        (["--data", "d", "-m", "1,x"], "-m is '1,x'", "-m 1,10,30"),
        (["--data", "d", "--split", "dev"], "'dev'", "--split test"),
        (["--data", "d", "--limit", "0"], "--limit is 0", "--limit 10"),
        (["--data", "d", "--protocol", "table9"], "'table9'", "--protocol table"),
        (["--data", "d", "--skip-existing"], "--skip-existing", "--save-images DIR"),
        (["--data", "d", "--resize", "9"], "--resize", "leave out"),
        (["--data", "none"], "no data at 'none'", "--data"),
        (["--task", "superes", "--data", "d"], "'superes'", "--task superres"),
        (["a", "b", "--report", "r"], "--report is for a model", HINT),
        (["a", "b", "--tau", "0.5"], "--tau is for a model", HINT),
        (["a", "b"], "no pictures at 'a'", "folder"),
    ],
)
def test_wrong_usage_exits_2_with_what_to_type(run, tmp_path, arguments, message, hint):
    result = run("evaluate", *arguments)
    assert_refused(result, 2, message)
    assert hint in result.stderr.decode().splitlines()[1]
    assert not list(tmp_path.iterdir())


def test_a_terminal_is_not_waited_for(run, monkeypatch):
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    result = run("evaluate", "--reference", "r", "--metric", "fid")
    assert_refused(result, 2, "needs JSON lines")
    assert "caflow superres *.png -o out/ --json | caflow evaluate --reference DIR" in (
        result.stderr.decode()
    )


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


def test_help_describes_every_metric_without_torch(tmp_path):
    probe = (
        "import sys; sys.argv = ['caflow', 'evaluate', '--help']\n"
        "from caflow_cli.cli import main\n"
        "try: main()\n"
        "finally: print('torch' in sys.modules, file=sys.stderr)\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", probe], cwd=tmp_path, capture_output=True, text=True
    )
    assert result.stderr.splitlines() == ["False"]
    shown = " ".join(result.stdout.split())
    for name, metric in METRICS.items():
        assert f"{name}: {' '.join(metric.definition.split())}. Range {metric.range}" in shown
    assert "Example: caflow evaluate" in shown


def small_evaluation() -> Evaluation:
    cell = Cell(0.5, 10, 1)
    values = {"rmse": Estimate(18.2012, 0.45, 9), "psnr": Estimate(float("inf"), None, 9)}
    difference = {"bicubic": {"rmse": Estimate(-2.5, 0.1, 9)}}
    results = [
        Result("bicubic", {"rmse": Estimate(20.7, 0.5, 9)}),
        Result("model", values, cell, difference),
        Result("paper, published", {"rmse": Estimate(17.56, None, 0)}),
    ]
    return Evaluation("model", 9, ["rmse", "psnr"], results, {"task": "superres"})


def test_tables_say_the_same_to_people_and_programs(monkeypatch):
    lines = list(tab_separated(small_evaluation()))
    assert lines == [
        "what\ttau\tm\tn\trmse\trmse_se\tpsnr\tpsnr_se",
        "bicubic\t\t\t\t20.7\t0.5\t\t",
        "model\t0.5\t10\t1\t18.2012\t0.45\tinf\t",
        "model - bicubic\t0.5\t10\t1\t-2.5\t0.1\t\t",
        "paper, published\t\t\t\t17.56\t\t\t",
    ]
    monkeypatch.setenv("COLUMNS", "100")
    text = rich_table(small_evaluation())
    for shown in ("rmse ↓", "psnr ↑", "18.20 ± 0.45", "∞", "− bicubic", "-2.50 ± 0.10", "17.56"):
        assert shown in text
    assert "model, τ 0.5, likeliest of 10" in text


def test_a_closed_stdout_is_an_error_of_one_line(run, true_pictures, monkeypatch):
    folder = true_pictures / "test"
    monkeypatch.setattr(sys, "stdout", None)
    done = run("evaluate", folder, folder, "--metric", "rmse")
    assert_refused(done, 1, "stdout is closed")

"""The JSON lines: their fields, and the schema in the package."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import read_provenance

from .process import assert_refused
from .results import SCHEMA, lines_of


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    ramp = np.add.outer(np.arange(32) * 4, np.arange(32) * 3).astype(np.uint8)
    Image.fromarray(ramp).convert("RGB").save(tmp_path / "x.png")
    Image.fromarray(np.where(ramp > 150, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    return tmp_path


def test_the_schema_is_one():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("command", ["superres", "colorize", "inpaint", "sample"])
def test_lines_of_restorations(run, pictures, model_files, command):
    mask = ["--mask", "mask.png"] if command == "inpaint" else []
    names = ["x.png", "bad.png"]
    given = [v for name in names for v in ("--cond", name)] if command == "sample" else names
    model = model_files["paired" if command == "sample" else command]
    shared = [command, *given, *mask, "-m", 2, "-n", 2, "-o", "out/", "--json", "--model", model]
    lines = lines_of(run(*shared))
    assert [line["status"] for line in lines] == ["ok", "error"]
    planned = lines_of(run(*shared, "--dry-run", "--overwrite"))
    assert [line["status"] for line in planned] == ["planned", "planned"]
    again = lines_of(run(*shared, "--skip-existing"))
    assert [line["status"] for line in again] == ["skipped", "error"]
    assert {line.get("mask") for line in lines + planned} == {mask[1] if mask else None}


def test_draws_in_bf16_say_so(run, pictures, model_files):
    given = ["superres", "x.png", "-m", 2, "--json", "--model", model_files["superres"], "-o"]
    done = run(*given, "a.png", "--precision", "bf16")
    if done.returncode:  # where it is slow
        assert_refused(done, 2, "no fast bfloat16")
        return
    (line,) = lines_of(done)
    said = read_provenance(pictures / "a.png")
    assert line["params"]["precision"] == said["precision"] == "bf16"
    (plain,) = lines_of(run(*given, "b.png"))
    assert "precision" not in plain["params"]
    assert "precision" not in read_provenance(pictures / "b.png")


def test_lines_of_scores(run, pictures, model_files):
    model = ["--model", model_files["inpaint"], "--mask", "mask.png", "--json"]
    pair = ["score", "--cond", "x.png", "--target"]
    (ok,) = lines_of(run(*pair, "x.png", *model))
    (failed,) = lines_of(run(*pair, "bad.png", *model))
    assert (ok["status"], failed["status"]) == ("ok", "error")
    assert ok["mask"] == failed["mask"] == "mask.png"


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 1},
        {"schema": 3},
        {"status": "fine"},
        {"surprise": 1},
        {"outputs": [{"path": "x.png"}]},
        {"model": {"id": "x", "sha256": "short"}},
        {"command": "score"},
    ],
)
def test_the_schema_refuses_what_is_not_a_line(run, pictures, model_files, change):
    shared = ["superres", "x.png", "-m", 1, "-o", "o.png", "--json"]
    (line,) = lines_of(run(*shared, "--model", model_files["superres"]))
    assert not jsonschema.Draft202012Validator(SCHEMA).is_valid({**line, **change})


def test_json_holds_every_candidate_and_the_written_ones(run, tmp_path, small_picture, model_file):
    result = run(
        *("superres", small_picture, "-m", 4, "-n", 2, "--seed", 9, "--tau", 0.8),
        *("-o", "out/", "--json", "--model", model_file),
    )
    (line,) = result.stdout.splitlines()
    record = json.loads(line)
    assert record["schema"] == 2
    assert record["command"] == "superres"
    assert record["input"] == str(small_picture)
    assert record["model"]["id"] == "small.safetensors"
    assert record["model"]["sha256"] == hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert record["params"]["tau"] == [0.8]
    assert record["params"]["candidates"] == 4
    assert record["estimator"]["noise_samples"] == 1
    assert record["estimator"]["dequantization"] == "uniform"
    assert record["elapsed_s"] > 0
    assert [c["rank"] for c in record["candidates"]] == [1, 2, 3, 4]
    assert sorted(c["seed"] for c in record["candidates"]) == [9, 10, 11, 12]
    assert [o["rank"] for o in record["outputs"]] == [1, 2]
    for output, candidate in zip(record["outputs"], record["candidates"], strict=False):
        assert Path(tmp_path, output["path"]).exists()
        assert output["log_likelihood"] == candidate["log_likelihood"]
        bits = -output["log_likelihood"] / (32 * 32 * 3 * np.log(2))
        assert output["bits_per_dim"] == pytest.approx(bits)
        assert output["score_domain"] == "image"
        assert output["scored_size"] == [32, 32]
        assert output["score_exact"] is True


@pytest.mark.parametrize("rule", ["consensus", "none"])
def test_lines_of_every_rule(run, pictures, model_files, rule):
    given = ["superres", "x.png", "-m", 3, "--json", "--overwrite", "-o", "o.png"]
    given += ["--model", model_files["superres"]]
    (line,) = lines_of(run(*given, "--rank", rule))
    (plain,) = lines_of(run(*given))
    assert line["params"]["rank"] == rule

    def scores(record):
        return {c["seed"]: c["log_likelihood"] for c in record["candidates"]}

    assert scores(line) == scores(plain)
    assert read_provenance(pictures / "o.png")["rank_by"] == "likelihood"  # of the second run
    values = [c["rank_value"] for c in line["candidates"]]
    for entry in (*line["outputs"], *line["candidates"]):
        assert (entry["rank_by"], entry["redraws"]) == (line["params"]["rank"], 0)
    if rule == "none":
        assert values == [None] * 3
    else:
        assert values[0] is not None
    if rule == "consensus":
        assert values == sorted(values)
        assert line["outputs"][0]["rank_value"] != line["outputs"][0]["rank_score"]


def test_provenance_names_model_and_seed_but_no_path(run, tmp_path, small_picture, model_file):
    run("superres", small_picture, "-m", 2, "-o", "x.png", "--model", model_file)
    record = read_provenance(tmp_path / "x.png")
    assert record["model"]["id"] == "small.safetensors"
    assert (record["schema"], record["tau"]) == (2, [0.5])
    assert (record["rank"], record["rank_by"], record["redraws"]) == (1, "likelihood", 0)
    assert record["rank_value"] == record["rank_score"]
    assert record["seed"] in (0, 1)
    assert "/" not in json.dumps(record)

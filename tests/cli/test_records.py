"""The JSON lines: their fields, and the schema in the package."""

import hashlib
import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from caflow_cli.images import read_provenance

from .results import SCHEMA, lines_of, only_record


@pytest.fixture
def images(tmp_path: Path) -> Path:
    ramp = np.add.outer(np.arange(32) * 4, np.arange(32) * 3).astype(np.uint8)
    Image.fromarray(ramp).convert("RGB").save(tmp_path / "x.png")
    Image.fromarray(np.where(ramp > 150, 255, 0).astype(np.uint8)).save(tmp_path / "mask.png")
    (tmp_path / "bad.png").write_bytes(b"bad")
    return tmp_path


@pytest.mark.parametrize("command", ["superres", "colorize", "inpaint", "sample"])
def test_lines_of_restorations(run, images, model_files, command):
    mask = ["--mask", "mask.png"] if command == "inpaint" else []
    names = ["x.png", "bad.png"]
    given = [v for name in names for v in ("--cond", name)] if command == "sample" else names
    model = model_files["paired" if command == "sample" else command]
    shared = [command, *given, *mask, "-m", 2, "-n", 2, "-o", "out/", "--json", "--model", model]
    lines = lines_of(run(*shared))
    planned = lines_of(run(*shared, "--dry-run", "--overwrite"))
    again = lines_of(run(*shared, "--skip-existing"))
    assert [[line["status"] for line in run] for run in (lines, planned, again)] == [
        *(["ok", "error"], ["planned", "error"], ["skipped", "error"])
    ]
    assert {line.get("mask") for line in lines + planned} == {mask[1] if mask else None}


def test_a_line_holds_every_candidate_and_the_written_ones(run, tmp_path, images, model_file):
    given = ["superres", "x.png", "-m", 4, "-n", 2, "--seed", 9, "--tau", 0.8]
    record = only_record(run(*given, "-o", "out/", "--json", "--model", model_file))
    assert (record["schema"], record["command"], record["input"]) == (3, "superres", "x.png")
    sha256 = hashlib.sha256(model_file.read_bytes()).hexdigest()
    assert record["model"] == {"id": "superres.safetensors", "sha256": sha256}
    assert record["params"] == {
        **{"tau": [0.8], "candidates": 4, "keep": 2, "seed": 9, "rank": "likelihood"}
    }
    assert record["estimator"]["noise_samples"] == 1
    assert record["estimator"]["dequantization"] == "uniform"
    assert record["elapsed_s"] > 0
    assert [c["rank"] for c in record["candidates"]] == [1, 2, 3, 4]
    assert sorted(c["seed"] for c in record["candidates"]) == [9, 10, 11, 12]
    assert [o["rank"] for o in record["outputs"]] == [1, 2]
    for output, candidate in zip(record["outputs"], record["candidates"], strict=False):
        own = {"path": output["path"], **candidate}
        assert output == {key: value for key, value in own.items() if key != "k"}
        bits = -output["log_likelihood"] / (128 * 128 * 3 * np.log(2))
        assert output["bits_per_dim"] == pytest.approx(bits)
        assert (output["score_domain"], output["score_exact"]) == ("image", True)
        assert output["scored_size"] == [128, 128]
        provenance = read_provenance(tmp_path / output["path"])
        assert {key: output[key] for key in output if key in provenance} == {
            key: provenance[key] for key in output if key in provenance
        }
        assert "/" not in json.dumps(provenance)  # no path
    for change in (
        {"schema": 1},
        {"status": "fine"},
        {"surprise": 1},
        {"outputs": [{"path": "x.png"}]},
        {"model": {"id": "x", "sha256": "short"}},
        {"command": "score"},
    ):
        assert not jsonschema.Draft202012Validator(SCHEMA).is_valid({**record, **change})

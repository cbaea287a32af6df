"""JSON lines of a restoring command against a folder."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from evaluation.folders import fill, rmse

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation import compare, compare_lines


def line(name: str, *paths: Path) -> str:
    outputs = [{"rank": k, "path": str(path)} for k, path in enumerate(paths, 1)]
    return json.dumps({"input": name, "status": "ok", "outputs": outputs}) + "\n"


def test_lines_are_measured_as_they_come(tmp_path, small_extractor):
    true = fill(tmp_path / "true", 2)
    made = fill(tmp_path / "made", 1, ("a_superres_01", "a_superres_02", "b_superres"))
    first = [made / f"a_superres_0{k}.png" for k in (1, 2)]
    taken = []

    def lines():
        yield line("low/a.jpg", *first)
        taken.append(1)
        yield "\n"
        yield line("b.png", made / "b_superres.png")

    done = []
    found = compare_lines(lines(), true, ["rmse", "fid"], progress=lambda n, _: done.append(n))
    assert taken
    per_picture = [
        np.mean([rmse(path, true / "a.png") for path in first]),
        rmse(made / "b_superres.png", true / "b.png"),
    ]
    values = found.results[0].values
    assert values["rmse"].mean == pytest.approx(np.mean(per_picture))
    assert (values["rmse"].count, values["fid"].count) == (2, 3)
    # All true pictures are the reference of a distance of sets.
    expected = compare(made, true, ["fid"]).results[0].values["fid"].mean
    assert values["fid"].mean == pytest.approx(expected)


def test_failures_in_lines_are_counted_and_nonsense_refused(tmp_path):
    true, made = fill(tmp_path / "true", 2), fill(tmp_path / "made", 1)
    bad = {"input": "b.png", "status": "error", "error": {"message": "no b", "hint": "look"}}
    lines = [
        line("a.png", made / "a.png"),
        json.dumps(bad),
        line("z.png", made / "c.png"),
        line("c.png", tmp_path / "gone.png"),
    ]
    found = compare_lines(lines, true, ["rmse"])
    assert [name for name, _ in found.failed] == ["b.png", "z.png", "c.png"]
    kept = compare_lines([lines[0], line("c.png")], true, ["rmse"])
    assert [(name, error.message) for name, error in kept.failed] == [
        ("c.png", "no file of it was written")
    ]
    assert "no picture 'z'" in found.failed[1][1].message
    assert found.results[0].values["rmse"].count == 1
    planned = lines[0].replace("ok", "planned")
    for nonsense in ("hello", '{"a": 1}', planned):
        with pytest.raises(CaflowError, match="line 2 of stdin") as caught:
            compare_lines([lines[0], nonsense], true, ["rmse"])
        assert caught.value.exit_code == 2
    with pytest.raises(CaflowError, match="stdin names no pictures"):
        compare_lines([], true, ["rmse"])
    fill(true / "sub", 3, ("a",))
    with pytest.raises(CaflowError, match="two pictures 'a'"):
        compare_lines(lines, true, ["rmse"])


def test_lines_of_schema_1_and_of_schema_2_are_measured_alike(tmp_path):
    true, made = fill(tmp_path / "true", 2), fill(tmp_path / "made", 1)
    score = {
        "rank_score": -22114.6,
        "log_likelihood": -22114.6,
        "bits_per_dim": 2.596,
        "score_domain": "image",
        "scored_size": [64, 64],
        "score_exact": True,
    }
    params = {
        "candidates": 1,
        "keep": 1,
        "seed": 0,
        "batch_size": None,
        "noise_samples": 1,
        "rank": "likelihood",
    }
    shared = {"command": "superres", "input": "low/a.png", "status": "ok"}
    new = {"rank_by": "likelihood", "rank_value": -22114.6, "redraws": 0}
    found = []
    for schema, tau, more in ((1, 0.8, {}), (2, [0.8], new)):
        candidate = {"rank": 1, "seed": 0, **more, **score}
        record = {
            "schema": schema,
            **shared,
            "params": {"tau": tau, **params},
            "outputs": [{"path": str(made / "a.png"), **candidate}],
            "candidates": [{"k": 0, **candidate}],
            "elapsed_s": 1.0,
        }
        found.append(compare_lines([json.dumps(record)], true, ["rmse"]).results[0].values)
    assert found[0] == found[1]
    assert found[0]["rmse"].mean == pytest.approx(rmse(made / "a.png", true / "a.png"))

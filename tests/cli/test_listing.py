"""Outputs that are listed, not written."""

from __future__ import annotations

import json

import pytest

from .results import records
from .scenes import save


@pytest.mark.parametrize("as_json", [False, True])
def test_a_dry_run_lists_outputs_and_loads_nothing(run, tmp_path, as_json):
    save(tmp_path / "x.png", 8, 8)
    flags = ["-n", 2, "--dry-run", "--model", "nowhere.safetensors"]
    done = run("superres", "x.png", "example:face", "-o", "out/", *flags, *["--json"] * as_json)
    assert done.returncode == 0, done.stderr
    names = [f"out/{stem}_superres_0{rank}.png" for stem in ("x", "face") for rank in (1, 2)]
    if as_json:
        lines = records(done)
        assert [o["path"] for line in lines for o in line["outputs"]] == names
        assert {line["status"] for line in lines} == {"planned"}
    else:
        assert done.stdout.decode().splitlines() == names
    assert [p.name for p in tmp_path.iterdir()] == ["x.png"]


def test_a_dry_run_reports_what_is_known_to_fail(run, tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").touch()
    (tmp_path / "in" / f"{'x' * 245}.png").touch()
    done = run("superres", "in", "-o", "out", "--dry-run", "--json")
    assert done.returncode == 1
    statuses = [json.loads(line)["status"] for line in done.stdout.splitlines()]
    assert statuses == ["planned", "error"]
    assert done.stderr.startswith(b"error: cannot write ")

"""Figures over all inputs: --grid, --uncertainty, score --map."""

import numpy as np
import pytest

from .process import assert_refused
from .scenes import pixels, save


@pytest.fixture
def model(model_files) -> list:
    return ["--model", model_files["superres"]]


def test_a_sheet_that_was_not_written_is_made_up_for(run, tmp_path, model):
    """As after `kill -9` behind the last image."""
    for name in "ab":
        save(tmp_path / "in" / f"{name}.png", 8, 8)
    sheets = ["--grid", "g.png", "--uncertainty", "u.png"]
    shared = ["superres", "in", "-o", "out/", "-m", 2, "--skip-existing", *sheets, *model]
    assert run(*shared).returncode == 0
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    first = tmp_path / "out" / "a_superres.png"
    first.write_bytes(b"kept")
    for name in ("g.png", "out/b_superres.png"):
        (tmp_path / name).unlink()
    again = run(*shared)
    assert (again.returncode, again.stdout) == (0, b"out/b_superres.png\n"), again.stderr
    assert b"out/a_superres.png exists and is kept" in again.stderr
    assert b"wrote g.png" in again.stderr
    assert {p: p.read_bytes() for p in tmp_path.rglob("*.png")} == {**whole, first: b"kept"}
    assert run(*shared, "--model", "./none").returncode == 0  # all is there


def test_a_map_shows_the_target_and_changes_no_score(run, tmp_path, model):
    cond, target = save(tmp_path / "a.png", 8, 8), save(tmp_path / "t.png", 32, 32, seed=1)
    shared = ["score", "--cond", cond, "--target", target, *model]
    plain, mapped = run(*shared), run(*shared, "--map", "m.png")
    assert plain.returncode == mapped.returncode == 0
    assert plain.stdout == mapped.stdout
    sheet = pixels(tmp_path / "m.png")
    assert np.array_equal(sheet[20:404:12, 12:396:12], pixels(target))
    assert_refused(run(*shared, "--map", "m.png"), 2, "'m.png' exists")

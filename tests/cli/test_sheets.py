"""Figures over all inputs: --grid, --uncertainty, score --map."""

import numpy as np
import pytest

from .process import assert_refused
from .scenes import pixels, save


@pytest.fixture
def model(model_files) -> list:
    return ["--model", model_files["superres"]]


def test_a_map_shows_the_target_and_changes_no_score(run, tmp_path, model):
    cond, target = save(tmp_path / "a.png", 8, 8), save(tmp_path / "t.png", 32, 32, seed=1)
    shared = ["score", "--cond", cond, "--target", target, *model]
    plain, mapped = run(*shared), run(*shared, "--map", "m.png")
    assert plain.returncode == mapped.returncode == 0
    assert plain.stdout == mapped.stdout
    sheet = pixels(tmp_path / "m.png")
    assert np.array_equal(sheet[20:404:12, 12:396:12], pixels(target))
    assert_refused(run(*shared, "--map", "m.png"), 2, "'m.png' exists")

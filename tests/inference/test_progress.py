"""What is told of the work on candidates, step by step."""

from __future__ import annotations

import helpers
import numpy as np
import pytest

from caflow_cli.inference import conditions, restore_with
from caflow_cli.inference.progress import Done, Steps
from caflow_cli.inference.tiling import plan_tiles
from caflow_cli.sampling import Sampling


@pytest.mark.parametrize(
    ("done", "text"),
    [
        (Done(1, 2), "drawn"),
        (Done(1, 2, candidates=(2, 2, 3)), "candidate 2 of 3 drawn"),
        (Done(1, 2, "scored", (1, 3, 3), (2, 5)), "candidates 1-3 of 3, window 2 of 5 scored"),
        (Done(1, 2, "drawn", (2, 2, 3), tile=(4, 9)), "candidate 2 of 3, tile 4 of 9 drawn"),
    ],
)
def test_a_text_names_what_there_are_several_of(done, text):
    assert str(done) == text


def test_steps_are_counted_and_more_may_come():
    told = []
    steps = Steps(told.append, 2)
    steps.enter((1, 2, 4), (1, 3))
    steps.step("drawn", (1, 2))
    steps.more(3)
    steps.enter(part=(2, 3))
    steps.step("scored")
    assert told == [
        Done(1, 2, "drawn", (1, 2, 4), (1, 3), (1, 2)),
        Done(2, 5, "scored", (1, 2, 4), (2, 3)),
    ]
    Steps().step("drawn")  # to nobody


def test_every_tile_is_told_as_it_is_drawn_and_as_it_is_scored(models_32, monkeypatch):
    monkeypatch.setattr(
        conditions, "plan_tiles", lambda size, multiple: plan_tiles(size, multiple, 224)
    )
    image = helpers.smooth_image(1, 3, (8, 80), 1)[0].permute(1, 2, 0).numpy()
    told = []
    sampling = Sampling(tau=0.5, candidates=2)
    restore_with(models_32["superres"], np.ascontiguousarray(image), sampling, None, told.append)
    tiles = told[0].tile[1]
    assert tiles == 4
    assert [one.steps for one in told] == list(range(1, 2 * 2 * tiles + 1))
    assert {one.total for one in told} == {len(told)}
    for what in ("drawn", "scored"):
        numbers = sorted(one.tile[0] for one in told if one.what == what)
        assert numbers == sorted([*range(1, tiles + 1)] * 2)
    assert told[-1].candidates == (1, 2, 2)

"""One picture with its candidates."""

import numpy as np
import pytest

from caflow_cli.app.given import read_picture
from caflow_cli.app.limits import Limits
from caflow_cli.app.work import Settings, Stopped, Work, view
from caflow_cli.images import decode, read_provenance


@pytest.fixture
def work(models, small_photo, tmp_path):
    loaded = models.load("superres.safetensors")
    settings = Settings("0.6", 2, 2, 5)
    given = read_picture(small_photo, Limits())
    return Work(loaded, "my photo.png", given, None, settings, tmp_path / "work")


def test_candidates_come_one_by_one_and_more_can_be_drawn(work):
    assert [len(result.ranked) for result in work.draw()] == [1, 2]
    assert [len(result.ranked) for result in work.draw(1)] == [3]
    values = [one.score.rank_score for one in work.result.ranked]
    assert values == sorted(values, reverse=True)
    assert sorted(one.seed for one in work.result.ranked) == [5, 6, 7]


def test_the_command_says_what_was_done(work):
    list(work.draw())
    assert work.command == (
        "caflow superres 'my photo.png' --model superres.safetensors --tau 0.6 -m 2 -n 2 --seed 5"
    )


def test_a_stop_ends_the_drawing_and_keeps_what_is_drawn(work):
    drawing = work.draw()
    next(drawing)
    work.stop()
    with pytest.raises(Stopped):
        next(drawing)
    assert work.drawn == 1
    work.go_on(1, 2)
    assert [len(result.ranked) for result in work.draw(1)] == [2]


def test_files_of_a_candidate(work):
    list(work.draw())
    best = work.result.ranked[0]
    path = work.write(best)
    assert path.endswith("my photo_superres_01.png")
    assert read_provenance(work.folder / "2" / "my photo_superres_01.png")["candidates"] == 2
    np.testing.assert_array_equal(decode(path).rgb, best.image)
    before, after = work.before_after(best)
    assert before.shape == after.shape == (512, 512, 3)
    assert work.small(best) == work.small(best)
    spread, lines = work.write_spread()
    assert decode(spread).rgb.size
    assert lines[0].startswith("Where candidates differ: standard deviation over 2 candidates")
    assert work.write_given() == []


def test_a_view_fits_a_screen():
    assert view(np.zeros((16, 32, 3), np.uint8)).shape == (256, 512, 3)
    assert view(np.zeros((2048, 4096, 3), np.uint8)).shape == (512, 1024, 3)

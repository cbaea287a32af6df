"""What the page does, without the page."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from caflow_cli.app.given import Painting
from caflow_cli.app.work import Settings
from caflow_cli.images import decode

NOTHING = Painting()
TWO = Settings(None, 2)


def painted(size=64, rows=slice(16, 48), columns=slice(16, 48)) -> Painting:
    layer = np.zeros((size, size, 4), np.uint8)
    layer[rows, columns] = (0, 0, 0, 255)
    return Painting([layer], layer)


def draw(desk, task, picture, painting=NOTHING, settings=TWO, session="a"):
    model = f"{task}.safetensors"
    picture = None if picture is None else str(picture)
    return list(desk.draw(session, model, picture, painting, settings))


def test_candidates_appear_by_rank_as_they_are_drawn(desk, small_photo, monkeypatch):
    monkeypatch.setattr("caflow_cli.app.desk._EVERY", 0)
    views = draw(desk, "superres", small_photo, settings=Settings("0.9", 4, 2))
    counts = [len(one.candidates) for one in views]
    assert counts == [0, 0, 1, 2, 3, 4]
    assert [one.busy for one in views] == [True] * 5 + [False]
    assert re.search(r"2 of 4, [\d.]+ s left", views[3].status)
    last = views[-1]
    assert "4 candidates" in last.status
    values = [float(re.match(r"#\d: (-?[\d.]+) nats, ", text)[1]) for _, text in last.candidates]
    assert values == sorted(values, reverse=True)
    assert [Path(path).name for path in last.files] == [
        "small_superres_01.png",
        "small_superres_02.png",
    ]
    assert last.chosen.file == last.files[0]
    assert last.chosen.before.shape == last.chosen.after.shape
    assert decode(last.spread).rgb.size


def test_more_are_ranked_among_the_first(desk, small_photo):
    draw(desk, "superres", small_photo)
    *_, last = desk.more("a", 3)
    assert len(last.candidates) == 5
    assert "-m 5" in last.command
    assert desk.choose("a", 4).text.startswith("<p>Candidate #5 of 5: ")
    assert desk.choose("a", 5) is None
    assert desk.choose("b", 0) is None
    *_, refused = desk.more("a", 4)
    assert "9 candidates are more than 8" in refused.status
    assert len(refused.candidates) == 5


def test_a_hole_is_filled_and_all_else_stays(desk, photo):
    last = draw(desk, "inpaint", photo, painted())[-1]
    result, mask = (decode(path).rgb for path in last.files)
    assert Path(last.files[1]).name == "hole.png"
    hole = mask[..., 0] == 255
    assert hole.sum() == 16 * 16
    np.testing.assert_array_equal(result[~hole], decode(photo).rgb[~hole])
    assert (result[hole] != decode(photo).rgb[hole]).any()


def test_a_map_is_drawn_on_nothing_or_on_the_picture(desk, photo):
    side = desk.models.load("paired.safetensors").model.config.task.size
    last = draw(desk, "paired", None, painted())[-1]
    assert Path(last.files[1]).name == "map.png"
    assert decode(last.files[1]).rgb.shape == decode(last.files[0]).rgb.shape == (side, side, 3)
    assert "sample --cond map.png" in last.command
    assert len(draw(desk, "paired", photo)[-1].files) == 1  # the picture as it is


@pytest.mark.parametrize(
    ("task", "picture", "painting", "settings", "message"),
    [
        ("superres", None, NOTHING, TWO, "there is no picture"),
        ("paired", None, NOTHING, TWO, "there is no picture"),
        ("inpaint", "photo", NOTHING, TWO, "there is no hole to fill"),
        ("superres", "photo", NOTHING, TWO, "make 128x128"),
        ("superres", "text", NOTHING, TWO, "is not a picture"),
        ("superres", "small", NOTHING, Settings("warm"), "tau"),
        ("superres", "small", NOTHING, Settings(None, 9), "9 candidates are more than 8"),
        ("superres", "small", NOTHING, Settings(None, 2, 3), "cannot keep 3 of 2"),
        ("superres", "small", NOTHING, Settings(None, 2, 1, -1), "seed -1 is out of range"),
    ],
)
def test_a_mistake_shows_as_message_and_hint(
    desk, photo, small_photo, tmp_path, task, picture, painting, settings, message
):
    text = tmp_path / "<img src=x onerror=alert(1)>.png"
    text.write_text("no picture")
    path = {"photo": photo, "small": small_photo, "text": text, None: None}[picture]
    last = draw(desk, task, path, painting, settings)[-1]
    assert message in last.status
    assert "<br>" in last.status  # the hint
    assert "Traceback" not in last.status
    assert "<img" not in last.status
    assert not last.busy


def test_a_defect_is_one_line(desk, small_photo, monkeypatch):
    def broken(_):
        raise KeyError("secret")

    monkeypatch.setattr(desk.models, "load", broken)
    status = draw(desk, "superres", small_photo)[-1].status
    assert "KeyError" in status
    assert "defect" in status


def test_a_stop_keeps_what_is_drawn(desk, small_photo, monkeypatch):
    monkeypatch.setattr("caflow_cli.app.desk._EVERY", 0)
    views = desk.draw("a", "superres.safetensors", str(small_photo), NOTHING, Settings(None, 8))
    for one in views:
        if len(one.candidates) == 2:
            desk.stop("a")
        last = one
    assert "stopped: 2 candidates" in last.status
    assert len(last.candidates) == 2
    assert len(list(desk.more("a", 1))[-1].candidates) == 3


def test_who_leaves_ends_the_work_and_its_files_go(desk, small_photo, monkeypatch):
    monkeypatch.setattr("caflow_cli.app.desk._EVERY", 0)
    views = desk.draw("a", "superres.safetensors", str(small_photo), NOTHING, Settings(None, 8))
    shown = []
    for one in views:
        shown.append(len(one.candidates))
        if shown[-1] == 1:
            desk.leave("a")
    assert max(shown) == 1
    assert not any(path.is_dir() for path in (desk._folder).iterdir())


def test_who_leaves_during_the_last_candidate_is_shown_none_of_its_files(
    desk, small_photo, monkeypatch
):
    monkeypatch.setattr("caflow_cli.app.desk._EVERY", 0)
    views = desk.draw("a", "superres.safetensors", str(small_photo), NOTHING, Settings(None, 2))
    for one in views:
        assert not one.files
        if len(one.candidates) == 1:
            monkeypatch.setattr(desk._works["a"], "stop", lambda: None)  # which comes too late
            desk.leave("a")


def test_visitors_do_not_see_each_other_and_the_oldest_work_makes_room(desk, small_photo):
    for session in ("a", "b"):
        draw(desk, "superres", small_photo, session=session)
    assert desk.choose("a", 0).file != desk.choose("b", 0).file
    for number in range(desk.limits.works - 1):
        desk._works[f"old {number}"] = desk._works["b"]
    draw(desk, "superres", small_photo, session="c")
    assert desk.choose("a", 0) is None
    desk.close()
    assert desk._works == {}


def test_a_picture_is_scored(desk, small_photo, tmp_path):
    last = draw(desk, "superres", small_photo)[-1]
    scored = desk.score("a", "superres.safetensors", str(small_photo), NOTHING, last.chosen.file)
    number = re.search(r"-?[\d.]+ nats", last.candidates[0][1])[0]
    assert number in scored  # of the file that was written, the same number
    assert "0 of the 2 candidates drawn last are likelier" in scored
    elsewhere = desk.score("b", "superres.safetensors", str(small_photo), NOTHING, last.chosen.file)
    assert "likelier" not in elsewhere
    missing = desk.score("a", "superres.safetensors", str(small_photo), NOTHING, None)
    assert "no picture to score" in missing
    Image.new("RGB", (5, 5)).save(tmp_path / "five.png")
    other = str(tmp_path / "five.png")
    assert "32x32" in desk.score("a", "superres.safetensors", str(small_photo), NOTHING, other)


def test_a_model_says_what_it_makes_of_a_picture(desk, photo, small_photo):
    text, below = desk.describe("superres.safetensors", str(small_photo))
    assert "8×8 pixels, the result 32×32" in text
    assert below is None
    assert "make 128x128" in desk.describe("superres.safetensors", str(photo))[0]
    assert desk.describe("inpaint.safetensors", str(photo))[1].shape == (512, 512, 3)
    assert desk.describe("inpaint.safetensors", None) == ("", None)
    assert desk.describe("paired.safetensors", None)[1].min() == 255


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_every_task_has_an_example(desk, task):
    assert decode(desk.example(f"{task}.safetensors")).rgb.size

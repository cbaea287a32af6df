"""What the page does, without the page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from caflow_cli.inference.harm import Harm
from caflow_cli.inference.input_features import FEATURES
from PIL import Image

from caflow_cli.app.given import Painting
from caflow_cli.app.work import Settings
from caflow_cli.images import decode
from caflow_cli.inference import task_of

NOTHING = Painting()
TWO = Settings(None, 2)


def painted(size=64, rows=slice(16, 48), columns=slice(16, 48)) -> Painting:
    layer = np.zeros((size, size, 4), np.uint8)
    layer[rows, columns] = (0, 0, 0, 255)
    return Painting([layer])


def draw(desk, task, picture, painting=NOTHING, settings=TWO, session="a"):
    model = f"{task}.safetensors"
    picture = None if picture is None else str(picture)
    return list(desk.draw(session, model, picture, painting, settings))


def more(desk, picture, settings=TWO, model="superres.safetensors"):
    return list(desk.more("a", model, str(picture), settings))


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
    assert "Where candidates differ: standard deviation over 4 candidates" in last.spread_text
    assert last.painted == []
    assert "small.png, superres.safetensors, τ 0.9, Seed 0" in last.title
    assert "input" in last.chosen.text  # which side of the slider it is


def test_more_are_ranked_among_the_first(desk, small_photo):
    draw(desk, "superres", small_photo)
    *_, last = more(desk, small_photo, Settings(None, 3, 4))
    assert len(last.candidates) == 5
    assert len(last.files) == 4  # N as it is now
    assert "-m 5 -n 4" in last.command
    assert re.search(r"5 candidates, 3 of them new in [\d.]+ s", last.status)
    assert "<p>Candidate #5 of 5: " in desk.choose("a", 4).text
    assert desk.choose("a", 5) is None
    assert desk.choose("b", 0) is None
    for settings, message in (
        (Settings(None, 4), "9 candidates are more than 8"),
        (Settings(None, 0), "cannot draw 0 candidates"),
        (Settings(None, 1, 7), "cannot keep 7 of 6 candidates</b><br>N = 6<"),
    ):
        (refused,) = more(desk, small_photo, settings)
        assert message in refused.status
        assert refused.stays
    assert desk.choose("a", 4)


def test_more_is_refused_where_a_choice_is_another_since(desk, photo, small_photo, tmp_path):
    superres, given = "superres.safetensors", str(small_photo)
    assert desk.compare("a", superres, given, TWO) is None
    assert draw(desk, "superres", small_photo, settings=Settings("0.70", 2))[-1].may_go_on
    same = Settings("0.7", 5, 2)  # M and N may be others
    assert desk.compare("a", superres, given, same).may_go_on
    other = str(tmp_path / "other.png")
    for model, picture, settings, changed in (
        (superres, given, Settings("0.8", 2), "τ has changed"),
        (superres, given, Settings("warm", 2), "τ has changed"),
        (superres, given, Settings("0.7", 2, 1, 1), "Seed has changed"),
        (superres, other, Settings("0.7", 2), "The picture has changed"),
        ("colorize.safetensors", other, Settings("0.9"), "The model and the picture have changed"),
    ):
        seen = desk.compare("a", model, picture, settings)
        assert f"{changed} since: these are of small.png" in seen.title
        assert not seen.may_go_on
        (refused,) = more(desk, picture, settings, model)
        assert f"{changed} since" in refused.status
        assert refused.stays
    assert len(more(desk, small_photo, same)[-1].candidates) == 7


def test_more_is_refused_where_it_is_painted_anew(desk, photo):
    inpaint, given = "inpaint.safetensors", str(photo)
    once, twice = (replace(TWO, paintings=count) for count in (1, 2))
    assert draw(desk, "inpaint", photo, painted(), once)[-1].may_go_on
    assert desk.compare("a", inpaint, given, once).may_go_on
    assert "The painting has changed since" in desk.compare("a", inpaint, given, twice).title
    (refused,) = more(desk, photo, twice, inpaint)
    assert "The painting has changed since" in refused.status
    assert draw(desk, "inpaint", photo, painted(), twice)[-1].may_go_on
    assert draw(desk, "colorize", photo, settings=once)[-1].may_go_on
    assert desk.compare("a", "colorize.safetensors", given, twice).may_go_on  # nothing is painted


def test_what_is_painted_while_a_drawing_waits_is_another_painting(desk, photo):
    inpaint, given = "inpaint.safetensors", str(photo)
    once, twice = (replace(TWO, paintings=count) for count in (1, 2))
    draw(desk, "inpaint", photo, painted(), once)
    views = desk.draw("a", inpaint, given, painted(), once)
    next(views)  # the model is still to be read
    desk.compare("a", inpaint, given, twice)
    list(views)
    seen = desk.compare("a", inpaint, given, twice)
    assert "The painting has changed since" in seen.title
    assert not seen.may_go_on
    (refused,) = more(desk, photo, twice, inpaint)
    assert refused.stays


def test_a_change_during_the_drawing_shows_behind_it(desk, small_photo, monkeypatch):
    monkeypatch.setattr("caflow_cli.app.desk._EVERY", 0)
    for view in desk.draw("a", "superres.safetensors", str(small_photo), NOTHING, TWO):
        last = view
        if len(view.candidates) == 1:
            seen = desk.compare("a", "superres.safetensors", str(small_photo), Settings("0.1"))
            assert not seen.may_go_on
    assert "τ has changed since" in last.title
    assert not last.may_go_on


def test_what_was_drawn_before_stays_until_the_next_is_drawn(desk, small_photo):
    draw(desk, "superres", small_photo)
    *_, mistaken = draw(desk, "superres", small_photo, settings=Settings("warm"))
    assert mistaken.stays
    assert desk.choose("a", 1)
    views = desk.draw("a", "superres.safetensors", str(small_photo), NOTHING, TWO)
    assert next(views).stays
    assert desk.choose("a", 1)  # while picture and model are read
    begun = next(views)
    assert not begun.stays
    assert begun.candidates == []
    assert len(list(views)[-1].candidates) == 2


def test_the_candidate_that_was_chosen_stays_in_view(desk, small_photo):
    draw(desk, "superres", small_photo, settings=Settings(None, 3))
    seed = re.search(r"Seed \d+", desk.choose("a", 2).text)[0]
    for view in more(desk, small_photo, Settings(None, 3)):
        assert f". {seed}, τ" in view.chosen.text


def test_notes_of_the_input_show_before_the_drawing(desk, photo, monkeypatch):
    counted = []

    def counting(*arguments):
        counted.append(1)
        return input_notes(*arguments)

    from caflow_cli.inference.notes import input_notes

    from caflow_cli.app import work

    monkeypatch.setattr(work, "input_notes", counting)
    _, *views = draw(desk, "colorize", photo)
    for view in views:
        assert "Its own colours are dropped, and others drawn" in view.title
    assert len(counted) == 1
    loaded, few = desk.models.load("colorize.safetensors"), (1.0,) * len(FEATURES)
    harm = Harm("grey", few, few, (*few, 1.0), 0.0, 1.0, 0.0)
    monkeypatch.setattr(desk.models, "load", lambda _: replace(loaded, harm=harm))
    assert "Warning: " in draw(desk, "colorize", photo)[1].title


def test_a_hole_is_filled_and_all_else_stays(desk, photo):
    last = draw(desk, "inpaint", photo, painted())[-1]
    result, mask = (decode(path).rgb for path in (*last.files, *last.painted))
    assert Path(last.painted[0]).name == "hole.png"
    hole = mask[..., 0] == 255
    assert hole.sum() == 16 * 16
    np.testing.assert_array_equal(result[~hole], decode(photo).rgb[~hole])
    assert (result[hole] != decode(photo).rgb[hole]).any()


def test_a_map_is_drawn_on_nothing_or_on_the_picture(desk, photo):
    side = desk.models.load("paired.safetensors").model.config.task.size
    last = draw(desk, "paired", None, painted())[-1]
    assert Path(last.painted[0]).name == "map.png"
    assert decode(last.painted[0]).rgb.shape == decode(last.files[0]).rgb.shape == (side, side, 3)
    assert "sample --cond map.png" in last.command
    assert draw(desk, "paired", photo)[-1].painted == []  # the picture as it is


@pytest.mark.parametrize(
    ("task", "picture", "painting", "settings", "message"),
    [
        ("superres", None, NOTHING, TWO, "there is no picture"),
        ("paired", None, NOTHING, TWO, "there is no picture"),
        ("inpaint", "photo", NOTHING, TWO, "there is no hole to fill"),
        ("superres", "photo", NOTHING, TWO, "make 128x128"),
        ("superres", "text", NOTHING, TWO, "is not an image"),
        ("superres", "small", NOTHING, Settings("warm"), "τ = 0.5"),
        ("superres", "small", NOTHING, Settings("1/2/3/4/5/6/7/8/9"), "τ with one value"),
        ("superres", "small", NOTHING, Settings(None, 0), "M = 10"),
        ("superres", "small", NOTHING, Settings(None, 2.7), "M is 2.7, which is no whole number"),
        ("superres", "small", NOTHING, Settings(None, 2, 0), "N = 1"),
        ("superres", "small", NOTHING, Settings(None, 2, 3), "M = 3, N = 3"),
        ("superres", "small", NOTHING, Settings(None, 2, 1.5), "N is 1.5"),
        ("superres", "small", NOTHING, Settings(None, 2, 1, 1.5), "Seed is 1.5"),
        ("superres", "small", NOTHING, Settings(None, 2, 1, 1e19), "Seed has too many digits"),
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
    assert not re.search(r"--tau|--seed|-[mn] ", last.status)  # the page has fields
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
    assert len(more(desk, small_photo, Settings(None, 1))[-1].candidates) == 3


def test_a_stop_before_the_first_of_more_candidates_keeps_the_n_that_is_said(desk, small_photo):
    assert len(draw(desk, "superres", small_photo, settings=Settings(None, 3))[-1].files) == 1
    settings = Settings(None, 2, 2)
    for view in desk.more("a", "superres.safetensors", str(small_photo), settings):
        desk.stop("a")
        last = view
    assert "stopped: 3 candidates" in last.status
    assert "-m 3 -n 2" in last.command
    assert len(last.files) == 2


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


def test_a_model_says_what_it_makes_of_a_picture(desk, photo, small_photo, tmp_path, monkeypatch):
    given = desk.describe("superres.safetensors", str(small_photo))
    assert "8×8 pixels, the result 32×32" in given.text
    assert given.sheet is None
    assert "make 128x128" in desk.describe("superres.safetensors", str(photo)).text
    assert desk.describe("inpaint.safetensors", str(photo)).sheet.shape == (512, 512, 3)
    given = desk.describe("inpaint.safetensors", None)
    assert given.text == ""
    assert given.sheet is None
    given = desk.describe("paired.safetensors", None)
    assert "32×32 pixels" in given.text
    assert given.sheet.min() == 255
    assert given.pixel == 512 / 32
    wide = str(tmp_path / "wide.png")
    Image.new("RGB", (96, 64)).save(wide)
    given = desk.describe("paired.safetensors", wide)
    assert "96×64 pixels, the result 48×32" in given.text
    assert given.pixel == 512 / 48
    native = replace(task_of(desk.models.load("paired.safetensors").model), native=True)
    monkeypatch.setattr("caflow_cli.app.desk.task_of", lambda _: native)
    given = desk.describe("paired.safetensors", wide)
    assert "<p>96×64 pixels</p>" in given.text
    assert given.pixel == 512 / 96


@pytest.mark.parametrize("task", ["colorize", "paired"])
def test_a_long_picture_that_the_model_enlarges_is_refused(desk, tmp_path, task):
    long, most = tmp_path / "long.png", tmp_path / "most.png"
    Image.new("RGB", (1000, 2)).save(long)  # 16000x32 at the model's scale
    Image.new("RGB", (600, 2)).save(most)  # 9600x32
    message = "1000x2 pixels make 16000x32, which are more than 0.01 megapixels"
    assert message in desk.describe(f"{task}.safetensors", str(long)).text
    assert message in draw(desk, task, long)[-1].status
    assert desk._works == {}
    desk.limits = replace(desk.limits, megapixels=0.32)
    assert "more than" not in desk.describe(f"{task}.safetensors", str(most)).text


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
def test_every_task_has_an_example(desk, task):
    assert decode(desk.example(f"{task}.safetensors")).rgb.size

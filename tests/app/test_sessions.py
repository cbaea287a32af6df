"""What the page does, without the page."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch
from cracked import cracked, faded
from PIL import Image
from small_fields import save_model

from caflow_cli.app.inputs import Fields, Limits, painted_mask, temperature_at, uploaded
from caflow_cli.app.sessions import Models, Sessions
from caflow_cli.assets import example_path
from caflow_cli.config import Temperature
from caflow_cli.damage import confidence_of, find_damage, snapped
from caflow_cli.damage.find import confidence
from caflow_cli.errors import CaflowError
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.images import decode, read_image, read_provenance
from caflow_cli.restoration import predicted, prepare
from caflow_cli.restoration.figures import thumbnail
from caflow_cli.tasks import TASKS, resize


def stroke(height=64, width=64, rows=slice(16, 48), columns=slice(16, 48), color=(0, 0, 0)):
    layer = np.zeros((height, width, 4), np.uint8)
    layer[rows, columns] = (*color, 255)
    return layer


def fields(task, image=None, candidates=2, **values) -> Fields:
    path = None if image is None else str(image)
    return Fields(f"{task}.safetensors", path, candidates=candidates, **values)


def draw(sessions, *given, session="a", **values) -> list[dict]:
    return list(sessions.draw(session, fields(*given, **values)))


def more(sessions, count, keep=None) -> list[dict]:
    return list(sessions.more("a", fields("superres", candidates=count, keep=keep)))


def shown_in(update: dict) -> int:
    return len(update.get("gallery", {}).get("value") or [])


@pytest.fixture
def every_update(monkeypatch):
    """Each candidate shows, however quickly the next one follows."""
    monkeypatch.setattr("time.monotonic", iter(range(10**6)).__next__)


def test_candidates_appear_by_rank_as_they_are_drawn(sessions, small_photo, every_update):
    updates = draw(sessions, "superres", small_photo, 4, tau="0.9", keep=2)
    assert [shown_in(update) for update in updates[1:]] == [0, 1, 2, 3, 4]
    views = [update.get("view") for update in updates[1:4]]
    assert views == [None, "Comparison", None]  # at the first candidate
    assert re.search(r"2 of 4, [\d.]+ s left", updates[3]["status"])
    assert [update["end"]["interactive"] for update in updates[1:]] == [True] * 4 + [False]
    assert [update["more"]["interactive"] for update in updates[1:]] == [False] + [True] * 4
    last = updates[-1]
    assert "4 candidates" in last["status"]
    values = [
        float(re.match(r"#\d: (-?[\d.]+) nats, ", text)[1]) for _, text in last["gallery"]["value"]
    ]
    assert values == sorted(values, reverse=True)
    names = [Path(path).name for path in last["files"]["value"]]
    assert names == ["small_superres_01.png", "small_superres_02.png"]
    assert last["file"]["value"] == last["files"]["value"][0]
    before, after = last["slider"]["value"]
    assert before.shape == after.shape
    assert read_image(last["spread"]["value"]).size
    label = last["spread"]["label"]
    assert "Where candidates differ: standard deviation over 4 candidates" in label
    assert "small.png, superres.safetensors, τ 0.9, seed 0" in last["title"]
    assert "input" in last["text"]  # which side of the slider it is


def test_more_are_ranked_among_the_first(sessions, small_photo):
    assert "nothing has been drawn yet" in more(sessions, 1)[-1]["status"]
    draw(sessions, "superres", small_photo)
    last = more(sessions, 3, keep=4)[-1]
    assert len(last["gallery"]["value"]) == 5
    assert len(last["files"]["value"]) == 4  # of all
    assert "-m 5 -n 4" in last["command"]["value"]
    assert re.search(r"5 candidates, 3 of them new in [\d.]+ s", last["status"])
    assert "<p>Candidate #5 of 5: " in sessions.choose("a", 4)["text"]
    assert sessions.choose("a", 5) == sessions.choose("b", 0) == {}
    for count, keep, message in (
        (4, 1, "9 candidates are more than the limit of 8"),
        (0, 1, "cannot draw 0 candidates"),
        (1, 7, "cannot keep 7 of 6 candidates"),
    ):
        refused = more(sessions, count, keep)[-1]
        assert message in refused["status"]
        assert len(refused["gallery"]["value"]) == 5
    seed = re.search(r"Seed \d+", sessions.choose("a", 2)["text"])[0]
    assert f". {seed}, τ" in more(sessions, 1)[-1]["text"]  # the chosen one stays in view


@pytest.mark.parametrize("times", [1.1, 3])
def test_what_diverged_is_never_shown(tmp_path, small_photo, times):
    path = tmp_path / "superres.safetensors"
    model = helpers.broken(helpers.guided_model(), times)
    model.save(path)
    (tmp_path / "files").mkdir()
    models = Models([str(path)], torch.device("cpu"))
    sessions = Sessions(models, Limits(0.01, 1, 8, 2), tmp_path / "files")
    mean = predicted(prepare(model, decode(small_photo)))
    for tau in ("0", "1"):
        last = draw(sessions, "superres", small_photo, 3, tau=tau, keep=3)[-1]
        images = [read_image(path) for path in last["files"]["value"]]
        lost = [read_provenance(path).get("predicted") for path in last["files"]["value"]]
        assert bool(any(lost)) == ("candidates diverged at tau" in last["title"])
        assert all(lost) or times < 3
        for image, windows in zip(images, lost, strict=True):
            assert not windows or np.array_equal(image, mean)
        if any(lost):
            assert "blank where a candidate is the guide's prediction" in last["spread"]["label"]
            assert "not scored" in last["gallery"]["value"][-1][1]


def test_more_are_drawn_after_another_visitor_has_drawn(sessions, small_photo):
    alone = draw(sessions, "superres", small_photo)
    alone = more(sessions, 1)
    draw(sessions, "superres", small_photo)
    draw(sessions, "superres", small_photo, session="b")
    again = more(sessions, 1)
    assert [label for _, label in again[-1]["gallery"]["value"]] == [
        label for _, label in alone[-1]["gallery"]["value"]
    ]


def test_an_upload_that_is_gone_is_to_be_added_again(sessions, tmp_path):
    last = draw(sessions, "superres", tmp_path / "gone.png")[-1]
    assert "the image is no longer here" in last["status"]
    assert "there is no image" in sessions.find_damage(fields("inpaint"))["status"]


def test_the_command_of_a_large_hole_accepts_the_mask(sessions, photo):
    given = {"layers": [stroke(rows=slice(0, 60), columns=slice(0, 60))], "candidates": 1}
    assert "--mask-as-is" in draw(sessions, "inpaint", photo, **given)[-1]["command"]["value"]
    given["layers"] = [stroke()]
    assert "--mask-as-is" not in draw(sessions, "inpaint", photo, **given)[-1]["command"]["value"]


def test_what_was_drawn_stays_until_the_next_is_drawn(sessions, small_photo):
    draw(sessions, "superres", small_photo)
    mistaken = draw(sessions, "superres", small_photo, tau="warm")[-1]
    assert list(mistaken) == ["status"]
    assert sessions.choose("a", 1)
    updates = sessions.draw("a", fields("superres", small_photo))
    assert list(next(updates)) == ["status"]
    assert sessions.choose("a", 1)  # while image and model are read
    assert next(updates)["gallery"]["value"] is None
    assert len(list(updates)[-1]["gallery"]["value"]) == 2


def test_a_map_is_translated_as_it_is(sessions, photo):
    last = draw(sessions, "paired", photo)[-1]
    assert [Path(path).name for path in last["files"]["value"]] == ["my photo_sample_01.png"]
    assert "sample --cond 'my photo.png'" in last["command"]["value"]


@pytest.mark.parametrize(
    ("task", "image", "values", "message"),
    [
        ("superres", None, {}, "there is no image"),
        ("inpaint", "photo", {}, "there is no hole to fill"),
        ("superres", "text", {}, "is not an image"),
        ("superres", "small", {"tau": "warm"}, "temperature = 0.5"),
        ("superres", "small", {"candidates": 0}, "candidates = 10"),
        ("superres", "small", {"keep": 0}, "keep = 1"),
        ("superres", "small", {"keep": 3}, "cannot keep 3 of 2"),
        ("superres", "small", {"candidates": 9}, "9 candidates are more than the limit of 8"),
        ("superres", "small", {"seed": -1}, "seed -1 is out of range"),
    ],
)
def test_a_mistake_shows_as_message_and_hint(
    sessions, photo, small_photo, tmp_path, task, image, values, message
):
    text = tmp_path / "<img src=x onerror=alert(1)>.png"
    text.write_text("no image")
    path = {"photo": photo, "small": small_photo, "text": text, None: None}[image]
    (_, last) = draw(sessions, task, path, **values)
    assert message in last["status"]
    assert "<br>" in last["status"]  # the hint
    assert "Traceback" not in last["status"]
    assert "<img" not in last["status"]
    assert not re.search(r"--tau|--seed|-[mn] ", last["status"])  # the page has fields


def test_a_defect_is_one_line(sessions, small_photo):
    status = draw(sessions, "no model that the page offers", small_photo)[-1]["status"]
    assert "KeyError" in status


def test_only_other_settings_make_a_result_outdated(sessions, photo, small_photo):
    assert sessions.compare("a", fields("superres", small_photo)) == {}
    given = fields("inpaint", photo, layers=[stroke()], seed=3)
    *_, last = sessions.draw("a", given)
    assert "Settings have changed" not in last["title"]
    same = replace(given, layers=[stroke(color=(255, 45, 85))], candidates=5)
    assert "Settings have changed" not in sessions.compare("a", same)["title"]
    moved = stroke(rows=slice(20, 48))
    for now in (
        replace(given, seed=4),
        replace(given, tau="0.9"),
        replace(given, image=str(small_photo)),
        replace(given, model="superres.safetensors"),
        replace(given, layers=[moved]),
        replace(given, layers=[]),
    ):
        assert "Settings have changed" in sessions.compare("a", now)["title"]
    assert "Settings have changed" in list(sessions.more("a", given))[-1]["title"]
    assert "Settings have changed" not in sessions.compare("a", given)["title"]


def test_a_stop_keeps_what_is_drawn(sessions, small_photo, every_update):
    for update in sessions.draw("a", fields("superres", small_photo, 8)):
        if shown_in(update) == 2:
            sessions.stop("a")
        last = update
    assert "stopped: 2 candidates" in last["status"]
    assert len(last["gallery"]["value"]) == 2
    for update in sessions.more("a", fields("superres", candidates=1, keep=2)):
        sessions.stop("a")  # before its first candidate
        last = update
    assert "stopped: 2 candidates" in last["status"]
    assert len(last["files"]["value"]) == 2
    assert len(more(sessions, 1)[-1]["gallery"]["value"]) == 3


def test_leaving_ends_the_job_and_the_oldest_makes_room(
    sessions, small_photo, tmp_path, every_update
):
    shown = []
    for update in sessions.draw("a", fields("superres", small_photo, 8)):
        shown.append(shown_in(update))
        if shown[-1] == 1:
            sessions.leave("a")
    assert max(shown) == 1
    assert list((tmp_path / "files").iterdir()) == []
    for session in "abc":  # two are kept
        draw(sessions, "superres", small_photo, session=session)
    assert sessions.choose("a", 0) == {}
    assert sessions.choose("b", 0)["file"] != sessions.choose("c", 0)["file"]
    sessions.close()
    assert list((tmp_path / "files").iterdir()) == []


def test_sizes_and_canvases(sessions, photo, small_photo, tmp_path):
    about = sessions.describe(fields("superres", small_photo))
    assert "8×8 pixels, the result 32×32" in about["size"]
    assert about["canvas"] is None
    about = sessions.describe(fields("superres", photo))
    assert "make 128x128" in about["status"]
    assert (about["size"], about["image"]) == ("", str(photo))
    (tmp_path / "text.png").write_text("no image")
    about = sessions.describe(fields("superres", tmp_path / "text.png"))
    assert "is not an image" in about["status"]
    assert about["image"] is None  # which the page shows
    about = sessions.describe(fields("inpaint"))
    assert (about["size"], about["canvas"], about["scaled"]) == ("", None, False)
    long = tmp_path / "long.png"
    Image.new("RGB", (1000, 2)).save(long)  # 16000x32 at the model's scale
    for task in ("colorize", "paired"):
        assert (
            "1000x2 pixels make 16000x32, which" in sessions.describe(fields(task, long))["status"]
        )
    sessions.limits = replace(sessions.limits, megapixels=1.0)
    assert "1000×2 pixels" in sessions.describe(fields("paired", long))["size"]
    noise = np.random.default_rng(0).integers(0, 256, (700, 700, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "large.png")
    about = sessions.describe(fields("inpaint", tmp_path / "large.png"))
    assert "has more than 1 MB" in about["status"]
    for task in ("superres", "colorize", "inpaint", "paired"):
        assert read_image(sessions.example(f"{task}.safetensors")).size


def test_a_mask_is_painted_on_the_image_itself_unless_it_is_large(sessions, photo, tmp_path):
    about = sessions.describe(fields("inpaint", photo))
    np.testing.assert_array_equal(about["canvas"], read_image(photo))
    assert not about["scaled"]
    sessions.limits = replace(sessions.limits, megapixels=1.0)
    long = tmp_path / "long.png"
    Image.new("RGB", (4096, 64)).save(long)
    about = sessions.describe(fields("inpaint", long))
    assert about["canvas"].shape == (32, 2048, 3)
    assert about["scaled"]


@pytest.mark.parametrize("task", ["superres", "inpaint"])
def test_the_comparison_shows_the_image_as_uploaded(sessions, photo, small_photo, task):
    path = small_photo if task == "superres" else photo
    last = draw(sessions, task, path, layers=[stroke()] if task == "inpaint" else [])[-1]
    before, after = last["slider"]["value"]
    image = read_image(path)
    if task == "superres":
        image = resize(image, 32, 32)
    np.testing.assert_array_equal(before, thumbnail(image, 1024))
    assert before.shape == after.shape


def test_known_colors_are_previewed_and_then_drawn(sessions, photo):
    strokes = stroke(32, 32, color=(150, 110, 110))
    given = fields("colorize", photo, layers=[strokes])
    assert sessions.preview("a", given) == {}  # nothing is drawn
    plain = list(sessions.draw("a", replace(given, layers=[])))[-1]
    assert plain["preview"]["visible"]
    np.testing.assert_array_equal(plain["preview"]["value"], read_image(plain["file"]["value"]))
    preview = sessions.preview("a", given)["preview"]["value"]
    assert np.ptp(preview[20:28, 20:28].astype(int) - (150, 110, 110), -1).mean() < 8
    hinted = list(sessions.draw("a", given))[-1]
    np.testing.assert_allclose(hinted["preview"]["value"], preview, atol=16)
    assert hinted["gallery"]["value"][0][1] == plain["gallery"]["value"][0][1]  # the same score
    unhinted = sessions.preview("a", replace(given, layers=[]))["preview"]["value"]
    np.testing.assert_array_equal(unhinted, plain["preview"]["value"])
    assert [Path(path).name for path in hinted["files"]["value"]][1:] == ["hints.png"]
    saved = decode(hinted["files"]["value"][1])
    np.testing.assert_array_equal(saved.image.alpha == 255, strokes[..., 3] == 255)
    assert "--hints hints.png" in hinted["command"]["value"]
    assert sessions.preview("a", fields("colorize", sessions.example("colorize.safetensors"))) == {}


@pytest.mark.parametrize("painted", [False, True])
def test_a_preview_of_a_megapixel_takes_less_than_half_of_drawing_it(sessions, tmp_path, painted):
    rows, columns = np.indices((864, 1152))
    image = np.stack([rows // 4, columns // 5, (rows + columns) // 8], -1).astype(np.uint8)
    Image.fromarray(image).save(tmp_path / "large.png")
    sessions.limits = replace(sessions.limits, megapixels=1.0)
    layers = [stroke(480, 640, slice(100, 140), slice(200, 400), (30, 160, 60))]
    given = fields("colorize", tmp_path / "large.png", 1, layers=layers if painted else [])
    start = time.process_time()
    list(sessions.draw("a", given))
    drawing = time.process_time() - start
    seconds = []
    for shift in range(2):
        moved = replace(given, layers=[np.roll(layers[0], 20 * shift, axis=0)])
        start = time.process_time()
        assert sessions.preview("a", moved)["preview"]["value"].shape == (480, 640, 3)
        seconds.append(time.process_time() - start)
    assert min(seconds) < drawing / 2


@pytest.mark.parametrize("default", ["0.5", "1/0.8/0.6", "1.2"])
def test_the_middle_of_the_slider_is_the_default_temperature(default):
    default = Temperature.of(default)
    assert temperature_at(default, 0) == default
    assert set(temperature_at(default, -1).values) == {0}
    assert min(temperature_at(default, 1).values) >= 1
    positions = np.linspace(-1, 1, 21)
    values = np.array([temperature_at(default, position).values for position in positions])
    assert (np.diff(values, axis=0) >= 0).all()


@pytest.mark.parametrize(
    ("quality", "model", "chosen"),
    [
        (30, "photos-superres-x4", "web-superres-x4"),
        (100, "photos-superres-x4", "photos-superres-x4"),
        (100, "web-superres-x4", "photos-superres-x4"),
        (30, "web-superres-x4", "web-superres-x4"),
        (30, "faces-superres-x4", "faces-superres-x4"),
        (30, "photos-colorize", "photos-colorize"),
    ],
)
def test_degraded_images_get_the_model_that_the_command_takes(
    models, tmp_path, quality, model, chosen
):
    sessions = Sessions(models, Limits(megapixels=0.1), tmp_path)
    photo = Image.open(example_path("cat_192")).resize((72, 72), Image.Resampling.BICUBIC)
    photo.save(tmp_path / "x.jpg", quality=quality, subsampling=0)
    about = sessions.describe(Fields(model, str(tmp_path / "x.jpg")))
    assert about["model"] == chosen
    assert ("other models are" in about["size"]) == (model == chosen == "web-superres-x4")


@pytest.fixture
def old(tmp_path):
    """A damaged image, and the fields of a page that shows it."""
    image = cracked()[0][40:136, 60:150]
    Image.fromarray(image).save(tmp_path / "cracked.png")
    return image, fields("inpaint", tmp_path / "cracked.png")


RED, GREEN = (255, 45, 85), (47, 158, 68)


def test_damage_is_painted_for_correction(sessions, tmp_path, old):
    assert sessions.paint_damage(fields("inpaint"), None, 0.5) == {}
    Image.fromarray(faded()[40:136, 60:150]).save(tmp_path / "whole.png")
    whole = fields("inpaint", tmp_path / "whole.png")
    update = sessions.paint_damage(whole, sessions.find_damage(whole)["damage"], 0.5)
    assert "a lower threshold shows doubtful marks" in update["status"]
    assert update["threshold"] == {"visible": True}
    image, page = old
    damage = sessions.find_damage(page)["damage"]
    update = sessions.paint_damage(page, damage, 0.5)
    mask = find_damage(image)
    assert f"<p>{(mask > 0).mean():.1%} of the image is marked" in update["status"]
    shown = update["canvas"]["value"]
    np.testing.assert_array_equal((shown != image).any(-1), mask > 0)
    # Red paint joins the marks, green paint erases them, and both stay while the threshold moves.
    top = stroke(96, 90, rows=slice(0, 16), columns=slice(0, 90), color=RED)
    left = stroke(96, 90, rows=slice(0, 96), columns=slice(0, 8), color=GREEN)
    now = replace(page, layers=[top, left], marks=update["marks"])
    for threshold in (0.2, 0.9, 0.5):
        update = sessions.mark(now, damage, threshold)
        wanted = find_damage(image, threshold)
        wanted[:16] = 255
        wanted[:, :8] = 0
        np.testing.assert_array_equal((update["canvas"]["value"] != image).any(-1), wanted > 0)
        assert f"<p>{(wanted > 0).mean():.1%} of" in update["status"]
        now = replace(page, marks=update["marks"])
    again = stroke(96, 90, rows=slice(90, 96), columns=slice(0, 9), color=RED)
    *_, last = sessions.draw("a", replace(now, layers=[again]))
    wanted[90:, :9] = 255
    np.testing.assert_array_equal(read_image(last["files"]["value"][-1])[..., 0], wanted)
    other = replace(update["marks"], image="other.png")
    *_, last = sessions.draw("a", replace(page, layers=[left], marks=other))
    assert "there is no hole to fill" in last["status"]


def test_the_network_looks_once_at_an_image(sessions, old, monkeypatch):
    looked = []

    def look(image):
        looked.append(image)
        return confidence_of(image)

    monkeypatch.setattr("caflow_cli.app.sessions.confidence_of", look)
    _, page = old
    damage = sessions.find_damage(page)["damage"]
    for threshold in (0.2, 0.5, 0.7):
        sessions.mark(replace(page, snap=True), damage, threshold)
    assert len(looked) == 1


def test_paint_snaps_to_damage_if_that_is_switched_on(sessions, old):
    image, page = old
    paint = np.zeros((96, 90), np.uint8)
    paint[20:40, 5:80] = 255
    rough = stroke(96, 90, rows=slice(20, 40), columns=slice(5, 80), color=RED)
    erased = stroke(96, 90, rows=slice(0, 96), columns=slice(40, 50), color=GREEN)
    wanted = snapped(paint, confidence(image))
    assert 0 < (wanted > 0).sum() < (paint > 0).sum()
    wanted[:, 40:50] = 0
    assert (wanted > 0).sum() > 0
    paint[:, 40:50] = 0
    update = sessions.mark(replace(page, layers=[rough, erased], snap=True), None, 0.5)
    np.testing.assert_array_equal((update["canvas"]["value"] != image).any(-1), wanted > 0)
    now = replace(page, marks=update["marks"])
    update = sessions.mark(now, None, 0.5)  # switched off again
    np.testing.assert_array_equal((update["canvas"]["value"] != image).any(-1), paint > 0)
    now = replace(page, marks=update["marks"], snap=True)
    *_, last = sessions.draw("a", now)
    np.testing.assert_array_equal(read_image(last["files"]["value"][-1])[..., 0], wanted)
    assert "Settings have changed" not in sessions.compare("a", now)["title"]
    assert "Settings have changed" in sessions.compare("a", replace(now, snap=False))["title"]


def test_damage_is_what_the_command_finds_in_a_transparent_image(sessions, tmp_path, old):
    image, _ = old
    alpha = np.full((96, 90, 1), 255, np.uint8)
    alpha[:48] = 0
    path = tmp_path / "cracked.png"
    Image.fromarray(np.dstack([image, alpha])).save(path)
    page = fields("inpaint", path)
    found = sessions.mark(page, sessions.find_damage(page)["damage"], 0.5)["marks"].found
    np.testing.assert_array_equal(found, find_damage(decode(path)))
    assert not np.array_equal(found, find_damage(image))


def test_damage_is_not_painted_on_another_image(sessions, photo, old):
    damage = sessions.find_damage(old[1])["damage"]
    for now in (fields("inpaint", photo), replace(old[1], model="colorize.safetensors")):
        update = sessions.paint_damage(now, damage, 0.5)
        assert "canvas" not in update
        assert "The image has changed" in update["status"]


def test_a_hole_is_what_is_covered_by_half_in_any_layer():
    layers = [
        stroke(rows=slice(0, 16), columns=slice(0, 16)),
        stroke(rows=slice(60, 62), columns=slice(60, 64)),  # half of a pixel of 16x16
        stroke(rows=slice(40, 41), columns=slice(40, 44)),  # a quarter
    ]
    wanted = np.zeros((16, 16), np.uint8)
    wanted[:4, :4] = wanted[15, 15] = 255
    np.testing.assert_array_equal(painted_mask(layers, np.zeros((16, 16), np.uint8)), wanted)


def test_named_models_come_first_and_bundled_ones_follow(models, tmp_path):
    ids = list(models.tasks)
    assert ids[:2] == ["superres.safetensors", "colorize.safetensors"]
    assert sorted(ids[4:]) == sorted(load_manifest().keys() - {"rain-superres-x4"})
    assert ids[4:8] == ["photos-superres-x4", "photos-colorize", "photos-inpaint", "maps-aerial"]
    assert models.tasks["paired.safetensors"].name == "paired"
    assert list(models.of_tasks()) == list(TASKS)
    assert models.of_tasks()["inpaint"][:2] == [
        ("inpaint.safetensors", "inpaint.safetensors"),
        ("photos-inpaint: fills scratches, spots and holes in photographs", "photos-inpaint"),
    ]
    assert models.sampling("inpaint.safetensors").candidates == 30
    loaded = models.load("superres.safetensors")
    assert loaded is models.load("superres.safetensors")
    assert len(loaded.identity["sha256"]) == 64
    with pytest.raises(CaflowError, match=r"no model 'gone\.safetensors'"):
        Models(["gone.safetensors"], torch.device("cpu"))
    rain = str(save_model(tmp_path / "rain.safetensors"))
    with pytest.raises(CaflowError, match=r"rain\.safetensors: a model of measured fields"):
        Models([rain], torch.device("cpu"))


def test_a_tiff_is_shown_as_a_png_and_stays_the_input(sessions, photo, tmp_path):
    path = tmp_path / "scan.tif"
    Image.open(photo).save(path)
    displayed = sessions.describe(fields("colorize", path))["image"]
    assert displayed != str(path)
    np.testing.assert_array_equal(read_image(displayed), read_image(photo))
    assert uploaded(displayed) == str(path)
    assert sessions.describe(fields("colorize", photo))["image"] == str(photo)

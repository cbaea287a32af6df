"""Bundled models seldom diverge on whole images, and never in all draws: those of photographs with
saturated colors, the others of their own kind."""

from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image, ImageDraw

import caflow_cli as caflow
from caflow_cli.assets import example_path
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.images import read_image
from caflow_cli.restoration import Divergence
from caflow_cli.tasks import resize

from .counts import SOAK, count

MOST = {None: 5, 1: 50}  # redraws per 1,000 windows, by tau; None: the default
BUNDLED = [entry for entry in load_manifest().values() if not entry.id.startswith("rain")]
OF_ONE_KIND = {
    "faces-superres-x4": "face_64",
    "faces-inpaint": "face_64",
    "bedrooms-colorize": "room_64",
    "maps-aerial": "map",
}


def image(k: int) -> np.ndarray:
    """A photograph, turned, with colors that are the more saturated, and text in pure colors."""
    photo = Image.open(example_path("cat_192")).convert("RGB").rotate(90 * (k % 4))
    levels = (np.asarray(photo) - 128.0) * (1 + k % 3) + 128
    drawn = Image.fromarray(levels.clip(0, 255).astype(np.uint8))
    ImageDraw.Draw(drawn).text((8 + 9 * (k % 7), 40), "Saturated", ("red", "yellow")[k % 2])
    return np.asarray(drawn)[: 128 + 16 * (k % 3)]


def undamaged(k: int) -> np.ndarray:
    """A photograph with saturated colors, a page of text, or a screenshot: hard edges of levels at
    the ends of the range."""
    rng = np.random.default_rng((88, k))
    if k % 3 == 0:
        return image(k)
    screen = k % 3 == 2
    side = (192, 128)[k % 2]
    page = Image.new("RGB", (192, side), ("white", "black", "navy", "yellow")[k // 3 % 4])
    pen = ImageDraw.Draw(page)
    colors = ("black", "red", "lime", "blue", "magenta", "cyan", "white", "orange")
    for row in range(4, side - 12, 14):
        color = colors[int(rng.integers(len(colors)))]
        if screen and rng.random() < 0.5:
            left = int(rng.integers(0, 120))
            pen.rectangle((left, row, left + 60, row + 11), color, outline="gray")
        letters = "".join(chr(97 + int(c)) for c in rng.integers(0, 26, 22))
        pen.text((5, row), letters, color if not screen else ("black", "white")[k % 2])
    if screen:
        page.paste(Image.fromarray(image(k)[:64, :64]), (120, side - 72))
    return np.asarray(page)


def damage(height: int, width: int, k: int) -> np.ndarray:
    """Scratches, and a wide spot: bool (H, W)."""
    hole = np.zeros((height, width), bool)
    hole[10 + 7 * k % 60 :][:5, 12:-12] = True
    hole[20:-12, 30 + 11 * k % 90 :][:, :3] = True
    hole[60 + 3 * k % 30 :, 70 + 5 * k % 50 :][:28, :34] = True
    return hole


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.id)
def test_a_bundled_model_seldom_diverges(entry):
    if SOAK not in os.environ and entry.id != "photos-colorize":
        pytest.skip("ten core-minutes: pytest -m soak")
    model = caflow.load(entry.id)
    for tau, most in MOST.items():
        found = []
        for k in range(count(1, 6)):
            whole = image(k)
            if name := OF_ONE_KIND.get(entry.id):
                whole = read_image(example_path(name))
            mask = damage(*whole.shape[:2], k) if entry.task == "inpaint" else None
            given = whole
            if entry.task == "superres":
                given = resize(whole, whole.shape[0] // 4, whole.shape[1] // 4)
            drawn = caflow.restore(model, given, tau, count(2, 8), seed=100 * k, mask=mask)
            found.append(drawn.divergence)
        total = Divergence.sum(found)
        assert total.as_json()["redraws_per_1000"] <= most, (tau, total)
        assert total.predicted == 0, (tau, total)


@pytest.mark.parametrize("entry", BUNDLED, ids=lambda entry: entry.id)
def test_at_tau_0_nothing_undamaged_is_taken_for_diverged(entry):
    if SOAK not in os.environ and entry.id != "photos-inpaint":
        pytest.skip("six core-minutes: pytest -m soak")
    if entry.id in OF_ONE_KIND:
        pytest.skip("a model of one kind of images")
    model = caflow.load(entry.id)
    for k in range(count(3, 60)):
        whole = undamaged(k)
        mask = damage(*whole.shape[:2], k) if entry.task == "inpaint" else None
        given = whole
        if entry.task == "superres":
            given = resize(whole, whole.shape[0] // 4, whole.shape[1] // 4)
        drawn = caflow.restore(model, given, 0.0, 1, mask=mask)
        assert drawn.divergence.predicted == 0, k

"""Which model is chosen when, and why; and which model an image says it was made by."""

import numpy as np
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.hub.choice import choose_model, hint_at_model, is_chosen
from caflow_cli.hub.manifest import load_manifest
from caflow_cli.hub.resolve import maker_of, resolve
from caflow_cli.images import Decoded
from caflow_cli.tasks import TASKS

ID = "faces-superres-x4"


def image(height=40, width=40, quality=None):
    return Decoded(np.zeros((height, width, 3), np.uint8), None, "JPEG", quality=quality)


@pytest.mark.parametrize("quality", [None, 60, 89.9, 90, 95])
def test_jpegs_of_low_quality_are_enlarged_by_the_model_of_web_images(quality):
    choice = choose_model("superres", image(quality=quality))
    low = quality is not None and quality < 90
    assert choice.model == ("web-superres-x4" if low else "photos-superres-x4")
    assert choice.reason == ("for JPEGs of quality below 90" if low else "the default for superres")
    assert choose_model("colorize", image(quality=quality)).model == "photos-colorize"


def test_a_choice_is_a_model_of_its_task():
    entries = load_manifest()
    for task in TASKS:
        chosen = choose_model(task)
        assert entries[chosen.model].task == task
        assert chosen.reason == f"the default for {task}"
        assert is_chosen(task, chosen.model)
    assert choose_model() == choose_model("superres")
    assert is_chosen("superres", "web-superres-x4")
    assert not is_chosen("superres", ID)


@pytest.mark.parametrize(
    ("task", "height", "width", "hinted"),
    [
        ("superres", 11, 11, False),
        ("superres", 12, 12, True),
        ("superres", 32, 32, True),
        ("superres", 33, 33, False),
        ("superres", 16, 20, False),
        ("colorize", 16, 16, False),
    ],
)
def test_inputs_of_the_size_of_faces_get_a_hint(task, height, width, hinted):
    hint = hint_at_model(task, image(height, width))
    assert hint == (f"if this is an aligned face, try --model {ID}" if hinted else None)


def test_the_model_of_an_image_is_known_by_its_digest(gray_file):
    entry = load_manifest()[ID]
    assert maker_of("x.png", {"model": {"id": ID, "sha256": entry.sha256}}, None) == ID
    with pytest.raises(CaflowError, match=f"was made with model '{ID}'") as caught:
        maker_of("x.png", {"model": {"id": ID, "sha256": "0" * 64}}, None)
    assert caught.value.exit_code == 2
    own = {"model": {"id": "model.safetensors", "sha256": resolve(str(gray_file)).sha256}}
    assert maker_of("x.png", own, str(gray_file)) == str(gray_file)
    with pytest.raises(CaflowError, match="cannot be found"):
        maker_of("x.png", own, ID)
    for nothing in ({}, {"model": None}, {"model": {"id": ID}}):
        assert maker_of("x.png", nothing, str(gray_file)) is None

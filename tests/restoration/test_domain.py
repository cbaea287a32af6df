"""Images unlike a model's training: known by the statistics of R(y)."""

from dataclasses import replace
from types import SimpleNamespace

import helpers
import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.hub.resolve import load
from caflow_cli.images import read_image
from caflow_cli.restoration import describe_domain, to_batch
from caflow_cli.restoration.domain import domain_warning, statistics
from caflow_cli.tasks import SuperRes

PHOTO = read_image(example_path("cat_192"))


def recorded(record: dict, task: str = "superres", **fields) -> SimpleNamespace:
    config = helpers.task_config(task)
    config = replace(config, task=replace(config.task, **fields))
    return SimpleNamespace(record=record, identity={"id": "m"}, config=config)


def of_photographs() -> SimpleNamespace:
    """A model whose reference calls no image far."""
    domain = {"mean": [0], "deviation": [1], "images": 3, "farthest": 1}
    return recorded({"domain": domain}, degrade="photo")


def ramp(height: int, width: int, low: float, high: float) -> np.ndarray:
    x = np.linspace(low, high, width)[None, :, None]
    return np.broadcast_to(np.rint(x), (height, width, 3)).astype(np.uint8)


def test_the_reference_describes_itself(small_model):
    conditions = helpers.smooth_image(12, 3, 32, seed=4)
    domain = describe_domain(small_model, conditions)
    assert domain["images"] == 12
    values = [statistics(small_model.encode_condition(one))[0] for one in conditions.split(1)]
    z = (np.array(values) - domain["mean"]) / domain["deviation"]
    distances = np.sqrt(np.square(z).mean(1))
    assert distances.max() == pytest.approx(domain["farthest"], abs=1e-3)
    assert np.square(distances).mean() == pytest.approx(11 / 12, abs=1e-2)
    model = recorded({"domain": domain})
    assert all(domain_warning(model, one, PHOTO) is None for one in values)
    far = domain["mean"] + 3 * np.array(domain["deviation"])
    note = domain_warning(model, far, PHOTO)
    assert note.startswith(
        "this image is unlike the training data of m: the distance of its statistics is 3.0,"
    )
    assert describe_domain(small_model, conditions[:1]) is None


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"images": 3},
        "text",
        {"mean": [1], "deviation": [0], "images": 3, "farthest": 1},
        {"mean": [1], "deviation": [1, 1], "images": 3, "farthest": 1},
        {"mean": [1, 1], "deviation": [1, 1], "images": 3, "farthest": 1},  # of other statistics
        {"mean": [10**400], "deviation": [1], "images": 3, "farthest": 1},
    ],
)
def test_a_file_without_a_record_says_nothing(record):
    assert domain_warning(recorded({"domain": record}), np.full(1, 99.0), PHOTO) is None


def test_the_bundled_model_knows_a_face_from_noise_and_flat_color():
    model, face = load("faces-superres-x4"), read_image(example_path("face"))
    noise = np.random.default_rng(0).integers(0, 256, face.shape).astype(np.uint8)
    for image, far in ((face, False), (noise, True), (np.full_like(face, 240), True)):
        (values,) = statistics(model.encode_condition(to_batch([SuperRes().condition(image)])))
        assert (domain_warning(model, values, image) is not None) == far


RNG = np.random.default_rng(4)
DITHERED = np.asarray(Image.fromarray(PHOTO).convert("1").convert("RGB"))


@pytest.mark.parametrize(
    ("image", "note"),
    [
        (
            RNG.integers(0, 256, (120, 130, 3)),
            "its noise is 50 levels, in photographs at most 13; ",
        ),
        (RNG.normal(128, 50, (120, 130, 1)).repeat(3, 2), "its noise is 50 levels"),
        (DITHERED, "its contrast is 1"),
        (ramp(100, 100, 90, 220), "it has no noise or texture"),
        (ramp(100, 100, 120, 135), "its contrast is 4 levels, in photographs at least 22; "),
        (PHOTO, None),
        (PHOTO[..., 1, None].repeat(3, 2), None),  # a gray photograph
        (np.concatenate([PHOTO] * 9), None),
    ],
)
def test_a_note_names_what_is_unusual_in_a_photograph_and_what_to_try(image, note):
    image = np.clip(image, 0, 255).astype(np.uint8)
    found = domain_warning(of_photographs(), np.zeros(1), image)
    if note is None:
        assert found is None
        return
    assert found.startswith(f"this image is unlike the training data of m: {note}")
    assert "first" in found or "without a model" in found
    # A small image may be any part of a photograph.
    for small in (image[:95], image[:, :95]):
        assert domain_warning(of_photographs(), np.full(1, 9.0), small) is None
    # For a model of one kind of image, its reference decides, whatever the size.
    special = recorded(of_photographs().record)
    assert domain_warning(special, np.zeros(1), image) is None
    assert note in domain_warning(special, np.full(1, 9.0), image)
    assert domain_warning(special, np.full(1, 9.0), image[:40, :40]) is not None


def test_known_pixels_alone_count_beside_a_hole():
    mask = np.zeros(PHOTO.shape[:2], np.uint8)
    mask[::5] = 255
    damaged = PHOTO.copy()
    damaged[::5] = 255
    damaged[::10, ::2] = 0
    assert "its noise is" in domain_warning(of_photographs(), np.zeros(1), damaged)
    assert domain_warning(of_photographs(), np.zeros(1), damaged, mask) is None


def test_an_image_without_color_is_called_gray_if_it_is_far():
    gray = PHOTO[..., 1, None].repeat(3, 2)
    model = of_photographs()
    note = domain_warning(model, np.full(1, 9.0), gray)
    assert note.endswith("it is gray, without color; colorize it first")
    note = domain_warning(recorded(model.record, "colorize"), np.full(1, 9.0), gray)
    assert note.endswith("if the result is wrong, try another --model")

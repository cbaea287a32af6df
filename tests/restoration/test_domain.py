"""Images that vary more than a model's training: known by the statistics of R(y)."""

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


def recorded(model, record: object) -> SimpleNamespace:
    return SimpleNamespace(record={"domain": record}, identity={"id": "m"}, config=model.config)


def test_only_more_variation_than_in_the_reference_is_noted(small_model):
    conditions = helpers.smooth_image(12, 3, 32, seed=4)
    domain = describe_domain(small_model, conditions)
    assert domain["images"] == 12
    model = recorded(small_model, domain)
    values = [statistics(small_model.encode_condition(one))[0] for one in conditions.split(1)]
    assert np.mean(values, 0) == pytest.approx(np.array(domain["mean"]), abs=1e-4)
    assert all(domain_warning(model, one) is None for one in values)
    # Twice the values: the same means and deviations, times two.
    condition = small_model.encode_condition(conditions[:1])
    mean = statistics(condition)[0]
    doubled = statistics(condition._replace(d=[2 * d for d in condition.d]))[0]
    is_deviation = np.isclose(doubled - mean, np.log(2), atol=1e-9)
    assert is_deviation.sum() >= len(mean) / 2
    for change, noted in ((3, True), (2, False), (-9, False)):
        far = np.array(domain["mean"]) + change * is_deviation * np.array(domain["deviation"])
        note = domain_warning(model, far)
        assert (note is not None) == noted
        if note:
            assert note.startswith(
                "this image is unlike the training data of m: it varies more, by 3.0 standard"
            )
    shifted = np.array(domain["mean"]) + 9 * ~is_deviation * np.array(domain["deviation"])
    assert domain_warning(model, shifted) is None
    assert describe_domain(small_model, conditions[:1]) is None


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"images": 3},
        "text",
        {"mean": [1], "deviation": [0], "images": 3},
        {"mean": [1], "deviation": [1, 1], "images": 3},
        {"mean": [1, 1], "deviation": [1, 1], "images": 3},  # of other statistics
        {"mean": [10**400], "deviation": [1], "images": 3},
    ],
)
def test_a_file_without_a_record_says_nothing(small_model, record):
    assert domain_warning(recorded(small_model, record), np.full(1, 99.0)) is None


def test_the_bundled_model_knows_a_face_from_noise_and_dots():
    model = load("faces-superres-x4")
    face = read_image(example_path("face"))
    image = Image.fromarray(face)
    noise = np.random.default_rng(0).integers(0, 256, face.shape).astype(np.uint8)
    for seen, noted in (
        (face, False),
        (face // 4, False),
        (noise, True),
        (np.asarray(image.convert("1").convert("RGB")), True),
        (np.full_like(face, 240), False),
    ):
        (values,) = statistics(model.encode_condition(to_batch([SuperRes().condition(seen)])))
        assert (domain_warning(model, values) is not None) == noted

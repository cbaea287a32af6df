"""Images unlike a model's training: known by the statistics of R(y)."""

from types import SimpleNamespace

import helpers
import numpy as np
import pytest

from caflow_cli.assets import example_path
from caflow_cli.hub.resolve import load
from caflow_cli.images import read_image
from caflow_cli.inference import describe_domain, to_batch
from caflow_cli.inference.domain import domain_warning, statistics
from caflow_cli.tasks import SuperRes


def recorded(record: dict) -> SimpleNamespace:
    return SimpleNamespace(record=record, identity={"id": "m"})


def test_the_reference_describes_itself(small_model):
    conditions = helpers.smooth_image(12, 3, 32, seed=4)
    domain = describe_domain(small_model, conditions)
    assert domain["pictures"] == 12
    values = [statistics(small_model.encode_condition(one))[0] for one in conditions.split(1)]
    z = (np.array(values) - domain["mean"]) / domain["deviation"]
    distances = np.sqrt(np.square(z).mean(1))
    assert distances.max() == pytest.approx(domain["farthest"], abs=1e-3)
    assert np.square(distances).mean() == pytest.approx(11 / 12, abs=1e-2)
    model = recorded({"domain": domain})
    assert all(domain_warning(model, one) is None for one in values)
    far = domain["mean"] + 3 * np.array(domain["deviation"])
    note = domain_warning(model, far)
    assert note.startswith(
        "this image is unlike the training data of m: the distance of its statistics is 3.0,"
    )
    assert describe_domain(small_model, conditions[:1]) is None


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"pictures": 3},
        "text",
        {"mean": [1], "deviation": [0], "pictures": 3, "farthest": 1},
        {"mean": [1], "deviation": [1, 1], "pictures": 3, "farthest": 1},
        {"mean": [1, 1], "deviation": [1, 1], "pictures": 3, "farthest": 1},  # of other statistics
        {"mean": [10**400], "deviation": [1], "pictures": 3, "farthest": 1},
    ],
)
def test_a_file_without_a_record_says_nothing(record):
    assert domain_warning(recorded({"domain": record}), np.full(1, 99.0)) is None


def test_the_bundled_model_knows_a_face_from_noise_and_flat_colour():
    model, face = load("faces-superres-x4"), read_image(example_path("face"))
    noise = np.random.default_rng(0).integers(0, 256, face.shape).astype(np.uint8)
    for image, far in ((face, False), (noise, True), (np.full_like(face, 240), True)):
        (values,) = statistics(model.encode_condition(to_batch([SuperRes().condition(image)])))
        assert (domain_warning(model, values) is not None) == far

"""Pictures unlike a model's training: known by the statistics of R(y)."""

from __future__ import annotations

from types import SimpleNamespace

import helpers
import numpy as np
import pytest

from caflow_cli.assets import example_path
from caflow_cli.hub.resolve import load
from caflow_cli.images import read_image
from caflow_cli.inference import describe_domain, restore, to_batch
from caflow_cli.inference.domain import far_note, statistics
from caflow_cli.model import CAFlow
from caflow_cli.tasks import SuperRes

TASK = SuperRes(4)


@pytest.fixture(scope="module")
def bundled():
    return load("faces-superres-x4")


def recorded(record: dict) -> SimpleNamespace:
    return SimpleNamespace(record=record, identity={"id": "m"})


def share_far(model: CAFlow, pictures: list[np.ndarray]) -> float:
    conditions = to_batch([TASK.condition(picture) for picture in pictures])
    parts = [statistics(model.encode_condition(part)) for part in conditions.split(50)]
    return float(np.mean([far_note(model, v) is not None for v in np.concatenate(parts)]))


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
    assert all(far_note(model, one) is None for one in values)
    far = domain["mean"] + 3 * np.array(domain["deviation"])
    note = far_note(model, far)
    assert note.startswith("this image is unlike those that m learned from: its distance is 3.0,")
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
    assert far_note(recorded({"domain": record}), np.full(1, 99.0)) is None


def test_the_bundled_model_knows_a_face_from_noise_and_flat_colour(bundled):
    rng = np.random.default_rng(0)
    others = [rng.integers(0, 256, (16, 16, 3)).astype(np.uint8) for _ in range(4)]
    others += [np.full((16, 16, 3), level, np.uint8) for level in (10, 128, 240)]
    assert share_far(bundled, others) == 1
    result = restore(bundled, read_image(example_path("face")), 0.5, 1)
    assert far_note(bundled, result.statistics) is None

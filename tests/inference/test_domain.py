"""Pictures unlike a model's training: known by the statistics of R(y)."""

from __future__ import annotations

import helpers
import numpy as np
import pytest

from caflow_cli.assets import WEIGHTS_DIR, example_path
from caflow_cli.images import read_image
from caflow_cli.inference import describe_domain, restore, to_batch
from caflow_cli.inference.domain import far_note, statistics
from caflow_cli.model import CAFlow, read_info
from caflow_cli.tasks import SuperRes

TASK = SuperRes(4)


@pytest.fixture(scope="module")
def bundled():
    model, info = (
        CAFlow.load(WEIGHTS_DIR / "faces-superres-x4.safetensors"),
        read_info(WEIGHTS_DIR / "faces-superres-x4.safetensors"),
    )
    return model, info.training


def share_far(bundled, pictures: list[np.ndarray]) -> float:
    model, training = bundled
    conditions = to_batch([TASK.condition(picture) for picture in pictures])
    parts = [statistics(model.encode_condition(part)) for part in conditions.split(50)]
    return float(np.mean([far_note(training, "", v) is not None for v in np.concatenate(parts)]))


def test_the_reference_describes_itself(small_model):
    conditions = helpers.smooth_image(12, 3, 32, seed=4)
    domain = describe_domain(small_model, conditions)
    assert domain["pictures"] == 12
    values = [statistics(small_model.encode_condition(one))[0] for one in conditions.split(1)]
    z = (np.array(values) - domain["mean"]) / domain["deviation"]
    distances = np.sqrt(np.square(z).mean(1))
    assert distances.max() == pytest.approx(domain["farthest"], abs=1e-3)
    assert np.square(distances).mean() == pytest.approx(11 / 12, abs=1e-2)
    assert all(far_note({"domain": domain}, "m", one) is None for one in values)
    far = domain["mean"] + 3 * np.array(domain["deviation"])
    note = far_note({"domain": domain}, "m", far)
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
    assert far_note({"domain": record}, "m", np.full(1, 99.0)) is None


def test_the_bundled_model_knows_a_face_from_noise_and_flat_colour(bundled):
    model, training = bundled
    rng = np.random.default_rng(0)
    others = [rng.integers(0, 256, (16, 16, 3)).astype(np.uint8) for _ in range(4)]
    others += [np.full((16, 16, 3), level, np.uint8) for level in (10, 128, 240)]
    assert share_far(bundled, others) == 1
    result = restore(model, read_image(example_path("face")), 0.5, 1)
    assert far_note(training, "", result.statistics) is None

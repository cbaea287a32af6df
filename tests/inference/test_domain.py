"""Pictures unlike a model's training: known by the statistics of R(y)."""

from __future__ import annotations

import os
import zipfile
from io import BytesIO
from pathlib import Path

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.assets import WEIGHTS_DIR, example_path
from caflow_cli.images import read_image
from caflow_cli.inference import Domain, describe_domain, restore
from caflow_cli.inference.conditions import InTiles, OnePiece
from caflow_cli.inference.domain import statistics
from caflow_cli.inference.score import to_batch
from caflow_cli.inference.tiling import plan_tiles
from caflow_cli.model import CAFlow, read_info
from caflow_cli.tasks import SuperRes

TASK = SuperRes(4)


@pytest.fixture(scope="module")
def bundled():
    model, info = (
        CAFlow.load(WEIGHTS_DIR / "faces-superres-x4.safetensors"),
        read_info(WEIGHTS_DIR / "faces-superres-x4.safetensors"),
    )
    return model, Domain.from_record(info.training["domain"])


def share_far(bundled, pictures: list[np.ndarray]) -> float:
    model, domain = bundled
    conditions = to_batch([TASK.condition(picture) for picture in pictures])
    parts = [statistics(model.encode_condition(part)) for part in conditions.split(50)]
    return float(np.mean([domain.is_far(values) for values in np.concatenate(parts)]))


def test_the_reference_describes_itself(small_model):
    conditions = helpers.smooth_image(12, 3, 32, seed=4)
    domain = describe_domain(small_model, conditions)
    assert domain.pictures == 12
    values = [statistics(small_model.encode_condition(one))[0] for one in conditions.split(1)]
    distances = [domain.distance(one) for one in values]
    assert max(distances) == pytest.approx(domain.farthest, abs=1e-3)
    assert np.square(distances).mean() == pytest.approx(11 / 12, abs=1e-2)
    assert Domain.from_record(domain.to_record()) == domain
    assert describe_domain(small_model, conditions[:1]) is None


@pytest.mark.parametrize(
    "record",
    [
        None,
        {},
        {"pictures": 3},
        "text",
        {"mean": [1], "deviation": [0], "pictures": 3, "farthest": 1},
        {"mean": [10**400], "deviation": [1], "pictures": 3, "farthest": 1},
    ],
)
def test_a_file_without_a_domain_has_none(record):
    assert Domain.from_record(record) is None


def test_a_record_of_other_statistics_says_nothing():
    domain = Domain(pictures=3, farthest=1.0, mean=(0.0, 0.0), deviation=(1.0, 1.0))
    assert domain.is_far(np.full(2, 9.0))
    assert not domain.is_far(np.full(3, 9.0))


def test_tiles_are_as_far_as_the_picture_of_which_they_are(small_model):
    cond = helpers.smooth_image(1, 3, 32, seed=1).tile(1, 1, 5, 9)
    tiles = plan_tiles((160, 288), 16, 256)
    assert len(tiles) == 2
    whole = OnePiece(small_model, cond).statistics
    parts = InTiles(small_model, cond, tiles).statistics
    assert whole.shape == parts.shape
    assert np.abs(parts - whole).mean() < 0.1 * np.abs(whole).mean()


def test_the_bundled_model_knows_a_face_from_noise_and_flat_colour(bundled):
    model, domain = bundled
    rng = np.random.default_rng(0)
    others = [rng.integers(0, 256, (16, 16, 3)).astype(np.uint8) for _ in range(4)]
    others += [np.full((16, 16, 3), level, np.uint8) for level in (10, 128, 240)]
    assert share_far(bundled, others) == 1
    result = restore(model, read_image(example_path("face")), 0.5, 1)
    assert not domain.is_far(result.statistics)


@pytest.mark.skipif("CAFLOW_TEST_DATA" not in os.environ, reason="CAFLOW_TEST_DATA is not set")
def test_few_faces_and_most_drawings_are_far(bundled):
    def pictures(archive: str, folder: str) -> list[np.ndarray]:
        with zipfile.ZipFile(Path(os.environ["CAFLOW_TEST_DATA"]) / archive) as file:
            names = [name for name in sorted(file.namelist()) if name.startswith(folder)]
            return [TASK.degrade(read_image(BytesIO(file.read(n)), name=n)) for n in names[:50]]

    with torch.no_grad():
        assert share_far(bundled, pictures("faces64.zip", "test/")) <= 0.05
        assert share_far(bundled, pictures("edges2shoes64.zip", "test/A/")) >= 0.7

"""Sets of measured fields: what is read, and that days stay whole."""

import json
import math
from functools import partial

import numpy as np
import pytest
import tifffile

from caflow_cli.data.examples import extremes, open_split
from caflow_cli.errors import CaflowError

open_fields = partial(open_split, role="fields", hold_out="20+")
SPLITS = ("train", "val", "test")


def write(path, values, **described):
    path.parent.mkdir(parents=True, exist_ok=True)
    description = json.dumps({"unit": "mm/h"} | described)
    tifffile.imwrite(path, np.asarray(values, np.float32), description=description)


@pytest.fixture
def days(tmp_path):
    """Five days of one to seven fields."""
    for day, count in enumerate((1, 7, 2, 4, 3)):
        for k in range(count):
            write(tmp_path / f"day{day}" / f"{k}.tif", np.full((8, 8), 10 * day + k))
    return tmp_path


def names(path, split, **options):
    with open_fields(path, split, unit="mm/h", **options) as fields:
        return fields.names


def test_days_stay_whole(days):
    parts = [names(days, split) for split in SPLITS]
    assert sorted(name for part in parts for name in part) == names(days, None)
    shown = [{name.partition("/")[0] for name in part} for part in parts]
    assert [len(part) for part in shown] == [3, 1, 1]
    assert len(set.union(*shown)) == 5
    others = {tuple(names(days, "val", seed=seed)) for seed in range(6)}
    assert len(others) > 1
    assert names(days, "choose") == parts[1]  # of one day, there are no halves


def test_many_days_of_val_are_halved_whole(tmp_path):
    for split, count in (("train", 1), ("val", 21)):
        for day in range(count):
            for k in range(2):
                write(tmp_path / split / f"{day}" / f"{k}.tif", np.ones((4, 4)))
    halves = [{name[:2] for name in names(tmp_path, half)} for half in ("choose", "calibrate")]
    assert [len(half) for half in halves] == [11, 10]
    assert not halves[0] & halves[1]


def test_two_days_cannot_be_divided_in_three(tmp_path):
    for day in "ab":
        for k in range(9):
            write(tmp_path / day / f"{k}.tif", np.ones((4, 4)))
    with pytest.raises(CaflowError, match="2 subfolders, which stay whole") as error:
        names(tmp_path, "train")
    assert "at least 3" in error.value.hint


def test_files_beside_each_other_are_divided_singly(tmp_path):
    for k in range(10):
        np.save(tmp_path / f"{k}.npy", np.full((4, 4), float(k)))
    assert [len(names(tmp_path, split)) for split in SPLITS] == [6, 2, 2]


def test_a_field_has_its_values_and_the_steps_of_its_data(tmp_path):
    values = np.array([[0, 2.5], [math.nan, 1]], np.float32)
    write(tmp_path / "a.tif", values, step=0.5, **{"in": "db"})
    (tmp_path / "a.png").write_bytes(b"no field")
    with open_fields(tmp_path, unit="mm/h") as fields:
        found, steps = fields.read(0)
        assert np.array_equal(found, values, equal_nan=True)
        assert steps.tolist() == [0.5, 1]
        assert extremes(fields) == (0, 2.5)
    with open_fields(tmp_path, unit="mm h-1") as fields:  # the same unit
        assert np.array_equal(fields.read(0)[0], values, equal_nan=True)
    refused = [({"unit": "K"}, "in mm/h, not K"), ({"unit": "mm/h", "least": 4}, "2×2")]
    for options, message in refused:
        with open_fields(tmp_path, **options) as fields, pytest.raises(CaflowError, match=message):
            fields.read(0)

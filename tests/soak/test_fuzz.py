"""Damaged files are refused: never a traceback, whatever is read."""

from __future__ import annotations

import random

import pytest

from caflow_cli.errors import CaflowError

from .counts import count
from .hostile import TARGETS, finding


@pytest.mark.parametrize("name", TARGETS)
def test_files_to_start_from_are_read(name, tmp_path):
    target = TARGETS[name]
    refused = 0
    for data in target.seeds():
        (tmp_path / "file").write_bytes(data)
        try:
            target.read(tmp_path / "file")
        except CaflowError:
            refused += 1  # kinds that are not taken, whose damaged ones must be refused too
    assert refused < len(target.seeds()) / 2


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.setattr("PIL.Image.MAX_IMAGE_PIXELS", 1 << 20)
    target, rng = TARGETS[name], random.Random(name)
    seeds = target.seeds()
    for _ in range(count(20, target.full)):
        data = target.damaged(seeds, rng)
        assert finding(target, data, tmp_path) is None, data[:200]

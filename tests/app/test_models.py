"""The models that the page offers."""

import pytest
import torch

from caflow_cli.app.models import Models
from caflow_cli.errors import CaflowError
from caflow_cli.hub.manifest import load_manifest


def test_the_named_ones_come_first_and_the_bundled_ones_follow(models):
    ids = [one.resolved.id for one in models.offered]
    assert ids[:2] == ["superres.safetensors", "colorize.safetensors"]
    assert sorted(ids[4:]) == sorted(load_manifest())
    defaults = ["photos-superres-x4", "photos-colorize", "photos-inpaint", "maps-aerial"]
    assert ids[4:8] == defaults
    assert models.offered[2].title == "inpaint.safetensors (fill a hole)"
    assert models.task("paired.safetensors") == "paired"
    assert models.sampling("inpaint.safetensors").candidates == 30


def test_a_model_is_loaded_once_with_its_digest(models):
    loaded = models.load("superres.safetensors")
    assert loaded is models.load("superres.safetensors")
    assert loaded.sha256 == models.offered[0].resolved.sha256


def test_a_model_that_is_not_there_is_refused_at_the_start():
    with pytest.raises(CaflowError, match=r"no model 'gone\.safetensors'"):
        Models(["gone.safetensors"], torch.device("cpu"))

"""The model of `caflow sample` where none is named, and the pictures that it refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.cli.paired_default import _is_drawing, paired_models
from caflow_cli.errors import CaflowError
from caflow_cli.hub import manifest
from caflow_cli.images import read_image

from .process import assert_refused


def test_a_photograph_is_refused_unless_the_model_is_named(run, tmp_path):
    refused = run("sample", "example:face_64", "-m", 1)
    assert_refused(refused, 2, "'example:face_64' is no drawing, and edges2shoes")
    assert b"--model edges2shoes" in refused.stderr
    named = run("sample", "example:face_64", "-m", 1, "--model", "edges2shoes", "-o", "x.png")
    assert named.returncode == 0, named.stderr
    # In a batch it fails alone, and a sketch that is larger comes to the model's scale.
    with Image.open(example_path("shoe")) as shoe:
        shoe.resize((150, 120)).save(tmp_path / "sketch.png")
    mixed = run("sample", "sketch.png", "--cond", "example:face_64", "-m", 1, "-o", "out/")
    assert mixed.returncode == 1
    assert mixed.stdout.decode().splitlines() == ["out/sketch_sample.png"]
    assert b"sketch.png: 150x120 brought to 80x64, the model's scale" in mixed.stderr
    with Image.open(tmp_path / "out" / "sketch_sample.png") as drawn:
        assert drawn.size == (80, 64)
    scored = run("score", "--cond", "sketch.png", "--target", "out/sketch_sample.png")
    assert scored.returncode == 0, scored.stderr
    assert_refused(run("sample"), 2, "nothing to sample from")


def test_a_drawing_is_grey_on_one_ground():
    drawing, photograph = (read_image(example_path(name)) for name in ("shoe", "face_64"))
    grey = np.repeat(np.asarray(Image.fromarray(photograph).convert("L"))[..., None], 3, axis=2)
    paper = (drawing * 0.8 + [12, 6, 0]).astype(np.uint8)  # on yellowed paper
    for image in (drawing, 255 - drawing, paper):
        assert _is_drawing(image)
    for image in (photograph, grey):
        assert not _is_drawing(image)


def test_of_several_paired_models_one_must_be_named(monkeypatch):
    entries = manifest.load_manifest()
    assert paired_models() == ["edges2shoes"]
    other = replace(entries["edges2shoes"], id="maps2photos", default=False)
    monkeypatch.setattr(manifest, "load_manifest", lambda: {**entries, "maps2photos": other})
    with pytest.raises(CaflowError) as caught:
        paired_models()
    assert caught.value.exit_code == 2
    assert caught.value.hint == "--model edges2shoes or --model maps2photos"

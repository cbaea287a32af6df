"""The model of `caflow sample` where none is named, and the pictures that it refuses."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import example_path
from caflow_cli.cli.paired_default import _is_drawn, paired_models
from caflow_cli.errors import CaflowError
from caflow_cli.hub import manifest
from caflow_cli.images import read_image

from .process import assert_refused


def test_a_photograph_is_refused_unless_the_model_is_named(run, tmp_path):
    refused = run("sample", "example:face_64", "-m", 1)
    assert_refused(refused, 2, "'example:face_64' is no map or drawing, and maps-aerial")
    assert b"--model maps-aerial" in refused.stderr
    named = run("sample", "example:face_64", "-m", 1, "--model", "maps-aerial", "-o", "x.png")
    assert named.returncode == 0, named.stderr
    # In a batch it fails alone, and a map of any size is drawn at its own.
    with Image.open(example_path("map")) as streets:
        streets.crop((20, 30, 170, 150)).save(tmp_path / "part.png")
    mixed = run("sample", "part.png", "--cond", "example:face_64", "-m", 1, "-o", "out/")
    assert mixed.returncode == 1
    assert mixed.stdout.decode().splitlines() == ["out/part_sample.png"]
    with Image.open(tmp_path / "out" / "part_sample.png") as drawn:
        assert drawn.size == (150, 120)
    scored = run("score", "--cond", "part.png", "--target", "out/part_sample.png")
    assert scored.returncode == 0, scored.stderr
    assert_refused(run("sample"), 2, "nothing to sample from")


def test_four_colours_cover_most_of_a_map_or_a_drawing():
    streets, *photographs = (
        read_image(example_path(name)) for name in ("map", "face_64", "cat_192", "room_64")
    )
    sketch = np.full((64, 64, 3), 255, np.uint8)
    sketch[10:50, 20] = sketch[49, 20:60] = 0
    paper = (sketch * 0.8 + [12, 6, 0]).astype(np.uint8)  # on yellowed paper
    stream = io.BytesIO()
    Image.fromarray(streets).save(stream, "JPEG", quality=75)
    stream.seek(0)
    compressed = read_image(stream)
    for image in (streets, sketch, 255 - sketch, paper, compressed):
        assert _is_drawn(image)
    for image in photographs:
        grey = np.repeat(np.asarray(Image.fromarray(image).convert("L"))[..., None], 3, axis=2)
        assert not _is_drawn(image)
        assert not _is_drawn(grey)


def test_of_several_paired_models_one_must_be_named(monkeypatch):
    entries = manifest.load_manifest()
    assert paired_models() == ["maps-aerial"]
    other = replace(entries["maps-aerial"], id="sketches", default=False)
    monkeypatch.setattr(manifest, "load_manifest", lambda: {**entries, "sketches": other})
    with pytest.raises(CaflowError) as caught:
        paired_models()
    assert caught.value.exit_code == 2
    assert caught.value.hint == "--model maps-aerial or --model sketches"

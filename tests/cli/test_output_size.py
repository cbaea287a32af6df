"""`superres --scale`: the size of what is written, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from PIL import Image

from caflow_cli.assets import ASSETS
from caflow_cli.cli.output_size import OutputSize
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_provenance

from .process import assert_refused
from .results import lines_of
from .scenes import pixels, save

SCHEMA = json.loads((ASSETS / "schema" / "lines.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("scale", "written"),
    [
        ("2", (60, 40)),
        ("3.0", (90, 60)),
        ("2.5", (75, 50)),
        ("4", (120, 80)),
        ("90x600", (90, 60)),
        ("600X50", (75, 50)),
        ("300×300", (300, 200)),
        ("120x80", (120, 80)),
    ],
)
def test_sizes(scale, written):
    size = OutputSize.parse(scale)
    size.check(4)
    assert size.of(20, 30) == written


def test_what_is_no_size_is_refused():
    assert OutputSize.parse(None) is None
    for scale in ("1", "0", "65", "-2", "nan", "inf", "0x9", "9x", "x", "9x9x9", ""):
        with pytest.raises(CaflowError) as caught:
            OutputSize.parse(scale)
        assert caught.value.exit_code == 2
    with pytest.raises(CaflowError, match="more than the model's 4"):
        OutputSize(scale=5).check(4)
    for box, said in (((30, 30), "leave it at that"), ((30, 10), "make it smaller")):
        with pytest.raises(CaflowError, match=f"is 30x20, and --scale .*{said}") as caught:
            OutputSize(box=box).of(20, 30)
        assert "in which 30x20 has room to grow" in caught.value.hint


def test_a_reduced_picture_says_so_and_is_not_scored(run, tmp_path, model_file):
    save(tmp_path / "x.png", 8, 12)
    given = ["superres", "x.png", "-m", 1, "--model", model_file, "--json"]
    (whole,) = lines_of(run(*given, "-o", "whole.png"))
    assert "resized" not in whole
    done = run(*given, "--scale", 2, "-o", "half.png")
    assert done.stderr.decode() == "x.png: drawn at 48x32, reduced to 24x16\n"
    (line,) = lines_of(done)
    jsonschema.validate(line, SCHEMA)
    resized = {"drawn": [48, 32], "written": [24, 16], "filter": "lanczos"}
    assert line["resized"] == read_provenance(tmp_path / "half.png")["resized"] == resized
    (output,) = line["outputs"]
    assert output["score_exact"] is False
    assert output["log_likelihood"] == whole["outputs"][0]["log_likelihood"]
    drawn = Image.open(tmp_path / "whole.png").resize((24, 16), Image.Resampling.LANCZOS)
    assert np.array_equal(pixels(tmp_path / "half.png"), np.asarray(drawn))
    refused = run("score", "--cond", "x.png", "--target", "half.png", "--model", model_file)
    assert_refused(refused, 1, "'half.png' was resized after it was drawn and scored")


def test_alpha_comes_back_at_the_size_that_is_written(run, tmp_path, model_file):
    Image.new("RGBA", (8, 8), (90, 90, 90, 120)).save(tmp_path / "x.png")
    Path(tmp_path / "large").mkdir()
    save(tmp_path / "large" / "y.png", 40, 40)
    given = ["x.png", "large/y.png", "-m", 1, "--model", model_file, "--scale", "20x30"]
    done = run("superres", *given, "-o", "out/")
    assert done.returncode == 1
    said = b"large/y.png: the image is 40x40, and --scale 20x30 would make it smaller: superres"
    assert said in done.stderr
    image = Image.open(tmp_path / "out" / "x_superres.png")
    assert (image.size, image.mode) == ((20, 20), "RGBA")

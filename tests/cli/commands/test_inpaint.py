"""`caflow inpaint`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from caflow_cli.images import read_provenance
from caflow_cli.tasks import Inpaint

from ..process import caflow
from ..results import lines_of
from ..scenes import pixels, save, save_mask


def save_scratch(path: Path, height: int, width: int, blotch: bool = False) -> Path:
    """A line from corner to corner and, if wanted, a square that is too thick to be seen across."""
    mask = Image.new("L", (width, height))
    draw = ImageDraw.Draw(mask)
    draw.line([(0, 0), (width, height)], fill=255, width=4)
    if blotch:
        draw.rectangle([width // 2, 10, width // 2 + 60, 70], fill=255)
    mask.save(path)
    return path


def test_what_is_known_is_kept(run, tmp_path, model_files):
    image, mask = save(tmp_path / "x.png", 90, 60), save_mask(tmp_path / "m.png", 90, 60)
    done = run("inpaint", image, "--mask", mask, "-m", 1, "--model", model_files["inpaint"])
    assert done.returncode == 0, done.stderr
    known = np.asarray(Image.open(mask)) == 0
    result = pixels(tmp_path / "x_inpaint.png")
    assert np.array_equal(result[known], pixels(image)[known])
    assert not np.array_equal(result, pixels(image))


@pytest.mark.parametrize("blotch", [False, True])
def test_a_scratch_across_a_photograph(tmp_path, model_files, blotch):
    """In processes of their own: every line, file and score says the same."""
    image, mask = save(tmp_path / "x.png", 120, 200), tmp_path / "m.png"
    save_scratch(mask, 120, 200, blotch)
    shared = ["--mask", "m.png", "--model", model_files["inpaint"], "--json"]
    given = ["inpaint", "x.png", "-m", 2, "-n", 2, "--seed", 3, "-o", "out/", *shared]
    sheets = ["--grid", "grid.png", "--uncertainty", "spread.png"]
    (line,) = lines_of(caflow(*given, *sheets, cwd=tmp_path))
    white = np.asarray(Image.open(mask)) > 127
    places = Inpaint(4, 32, 16).parts(pixels(image), np.asarray(Image.open(mask)))
    assert [tuple(part["window"]) for part in line["parts"]] == [p.place.window for p in places]
    assert sum(part["pixels"] for part in line["parts"]) == white.sum()
    assert len(line["parts"]) > 6
    assert any(part["shrunk"] for part in line["parts"]) == blotch
    args = ["score", "--cond", "x.png", *shared]
    for output in line["outputs"]:
        result = pixels(tmp_path / output["path"])
        assert np.array_equal(result[~white], pixels(image)[~white])
        assert output["score_domain"] == "parts"
        assert (output["log_likelihood"] is None) == blotch
        (again,) = lines_of(caflow(*args, "--target", output["path"], cwd=tmp_path))
        assert again["parts"] == line["parts"]
        assert again["rank_score"] == pytest.approx(output["rank_score"], abs=1e-2)
        assert again["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=1e-2)
        assert again["bits_per_dim"] == pytest.approx(output["bits_per_dim"], abs=1e-6)
        provenance = read_provenance(tmp_path / output["path"])
        assert provenance["parts"] == len(line["parts"])
        assert provenance["rank_score"] == output["rank_score"]
    assert Image.open(tmp_path / "grid.png").width == 3 * 192 + 4 * 12  # the input, two candidates
    assert Image.open(tmp_path / "spread.png").width > 2 * 200


def test_a_seed_replays_a_fill_in_parts(run, tmp_path, model_files):
    save(tmp_path / "x.png", 60, 90)
    save_scratch(tmp_path / "m.png", 60, 90)
    shared = ["inpaint", "x.png", "--mask", "m.png", "--model", model_files["inpaint"], "--json"]
    (line,) = lines_of(run(*shared, "-m", 3, "-n", 3, "-o", "out/"))
    for output in line["outputs"]:
        (alone,) = lines_of(
            run(*shared, "--seed", output["seed"], "-m", 1, "-o", "y.png", "--overwrite")
        )
        expected = pytest.approx(output["rank_score"], abs=0.5)
        assert alone["outputs"][0]["rank_score"] == expected
        files = (tmp_path / "y.png", tmp_path / output["path"])
        ours, theirs = (pixels(file).astype(int) for file in files)
        assert np.abs(ours - theirs).max() <= 1  # of another batch

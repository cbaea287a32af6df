"""`caflow inpaint`."""

import numpy as np
import pytest
from PIL import Image, ImageDraw

import caflow_cli
from caflow_cli.images import read_provenance
from caflow_cli.restoration import prepare
from caflow_cli.tasks import Inpaint
from caflow_cli.tasks.arguments import as_input

from ..results import lines_of
from ..scenes import pixels, save


@pytest.mark.parametrize("blotch", [False, True])
def test_a_scratch_across_a_photograph(run, tmp_path, model_files, blotch):
    """Every line, file and score says the same; a blotch is too thick to be seen across."""
    image, mask = save(tmp_path / "x.png", 60, 150), Image.new("L", (150, 60))
    draw = ImageDraw.Draw(mask)
    draw.line([(0, 0), (150, 60)], fill=255, width=4)
    if blotch:
        draw.rectangle([75, 10, 135, 50], fill=255)
    mask.save(tmp_path / "m.png")
    shared = ["--mask", "m.png", "--model", model_files["inpaint"], "--json"]
    given = ["inpaint", "x.png", *shared]
    sheets = ["--grid", "grid.png", "--uncertainty", "spread.png"]
    (line,) = lines_of(run(*given, "-m", 2, "-n", 2, "--seed", 3, "-o", "out/", *sheets))
    white = np.asarray(mask) > 127
    places = Inpaint(4, 32, 16).parts(pixels(image), np.asarray(mask))
    assert [tuple(part["window"]) for part in line["parts"]] == [p.place.window for p in places]
    assert sum(part["pixels"] for part in line["parts"]) == white.sum()
    assert len(line["parts"]) > 3
    assert any(part["shrunk"] for part in line["parts"]) == blotch
    for output in line["outputs"]:
        result = pixels(tmp_path / output["path"])
        assert np.array_equal(result[~white], pixels(image)[~white])
        assert output["score_domain"] == "parts"
        assert (output["log_likelihood"] is None) == blotch
        pair = ["score", "--cond", "x.png", *shared, "--target", output["path"]]
        (again,) = lines_of(run(*pair))
        assert again["parts"] == line["parts"]
        assert again["rank_score"] == pytest.approx(output["rank_score"], abs=1e-2)
        assert again["log_likelihood"] == pytest.approx(output["log_likelihood"], abs=1e-2)
        assert again["bits_per_dim"] == pytest.approx(output["bits_per_dim"], abs=1e-6)
        provenance = read_provenance(tmp_path / output["path"])
        assert provenance["parts"] == len(line["parts"])
        assert provenance["rank_score"] == output["rank_score"]
        # A seed replays a fill in parts, up to the rounding of another batch.
        run(*given, "--seed", output["seed"], "-m", 1, "-o", "y.png", "--overwrite")
        replayed = pixels(tmp_path / "y.png").astype(int)
        assert np.abs(replayed - result).max() <= 1
    assert Image.open(tmp_path / "grid.png").width == 3 * 192 + 4 * 12  # the input, two candidates
    assert Image.open(tmp_path / "spread.png").width > 2 * 200


def test_many_holes_get_fewer_candidates_unless_a_number_is_typed(run, tmp_path, model_files):
    image = save(tmp_path / "x.png", 60, 2000)
    few = np.zeros((60, 2000), np.uint8)
    few[10:20, 10:20] = 255
    many = np.zeros_like(few)
    for left in range(10, 2000, 50):
        many[20:30, left : left + 10] = 255
    for name, mask in (("few", few), ("many", many)):
        save(tmp_path / "in" / f"{name}.png", 60, 2000)
        Image.fromarray(mask).save(tmp_path / "in" / f"{name}_mask.png")
    given = ["inpaint", "in", "--mask", "in", "--model", model_files["inpaint"], "--json", "-o"]
    done = run(*given, "a/")
    first, second = lines_of(done)
    windows = len(second["parts"])
    assert windows > 30
    assert first["params"]["candidates"] == 30
    assert second["params"]["candidates"] == 750_000 // (windows * 32 * 32) < 30
    assert (
        f"in/many.png: {second['params']['candidates']} candidates at {windows} windows; "
        "-m 30 draws 30" in done.stderr.decode()
    )
    (line,) = lines_of(
        run("inpaint", "x.png", "--mask", "in/many_mask.png", *given[4:], "b/", "-m", 2)
    )
    assert line["params"]["candidates"] == 2
    request = prepare(caflow_cli.load(model_files["inpaint"]), as_input(image), many)
    assert request.sampling.candidates == second["params"]["candidates"]

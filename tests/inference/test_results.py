"""What Python users do with the candidates of a picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import caflow_cli as caflow
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image, read_provenance, write_png
from caflow_cli.tasks.base import grey

PICTURE = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def found(small_model):
    return caflow.restore(small_model, Image.fromarray(PICTURE), candidates=3, keep=2)


def test_saved_pictures_score_as_they_were_ranked(found, small_model, tmp_path):
    first, second = found.save(tmp_path / "out.png")
    assert [first.name, second.name] == ["out_01.png", "out_02.png"]
    assert np.array_equal(read_image(second), found.kept[1].image)
    record = read_provenance(first)
    assert record["log_likelihood"] == found.kept[0].score.log_likelihood
    assert (record["rank"], record["seed"], record["task"]) == (1, found.kept[0].seed, "superres")
    assert record["model"] == {"id": "unnamed", "sha256": None}
    assert str(tmp_path) not in str(record)
    write_png(tmp_path / "in.png", PICTURE)
    again = caflow.score(small_model, tmp_path / "in.png", str(first))
    assert again.log_likelihood == pytest.approx(record["log_likelihood"], abs=0.02)


def test_their_representation_is_one_line(found):
    line = repr(found)
    assert line.startswith("<Candidates: 3 of superres at τ ")
    assert found.ranked[0].score.summary in line
    assert "\n" not in line


def test_they_say_what_the_command_line_says_of_the_input(found, task_models):
    assert found.notes == []
    said = "its own colours are dropped, and others drawn"
    coloured = caflow.restore(task_models["colorize"], PICTURE, candidates=1)
    assert coloured.notes == [said]
    assert said in coloured._repr_html_()
    assert repr(coloured).endswith(f"; {said}>")
    grey = PICTURE[..., :1].repeat(3, 2)
    assert caflow.restore(task_models["colorize"], grey, candidates=1).notes == []


def test_they_say_that_a_hole_is_too_wide_for_detail(task_models):
    hole = np.zeros((64, 64), bool)
    hole[8:56, 8:56] = True
    image = np.full((64, 64, 3), 90, np.uint8)
    filled = caflow.restore(task_models["inpaint"], image, candidates=1, mask=hole)
    assert filled.notes == []
    task = replace(filled.config.task, rim=24)  # of a model of small things
    (note,) = replace(filled, config=replace(filled.config, task=task)).notes
    assert note.startswith("the hole is more than 32 pixels wide")


def test_they_show_a_coloured_input_as_the_grey_that_the_model_reads(task_models):
    shown = caflow.restore(task_models["colorize"], PICTURE, candidates=1)
    assert np.array_equal(shown.condition, PICTURE)
    assert np.array_equal(shown.seen, grey(PICTURE)[..., None].repeat(3, 2))
    cell = np.asarray(shown.grid())[:192, :192]
    assert np.array_equal(cell[::24, ::24], shown.seen)


def test_nothing_is_overwritten_by_halves(found, tmp_path):
    (tmp_path / "out_02.png").write_bytes(b"mine")
    with pytest.raises(CaflowError, match="exists") as caught:
        found.save(tmp_path / "out.png")
    assert "overwrite=True" in caught.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["out_02.png"]
    assert len(found.save(tmp_path / "out.png", overwrite=True)) == 2
    with pytest.raises(CaflowError, match="ends like no format"):
        found.save(tmp_path / "out.txt")


def test_a_file_that_appears_meanwhile_stays(found, tmp_path, monkeypatch):
    monkeypatch.setattr("caflow_cli.inference.results.exists", lambda path: False)
    (tmp_path / "out_01.png").write_bytes(b"other")
    with pytest.raises(CaflowError, match="in the meantime"):
        found.save(tmp_path / "out.png")
    assert (tmp_path / "out_01.png").read_bytes() == b"other"


def test_a_loaded_model_is_named(model_file, tmp_path):
    model = caflow.load(str(model_file))
    (path,) = caflow.restore(model, PICTURE, candidates=1).save(tmp_path / "one.webp")
    assert path == tmp_path / "one.webp"
    assert read_provenance(path)["model"]["id"] == model_file.name
    assert len(read_provenance(path)["model"]["sha256"]) == 64


def test_a_sheet_and_a_notebook_show_them(found):
    sheet = found.grid("face")
    assert isinstance(sheet, Image.Image)
    assert sheet.width > 4 * 192 - 1
    shown = found._repr_html_()
    assert shown.count("<img ") == 3  # the input, and the kept two
    assert "2 of 3 candidates" in shown
    assert "#1, " in shown
    assert len(shown) < 400_000
    assert "condition" not in repr(found)

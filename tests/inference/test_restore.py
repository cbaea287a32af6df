"""Candidates: drawn, rounded, scored, ranked."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

import caflow_cli as caflow
from caflow_cli import devices, load
from caflow_cli.assets import example_path
from caflow_cli.errors import CaflowError
from caflow_cli.flows import to_uint8
from caflow_cli.images import read_image, read_provenance, write_png
from caflow_cli.inference import (
    Drawing,
    restore,
    restore_images,
    score,
    to_batch,
)
from caflow_cli.inference.sample import back_project
from caflow_cli.sampling import SEEDS, Sampling
from caflow_cli.tasks import SuperRes
from caflow_cli.tasks.base import grey, scaled_size


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    rows = np.linspace(30, 200, height)[:, None, None]
    columns = np.linspace(0, 40, width)[None, :, None]
    noise = np.random.default_rng(seed).normal(0, 5, (height, width, 3))
    return np.clip(rows + columns + noise, 0, 255).astype(np.uint8)


def levels_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
@pytest.mark.parametrize(
    ("size", "domain"), [((32, 32), "image"), ((75, 50), "reduced"), ((20, 30), "reduced")]
)
def test_every_task_ranks_by_the_score_of_the_picture(task_models, task, size, domain):
    """At model size, above and below it; in one batch and in several."""
    model = task_models[task]
    image = picture(size[0] // 4, size[1] // 4) if task == "superres" else picture(*size)
    mask = None
    if task == "inpaint":
        mask = np.zeros(size, np.uint8)
        mask[5:19, 8:20] = 255
    drawn = size if task != "superres" else tuple(s // 4 * 4 for s in size)
    if task == "paired":  # a draw is at model scale, and is scored as it is
        drawn, domain = scaled_size(image, 32), "image"
    result = restore(model, image, 0.8, 3, mask=mask)
    values = [c.score.log_likelihood for c in result.ranked]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3
    for candidate in result.ranked:
        target = candidate.image
        assert target.shape[:2] == drawn
        again = score(model, image, target, mask)
        assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-2)
        assert again.score_domain == domain
        if task == "inpaint" or domain == "image":
            assert again.scored_size == ((32, 32) if task == "inpaint" else drawn[::-1])
        other = np.roll(target, 3, axis=1) if mask is None else np.where(mask[..., None], 9, target)
        assert score(model, image, other.astype(np.uint8), mask) != again
    if mask is not None:
        assert np.array_equal(result.ranked[0].image[mask == 0], image[mask == 0])


def test_defaults_are_the_tasks_unless_the_model_has_its_own(task_models):
    image, mask = picture(16, 16), np.full((16, 16), 255, np.uint8)
    result = restore(task_models["inpaint"], image, mask=mask)
    assert (result.tau, len(result.ranked)) == (0.5, 30)
    assert restore(task_models["colorize"], image, candidates=1).tau.values == (0.85,)
    model = copy.copy(task_models["paired"])
    assert restore(model, image, candidates=1).tau.values == (0.8,)
    model.config = replace(model.config, task=replace(model.config.task, tau=0.3, candidates=2))
    result = restore(model, image)
    assert (result.tau, len(result.ranked)) == (0.3, 2)


def test_consistent_candidates_are_projected_before_they_are_scored(small_model):
    image = picture(8, 12)
    result = restore(small_model, image, 0.4, 3, consistent=True)
    for candidate in result.ranked:
        reduced = np.asarray(Image.fromarray(candidate.image).resize((12, 8), Image.BICUBIC))
        assert candidate.consistency_max == levels_apart(reduced, image).max() <= 1
        again = score(small_model, image, candidate.image)
        assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-2)
    plain = restore(small_model, image, 0.4, 3)
    assert all(candidate.consistency_max is None for candidate in plain.ranked)
    assert not np.array_equal(plain.kept[0].image, result.kept[0].image)


def test_drawing_on_gives_what_drawing_at_once_gives(small_model):
    image = np.arange(8 * 8 * 3, dtype=np.uint8).reshape(8, 8, 3)
    sampling = Sampling(tau=0.8, candidates=2, keep=2, seed=4)
    drawing = Drawing(small_model, [image], sampling, [None], batch_size=1)
    assert list(drawing.draw()) == [1, 2]
    assert len(drawing.result().kept) == 2
    assert list(drawing.draw(1)) == [3]
    (wanted,) = restore_images(small_model, [image], replace(sampling, candidates=3), [None])
    for one, other in zip(drawing.result().ranked, wanted.ranked, strict=True):
        assert (one.k, one.seed) == (other.k, other.seed)
        assert one.score.rank_score == pytest.approx(other.score.rank_score, abs=1)
        assert levels_apart(one.image, other.image).max() <= 1
    with pytest.raises(CaflowError, match="out of range"):
        list(Drawing(small_model, [image], replace(sampling, seed=SEEDS - 2), [None]).draw(3))
    drawing = Drawing(small_model, [image], sampling, [None])
    assert list(drawing.draw(1)) == [1]  # fewer than are kept in the end
    assert len(drawing.result().kept) == 1


def test_draws_in_bf16_are_scored_in_float32(small_model):
    image = picture(8, 8)
    with pytest.raises(CaflowError, match="unknown precision 'half'"):
        restore(small_model, image, precision="half")
    try:
        devices.check_bf16(small_model.device)
    except CaflowError:
        with pytest.raises(CaflowError, match="no fast bfloat16") as caught:
            restore(small_model, image, precision="bf16")
        assert caught.value.exit_code == 2
        return
    plain, rough = (
        restore(small_model, image, 0.8, 3, precision=precision)
        for precision in ("float32", "bf16")
    )
    for candidate in rough.ranked:
        repeated = score(small_model, image, candidate.image)
        assert candidate.score.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-3)
    a, b = ({c.k: c.image for c in result.ranked} for result in (plain, rough))
    apart = np.stack([levels_apart(a[k], b[k]) for k in a])
    assert 0 < apart.mean() < 2
    np.testing.assert_array_equal(plain.statistics, rough.statistics)


TASK = SuperRes(4)
PICTURE = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def consistency(image: np.ndarray, projected: np.ndarray) -> int:
    return int(np.abs(TASK.degrade(projected).astype(int) - image).max())


def drawn(images: list[np.ndarray], tau: float) -> np.ndarray:
    model = load("faces-superres-x4")
    conditions = to_batch([TASK.condition(image) for image in images])
    points = model.sample(conditions, tau, 1, seed=range(len(images)))[:, 0]
    return to_uint8(points).permute(0, 2, 3, 1).contiguous().numpy()


def test_a_draw_of_a_face_becomes_consistent_and_stays_near():
    face = read_image(example_path("face"))
    before = drawn([face], 0.9)[0]
    after = back_project(face, before, TASK)
    assert consistency(face, before) > 3
    assert consistency(face, after) <= 1
    reduced = np.array(Image.fromarray(after).resize((16, 16), Image.Resampling.BICUBIC))
    assert np.abs(reduced.astype(int) - face).max() <= 1
    assert 0 < np.abs(after.astype(float) - before).mean() < 4
    assert np.array_equal(back_project(face, after, TASK), after)


def test_where_no_picture_is_consistent_the_nearest_is_returned():
    """Bicubic reduction overshoots at edges; a checkerboard of 0 and 255 asks for more than RGB."""
    image = np.zeros((8, 8, 3), np.uint8)
    image[::2, ::2] = image[1::2, 1::2] = 255
    grey = np.full((32, 32, 3), 128, np.uint8)
    nearest = back_project(image, grey, TASK)
    assert 1 < consistency(image, nearest) < consistency(image, grey)


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


def test_they_say_what_the_command_line_says_of_the_input(found, task_models):
    assert found.notes == []
    said = "its own colours are dropped, and others drawn"
    coloured = caflow.restore(task_models["colorize"], PICTURE, candidates=1)
    assert coloured.notes == [said]
    assert said in coloured._repr_html_()
    assert repr(coloured).endswith(f"; {said}>")
    grey = PICTURE[..., :1].repeat(3, 2)
    assert caflow.restore(task_models["colorize"], grey, candidates=1).notes == []


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

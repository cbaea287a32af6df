"""`restore`: defaults, ranking, consistency, precision, and what its result can be asked."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import caflow_cli as caflow
from caflow_cli.devices import check_bf16
from caflow_cli.errors import CaflowError
from caflow_cli.images import read_image, read_provenance, write_png
from caflow_cli.restoration import Candidates, draw, encode, prepare, restore, score
from caflow_cli.sampling import SEEDS, Sampling
from caflow_cli.tasks.arguments import as_input
from caflow_cli.tasks.base import gray
from caflow_cli.tasks.sizes import scaled_size

INPUT = np.random.default_rng(1).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def smooth(height: int, width: int, seed: int = 0) -> np.ndarray:
    rows = np.linspace(30, 200, height)[:, None, None]
    columns = np.linspace(0, 40, width)[None, :, None]
    noise = np.random.default_rng(seed).normal(0, 5, (height, width, 3))
    return np.clip(rows + columns + noise, 0, 255).astype(np.uint8)


def levels_apart(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a.astype(int) - b.astype(int))


@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired"])
@pytest.mark.parametrize("size", [(75, 50), (20, 30)])
def test_every_task_ranks_by_the_score_of_the_image(task_models, task, size):
    """Above and below model size."""
    model = task_models[task]
    image = smooth(size[0] // 4, size[1] // 4) if task == "superres" else smooth(*size)
    mask = None
    if task == "inpaint":
        mask = np.zeros(size, np.uint8)
        mask[5:19, 8:20] = 255
    drawn = size if task != "superres" else tuple(s // 4 * 4 for s in size)
    if task == "paired":  # a draw is at model scale, and is scored as it is
        drawn = scaled_size(image, 32)
    result = restore(model, image, 0.8, 3, mask=mask)
    values = [c.score.log_likelihood for c in result.ranked]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3
    for candidate in result.ranked:
        target = candidate.image
        assert target.shape[:2] == drawn
        again = score(model, image, target, mask)
        assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-2)
        assert again.score_domain == ("image" if task == "paired" else "reduced")
        other = np.roll(target, 3, axis=1) if mask is None else np.where(mask[..., None], 9, target)
        assert score(model, image, other.astype(np.uint8), mask) != again
    if mask is not None:
        assert np.array_equal(result.ranked[0].image[mask == 0], image[mask == 0])


def test_defaults_are_the_tasks_unless_the_model_has_its_own(task_models):
    image, mask = smooth(16, 16), np.full((16, 16), 255, np.uint8)
    result = restore(task_models["inpaint"], image, mask=mask)
    assert (result.tau.values, len(result.ranked)) == ((0.5,), 30)
    assert restore(task_models["colorize"], image, candidates=1).tau.values == (0.85,)
    model = copy.copy(task_models["paired"])
    assert restore(model, image, candidates=1).tau.values == (0.8,)
    model.config = replace(model.config, task=replace(model.config.task, tau=0.3, candidates=2))
    result = restore(model, image)
    assert (result.tau.values, len(result.ranked)) == ((0.3,), 2)


def test_consistent_candidates_are_projected_before_they_are_scored(small_model):
    image = smooth(8, 12)
    result = restore(small_model, image, 0.4, 3, consistent=True)
    for candidate in result.ranked:
        reduced = np.asarray(Image.fromarray(candidate.image).resize((12, 8), Image.BICUBIC))
        assert candidate.consistency_max == levels_apart(reduced, image).max() <= 1
        again = score(small_model, image, candidate.image)
        assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-2)
    plain = restore(small_model, image, 0.4, 3)
    assert max(candidate.consistency_max for candidate in plain.ranked) > 1
    assert not np.array_equal(plain.kept[0].image, result.kept[0].image)


def test_a_model_states_whether_its_candidates_are_consistent(small_model):
    image = smooth(8, 12)
    model = copy.copy(small_model)
    task = replace(model.config.task, consistent=True)
    model.config = replace(model.config, task=task)
    expected = restore(small_model, image, 0.4, 3, consistent=True)
    plain = restore(small_model, image, 0.4, 3)
    for asked, other in ((None, expected), (False, plain)):
        result = restore(model, image, 0.4, 3, consistent=asked)
        assert result.sampling.consistent == (asked is None)
        for candidate, same in zip(result.ranked, other.ranked, strict=True):
            np.testing.assert_array_equal(candidate.image, same.image)


def test_more_can_be_drawn_at_any_time(small_model):
    sampling = Sampling(tau=0.8, candidates=2, keep=2, seed=4)
    request = prepare(small_model, as_input(INPUT), None, sampling)
    conditions = encode([request])
    first, second = (found for [found] in draw([Candidates(request)], conditions, batch_size=1))
    assert (len(first.drawn), len(first.kept)) == (1, 1)  # fewer than are kept in the end
    assert (len(second.drawn), len(second.kept)) == (2, 2)
    ([found],) = draw([second], conditions, 1, batch_size=1)
    assert len(found.drawn) == 3
    wanted = restore(small_model, INPUT, 0.8, 3, keep=2, seed=4)
    for one, other in zip(found.ranked, wanted.ranked, strict=True):
        assert (one.k, one.seed) == (other.k, other.seed)
        assert one.score.rank_score == pytest.approx(other.score.rank_score, abs=1)
        assert levels_apart(one.image, other.image).max() <= 1
    with pytest.raises(CaflowError, match="out of range"):
        prepare(small_model, as_input(INPUT), None, replace(sampling, seed=SEEDS - 1))


def test_an_unknown_keyword_is_answered_with_the_nearest(small_model):
    with pytest.raises(CaflowError, match="unknown keyword 'consistant'") as caught:
        restore(small_model, INPUT, consistant=True)
    assert caught.value.hint == "did you mean 'consistent'?"
    assert caught.value.exit_code == 2


def test_draws_in_bf16_are_scored_in_float32(small_model):
    try:
        check_bf16(torch.device("cpu"))
    except CaflowError as error:
        pytest.skip(error.message)
    image = smooth(8, 8)
    plain, rough = (
        restore(small_model, image, 0.8, 3, precision=precision)
        for precision in ("float32", "bf16")
    )
    for candidate in rough.ranked:
        repeated = score(small_model, image, candidate.image)
        assert candidate.score.log_likelihood == pytest.approx(repeated.log_likelihood, abs=1e-3)
    a, b = ({c.k: c.image for c in result.ranked} for result in (plain, rough))
    assert 0 < np.stack([levels_apart(a[k], b[k]) for k in a]).mean() < 2


@pytest.fixture(scope="module")
def found(small_model):
    return restore(small_model, Image.fromarray(INPUT), candidates=3, keep=2)


def test_saved_images_score_as_they_were_ranked_and_none_is_overwritten(
    found, small_model, tmp_path
):
    out = tmp_path / "out.png"
    first, second = found.save(out)
    assert [first.name, second.name] == ["out_01.png", "out_02.png"]
    assert np.array_equal(read_image(second), found.kept[1].image)
    record, other = map(read_provenance, (first, second))
    likelihoods = [one.score.log_likelihood for one in found.kept]
    assert [record["log_likelihood"], other["log_likelihood"]] == likelihoods
    assert (record["rank"], record["seed"], record["task"]) == (1, found.kept[0].seed, "superres")
    assert record["model"] == {"id": "unnamed", "sha256": None}
    assert str(tmp_path) not in str(record)
    write_png(tmp_path / "in.png", INPUT)
    again = caflow.score(small_model, tmp_path / "in.png", str(first))
    assert again.log_likelihood == pytest.approx(record["log_likelihood"], abs=0.02)
    first.unlink()
    second.write_bytes(b"mine")
    with pytest.raises(CaflowError, match="exists") as caught:
        found.save(out)
    assert "overwrite=True" in caught.value.hint
    assert not first.exists()
    assert second.read_bytes() == b"mine"
    assert len(found.save(out, overwrite=True)) == 2
    with pytest.raises(CaflowError, match="has no image suffix"):
        found.save(tmp_path / "out.txt")


def test_an_input_whose_colors_are_dropped_is_shown_gray_with_a_note(found, task_models):
    assert found.notes == []
    shown = restore(task_models["colorize"], INPUT, candidates=1)
    assert shown.notes == ["the image is already in color; its colors will be replaced"]
    assert shown.notes[0] in repr(shown)
    assert np.array_equal(shown.request.image, INPUT)
    assert np.array_equal(shown.seen, gray(INPUT)[..., None].repeat(3, 2))
    cell = np.asarray(shown.grid())[:192, :192]
    assert np.array_equal(cell[::24, ::24], shown.seen)


def test_arrays_and_tensors_give_the_same_and_alpha_is_kept(small_model, tmp_path):
    alpha = np.full((8, 8), 200, np.uint8)
    given = [INPUT, torch.from_numpy(INPUT).permute(2, 0, 1), np.dstack([INPUT, alpha])]
    found = [restore(small_model, one, 0.8, 2, alpha=True) for one in given]
    first, second, third = (one.ranked[0].image for one in found)
    assert np.array_equal(first, second)
    assert third.shape == (32, 32, 4)
    assert np.array_equal(third, np.dstack([first, np.full((32, 32), 200, np.uint8)]))
    (path,) = found[2].save(tmp_path / "a.png")
    assert np.array_equal(np.asarray(Image.open(path)), third)
    again = score(small_model, given[2], third, alpha=True)
    assert again.log_likelihood == pytest.approx(found[2].ranked[0].score.log_likelihood, abs=1e-2)


def test_what_is_hidden_outside_a_hole_stays_as_it_is(task_models):
    image = np.dstack([smooth(32, 32), np.zeros((32, 32), np.uint8)])
    image[4:, :, 3] = 255
    mask = np.zeros((32, 32), bool)
    mask[10:20, 10:20] = True
    found = restore(task_models["inpaint"], image, 0.5, 1, mask=mask, alpha=True)
    found = found.ranked[0].image
    assert np.array_equal(found[~mask], image[~mask])

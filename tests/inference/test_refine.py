"""Refinement: likelier candidates, by steps that can only help, the same in every batch."""

from __future__ import annotations

import copy

import helpers
import numpy as np
import pytest
import torch

from caflow_cli import load
from caflow_cli.errors import CaflowError
from caflow_cli.inference import conditions, refine, restore, score, tiling
from caflow_cli.inference.candidates import Conditioned, Request
from caflow_cli.inference.choice import own_log_likelihoods
from caflow_cli.inference.conditions import InTiles, OnePiece
from caflow_cli.inference.refine import check_refinable, refined
from caflow_cli.inference.score import task_of
from caflow_cli.inference.tiling import plan_tiles

SIZE = (32, 32)


def smooth(batch, size=SIZE, seed=0):
    return helpers.smooth_image(batch, 3, size, seed)


@pytest.fixture
def given(small_model64):
    """A condition and latents in float64, of a model that is far from the identity."""
    condition = small_model64.encode_condition(smooth(1))
    return condition, [0.8 * z[None].double() for z in small_model64.latent_noise(3, SIZE)]


def log_prob(model, latents, condition):
    return float(model.decode(latents, condition)[1])


def test_the_gradient_is_that_of_the_log_density(small_model64, given):
    condition, latents = given
    value, gradient, sound = refine._climb(small_model64, condition, latents)
    assert sound
    assert value == pytest.approx(log_prob(small_model64, latents, condition), abs=1e-6)
    aside = [helpers.normal(z.shape, 5 + k) for k, z in enumerate(latents)]
    way, near = sum(float((g * a).sum()) for g, a in zip(gradient, aside, strict=True)), 1e-5
    ends = [
        log_prob(small_model64, [z + s * a for z, a in zip(latents, aside, strict=True)], condition)
        for s in (near, -near)
    ]
    assert way == pytest.approx((ends[0] - ends[1]) / (2 * near), rel=1e-4)


def test_more_steps_are_never_less_likely(small_model64, given):
    condition, latents = given
    values = [
        log_prob(small_model64, refined(small_model64, condition, latents, steps), condition)
        for steps in (0, 1, 2, 3, 6)
    ]
    assert values[0] == log_prob(small_model64, latents, condition)
    assert values == sorted(values)
    assert values[1] > values[0] + 10
    assert values[4] > values[3] + 10
    # The first step is the stated one.
    _, gradient, _ = refine._climb(small_model64, condition, latents)
    once = refined(small_model64, condition, latents, 1)
    for z, slope, found in zip(latents, gradient, once, strict=True):
        assert torch.equal(found, z + 0.01 * slope)


def test_a_step_that_does_not_help_is_taken_back(small_model64, given, monkeypatch):
    condition, latents = given
    monkeypatch.setattr(refine, "FIRST_STEP", 100.0)
    for z, found in zip(latents, refined(small_model64, condition, latents, 3), strict=True):
        assert torch.equal(z, found)
    # Halved often enough, it helps again.
    better = refined(small_model64, condition, latents, 16)
    before = log_prob(small_model64, latents, condition)
    assert log_prob(small_model64, better, condition) > before + 10


def test_a_step_behind_which_the_picture_runs_away_is_taken_back(small_model64, given, monkeypatch):
    condition, latents = given
    own = refine.runaway_cells

    def away(*arguments):
        return torch.ones_like(own(*arguments))

    monkeypatch.setattr(refine, "runaway_cells", away)
    for z, found in zip(latents, refined(small_model64, condition, latents, 2), strict=True):
        assert torch.equal(z, found)


def pictures(drawn):
    return [one.picture for one in drawn]


def test_a_refined_draw_is_the_same_in_any_batch(small_model):
    """Byte for byte: alone, among others, and under a condition that was read with others."""
    conds = smooth(2)
    both = OnePiece(small_model, conds)
    drawn = pictures(helpers.draw(both, 0.8, [5, 9], 1, 2, refine=3))
    plain = pictures(helpers.draw(both, 0.8, [5, 9], 1, 2))
    for place, (row, seed) in enumerate(((0, 6), (0, 7), (1, 10), (1, 11))):
        alone = OnePiece(small_model, conds[row, None])
        (again,) = pictures(helpers.draw(alone, 0.8, [seed], 0, 1, refine=3))
        np.testing.assert_array_equal(drawn[place], again)
        assert (drawn[place] != plain[place]).any()


@pytest.fixture
def image():
    return smooth(1, (8, 8), 4)[0].permute(1, 2, 0).numpy()


def test_refined_candidates_score_as_their_files_do(small_model, image):
    plain = restore(small_model, image, 0.8, 3, seed=4)
    result = restore(small_model, image, 0.8, 3, seed=4, refine=4, batch_size=2)
    assert (plain.refine, result.refine) == (0, 4)
    before = {c.k: c.score.log_likelihood for c in plain.ranked}
    for candidate in result.ranked:
        again = score(small_model, image, candidate.image)
        assert again.log_likelihood == pytest.approx(candidate.score.log_likelihood, abs=1e-2)
        assert candidate.score.log_likelihood > before[candidate.k] + 10
        (replay,) = restore(small_model, image, 0.8, 1, seed=candidate.seed, refine=4).ranked
        np.testing.assert_array_equal(replay.image, candidate.image)


@pytest.mark.parametrize("task", ["colorize", "inpaint", "paired"])
def test_every_task_can_refine(task_models, task):
    model = task_models[task]
    image = smooth(1, (20, 30), 4)[0].permute(1, 2, 0).numpy()
    mask = np.zeros((20, 30), np.uint8) if task == "inpaint" else None
    if mask is not None:
        mask[5:19, 8:20] = 255
    plain, result = (
        restore(model, image, 0.8, 2, mask=mask, refine=steps).ranked for steps in (0, 4)
    )
    floor = {c.k: c.score.log_likelihood for c in plain}
    for candidate in result:
        assert candidate.score.log_likelihood >= floor[candidate.k] - 1e-2
        again = score(model, image, candidate.image, mask).log_likelihood
        assert again == pytest.approx(candidate.score.log_likelihood, abs=1e-2)


def test_what_rounding_makes_less_likely_stays_as_it_was_drawn(small_model, image, monkeypatch):
    """One of two candidates is spoiled by its refinement, as a picture of 8 bits."""
    plain = restore(small_model, image, 0.8, 2, seed=4).ranked
    own = OnePiece.draw_refined

    def spoiled(self, *arguments):
        first, second = own(self, *arguments)
        return [first, second._replace(picture=np.roll(second.picture, 9, 1))]

    monkeypatch.setattr(OnePiece, "draw_refined", spoiled)
    result = restore(small_model, image, 0.8, 2, seed=4, refine=2).ranked
    before, after = ({c.seed: c for c in ranked} for ranked in (plain, result))
    np.testing.assert_array_equal(after[5].image, before[5].image)
    assert after[5].score.log_likelihood == pytest.approx(before[5].score.log_likelihood, abs=0.01)
    assert after[4].score.log_likelihood > before[4].score.log_likelihood + 10


def test_the_models_own_draws_are_not_refined(small_model, image):
    """Those that "typical" compares with are plain samples."""
    result = restore(small_model, image, 0.8, 2, rank="typical", refine=4)
    conditioned = Conditioned(small_model, [Request.of(task_of(small_model), image)])
    mean = own_log_likelihoods(conditioned, 1).mean()
    for candidate in result.ranked:
        assert candidate.rank_value == pytest.approx(
            abs(candidate.score.log_likelihood - mean), abs=1e-2
        )


def runs_away(monkeypatch, which):
    """The latents of all that is decoded from now on, of which that one runs away (from 1)."""
    own, calls = conditions.decode_noise, []

    def decode(model, condition, latents, bf16=False):
        points, cells = own(model, condition, latents, bf16)
        calls.append(latents)
        return points, torch.ones_like(cells) if len(calls) == which else cells

    monkeypatch.setattr(conditions, "decode_noise", decode)
    return calls


def test_what_runs_away_is_drawn_again_and_then_refined(small_model, monkeypatch):
    piece = OnePiece(small_model, smooth(1))
    calls = runs_away(monkeypatch, 1)
    (drawn,) = helpers.draw(piece, 0.8, [5], 0, 1, refine=2)
    assert drawn.drawn.redraws == 1
    assert len(calls) == 3  # the first draw, the second, and that refined
    second = [0.8 * z[None] for z in helpers.noise_behind(small_model, 5, SIZE, 1)]
    for z, found in zip(second, calls[1], strict=True):
        assert torch.equal(z, found)
    assert not torch.equal(calls[1][0], calls[2][0])


def test_what_runs_away_as_it_is_decoded_stays_unrefined(small_model, monkeypatch):
    piece = OnePiece(small_model, smooth(1))
    (plain,) = helpers.draw(piece, 0.8, [5], 0, 1)
    calls = runs_away(monkeypatch, 2)
    (drawn,) = helpers.draw(piece, 0.8, [5], 0, 1, refine=2)
    assert len(calls) == 2
    np.testing.assert_array_equal(drawn.picture, plain.picture)


def test_large_pictures_are_refused(small_model, image, monkeypatch):
    check_refinable((512, 512))
    with pytest.raises(CaflowError, match="candidates of 512×528 pixels cannot be refined"):
        check_refinable((528, 512))
    tiles = InTiles(small_model, smooth(1, (528, 512)), plan_tiles((528, 512), 16, 256))
    with pytest.raises(CaflowError, match="cannot be refined") as caught:
        helpers.draw(tiles, 0.8, [5], 0, 1, refine=1)
    assert caught.value.exit_code == 1
    monkeypatch.setattr(refine, "_MOST", 32 * 32 - 1)
    with pytest.raises(CaflowError, match="cannot be refined"):
        restore(small_model, image, 0.8, 2, refine=1)
    assert restore(small_model, image, 0.8, 2).refine == 0
    # Whatever is in tiles is above the limit.
    assert tiling._ONE_PIECE > 2**18


def test_weights_get_no_gradients(small_model, image):
    model = copy.deepcopy(small_model)
    restore(model, image, 0.8, 1, refine=1)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_inference_mode_outside_changes_nothing(model_file):
    def found():
        model = load(str(model_file))
        result = restore(model, smooth(1)[0, :, :8, :8].permute(1, 2, 0).numpy(), refine=1)
        return result.kept[0].image, result.kept[0].score.log_likelihood

    image, nats = found()
    with torch.inference_mode():
        again, same = found()
    np.testing.assert_array_equal(image, again)
    assert nats == same

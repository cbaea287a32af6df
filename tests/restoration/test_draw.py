"""Samples that diverge are resampled: those alone, from the next latents, and never silently."""

from dataclasses import replace
from math import inf, nan

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.config import TaskConfig
from caflow_cli.errors import CaflowError
from caflow_cli.layers import to_stored
from caflow_cli.model import CAFlow
from caflow_cli.restoration import Whole, answer, encode, prepare, restore
from caflow_cli.restoration.conditions import RESAMPLES, diverged_cells
from caflow_cli.restoration.tiled import Tiled
from caflow_cli.sampling import Sampling
from caflow_cli.tasks.arguments import as_input
from caflow_cli.tasks.tiles import plan_tiles

TAU = 0.8
SIZE = (32, 32)
BURST = 262.7368  # of α = 0.05, whose values end at 262.7368421


def burst(points, log_prob):
    points[:, 0, 2:6, 3:7] = BURST
    return points, log_prob


def not_finite(points, log_prob, value=nan):
    points[:, 1, 4, 4] = value
    return points, log_prob


def infinite(points, log_prob):
    return not_finite(points, log_prob, inf)


def too_likely(points, log_prob):
    return points, log_prob + 3e9


def poisoned(model, given, how=burst, size=SIZE):
    """A double whose inverse is corrupted for the latents of the given (seed, redraws) pairs.

    Also returns a list, to which pairs are added when their latents are decoded.
    """
    known = [TAU * helpers.noise_behind(model, seed, size, redraws)[0] for seed, redraws in given]
    found = []

    def decode(_, own, latents, cond, **more):
        points, log_prob = own(latents, cond, **more)
        for row, z in enumerate(latents[0]):
            for which, one in zip(given, known, strict=True):
                if torch.equal(z[:, 0, 0].float(), one[:, 0, 0]):
                    found.append(which)
                    new = how(points[row, None].clone(), log_prob[row, None])
                    points[row], log_prob[row] = new[0][0], new[1][0]
        return points, log_prob

    return helpers.double_of(model, decode=decode), found


def conditions(count: int, size=SIZE, seed: int = 0) -> torch.Tensor:
    return helpers.smooth_image(count, 3, size, seed)


def points_of(model, cond, seed: int, redraws: int) -> np.ndarray:
    """Decode a generator's latents after `redraws` earlier draws, without the divergence check."""
    noise = helpers.noise_behind(model, seed, model.encode_condition(cond).size, redraws)
    points, _ = model.decode([TAU * z[None] for z in noise], cond)
    return to_stored(points, 1)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("how", [burst, not_finite, infinite, too_likely])
def test_what_diverges_is_resampled_and_nothing_else_changes(small_model, how):
    cond = conditions(2)
    plain = helpers.draw(Whole(small_model, cond), TAU, [5, 50], 0, 3)
    expected = [points_of(small_model, cond[1:], 51, 1), points_of(small_model, cond[:1], 5, 2)]
    model, _ = poisoned(small_model, [(51, 0), (5, 0), (5, 1)], how)
    drawn = helpers.draw(Whole(model, cond), TAU, [5, 50], 0, 3)
    assert [redraws for _, redraws in plain] == [0] * 6
    assert [redraws for _, redraws in drawn] == [2, 0, 0, 0, 1, 0]
    for place in (1, 2, 3, 5):
        np.testing.assert_array_equal(drawn[place][0], plain[place][0])
    for place, image in zip((4, 0), expected, strict=True):
        apart = np.abs(drawn[place][0].astype(int) - image)
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3


def test_a_candidate_that_always_diverges_is_left_out_and_others_stay(models_32):
    model = models_32["superres"]
    image = conditions(1, (8, 8))[0].permute(1, 2, 0).contiguous().numpy()
    plain = restore(model, image, TAU, 3, seed=7, rank="none")
    almost, _ = poisoned(model, [(8, k) for k in range(RESAMPLES)])
    one, (alone,) = (restore(almost, image, TAU, m, seed=8, rank="none").ranked for m in (2, 1))
    assert one[0].redraws == alone.redraws == RESAMPLES
    np.testing.assert_array_equal(one[0].image, alone.image)  # a seed replays its resamples, too
    model, _ = poisoned(model, [(8, k) for k in range(RESAMPLES + 1)])
    found = restore(model, image, TAU, 3, keep=3, seed=7, rank="none")
    assert (plain.diverged, found.diverged) == (0, 1)
    assert [(one.k, one.seed, one.rank) for one in found.kept] == [(0, 7, 1), (2, 9, 2)]
    for one, other in zip(found.ranked, (plain.ranked[0], plain.ranked[2]), strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        assert one.score == other.score


def small_input() -> np.ndarray:
    return conditions(1, (8, 8))[0].permute(1, 2, 0).contiguous().numpy()


def diverging(model, is_lost, value=nan):
    """A double whose samples diverge if `is_lost` of their finest latents."""

    def decode(_, own, latents, *given, **more):
        points, log_prob = own(latents, *given, **more)
        for row, z in enumerate(latents[0]):
            if is_lost(z):
                points[row] = value
        return points, log_prob

    return helpers.double_of(model, decode=decode)


def test_a_set_of_which_nothing_is_left_is_drawn_again_at_a_lower_tau(models_32):
    model = diverging(models_32["superres"], lambda z: z.std() > 0.7)
    found = restore(model, small_input(), TAU, 3, keep=2, seed=7)
    assert found.tau.values == (0.56,)
    assert found.provenance(found.kept[0])["tau"] == [0.56]
    assert found.notes == [
        "all candidates diverged at tau 0.8, so tau is 0.56: the image is unlike the training data"
    ]
    assert (len(found.ranked), found.diverged, found.sampling.candidates) == (3, 0, 3)
    for one in found.ranked:
        (again,) = restore(model, small_input(), found.tau, 1, seed=one.seed).ranked
        apart = np.abs(again.image.astype(int) - one.image)
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3
    assert restore(model, small_input(), 0.56, 3, seed=7).notes == []


def test_the_last_resort_is_one_candidate_at_tau_0(models_32):
    model = diverging(models_32["superres"], lambda z: bool(z.any()))
    found = restore(model, small_input(), (0.9, 0.7, 0.5), 3, seed=7)
    assert found.tau.values == (0,)
    assert found.sampling.candidates == len(found.ranked) == 1
    (again,) = restore(model, small_input(), 0, 1, seed=7).ranked
    np.testing.assert_array_equal(found.kept[0].image, again.image)
    assert "all candidates diverged at tau 0.9/0.7/0.5, so tau is 0" in repr(found)
    request = prepare(model, as_input(small_input()), None, Sampling(TAU, 1))
    with pytest.raises(CaflowError, match=r"11 samples in a row diverged at tau 0\.8"):
        list(answer([request], encode([request]), lower_tau=False))
    # Several images do not share what is left to try: the caller draws them one by one.
    with pytest.raises(CaflowError, match=r"11 samples in a row diverged at tau 0\.8"):
        list(answer([request] * 2, encode([request] * 2)))


def test_a_saturated_image_at_tau_0_is_kept_because_there_is_no_other(models_32):
    saturated = diverging(models_32["superres"], lambda _: True, BURST)
    found = restore(saturated, small_input(), TAU, 2)
    assert (found.tau.values, found.kept[0].redraws) == ((0,), 0)
    (again,) = restore(saturated, small_input(), 0, 1).ranked
    np.testing.assert_array_equal(again.image, found.kept[0].image)


@pytest.mark.parametrize("tau", [TAU, 0])
def test_an_image_of_which_every_sample_diverges_is_an_error(models_32, tau):
    model = diverging(models_32["superres"], lambda _: True)
    with pytest.raises(CaflowError, match=f"11 samples in a row diverged at tau {tau}") as caught:
        restore(model, small_input(), tau, 1, seed=8)
    assert caught.value.exit_code == 1
    assert caught.value.hint == "an image more like the training data, or another --model"


def test_a_burst_in_a_tile_is_drawn_again_there(small_model):
    """Of noise that is new around it alone: elsewhere the image stays as it is."""
    size, corner = (160, 288), 256
    cond = conditions(1, size)
    tiles = plan_tiles(size, 16, 256)
    assert tiles.lefts == (0, 32)
    plan = Tiled(small_model, cond, tiles)
    ((plain, none),) = helpers.draw(plan, TAU, [4], 0, 1)
    model, found = poisoned(small_model, [(4, 0)], size=size)
    ((drawn, redraws),) = helpers.draw(Tiled(model, cond, tiles), TAU, [4], 0, 1)
    assert found == [(4, 0)]  # in one tile of two, which the other's corner is not
    assert (none, redraws) == (0, 1)
    fresh = helpers.noise_behind(small_model, 4, size, 1)
    mixed = []
    for z, new in zip(small_model.latent_noise(4, size), fresh, strict=True):
        side = 80 * z.shape[-1] // size[1]  # a block of 64 pixels, and a cell of 16 around it
        mixed.append(z.clone())
        mixed[-1][:, :side, :side] = new[:, :side, :side]
    whole, _ = small_model.decode([TAU * z[None] for z in mixed], cond)
    apart = np.abs(to_stored(whole, 1)[0].permute(1, 2, 0).numpy().astype(int) - drawn)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-3
    assert (np.abs(plain[:64, :64].astype(int) - drawn[:64, :64]) > 1).mean() > 0.5
    np.testing.assert_allclose(plain[:, corner:].astype(int), drawn[:, corner:], atol=1)


def test_an_image_in_tiles_states_the_redraws_of_its_worst_row(small_model):
    """Of two rows, the first diverges twice, and the second once."""
    size, calls = (288, 160), []

    def decode(_, own, *given, **more):
        points, log_prob = own(*given, **more)
        calls.append(len(calls))
        if calls[-1] in (0, 1, 3):
            points[:] = nan
        return points, log_prob

    tiles = plan_tiles(size, 16, 256)
    assert tiles.tops == (0, 32)
    model = helpers.double_of(small_model, decode=decode)
    ((_, redraws),) = helpers.draw(Tiled(model, conditions(1, size), tiles), TAU, [4], 0, 1)
    assert (redraws, len(calls)) == (2, 5)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 64), torch.ones(4, 4)),
        ((64, 160), torch.arange(10).lt(5).expand(4, 10)),  # a block of 4 cells, and one more
        ((16, 16), torch.ones(1, 1)),
    ],
)
@pytest.mark.parametrize("values", [12, 13])
def test_a_block_diverges_where_more_than_12_values_are_at_an_end(
    small_model, size, expected, values
):
    condition = small_model.encode_condition(conditions(1, size))
    points = torch.full((1, 3, *size), 128.0)
    points[0, 0, 0, :4], points[0, 1, :3, 1], points[0, 2, 1:3, 2:5] = BURST, -6.7368, BURST
    points[0, 2, 2, 4] = BURST if values == 13 else 262.7  # no nearer than many an ordinary value
    cells = diverged_cells(small_model, condition, points, torch.zeros(1))
    wanted = expected.bool() if values == 13 else torch.zeros_like(expected).bool()
    assert torch.equal(cells[0], wanted)


def test_what_is_drawn_again_is_the_block_that_diverged_and_the_cells_beside_it(small_model):
    size = (160, 288)  # of 10 × 18 cells; the last blocks have 2 cells
    condition = small_model.encode_condition(conditions(1, size))
    points = torch.full((2, 3, *size), 128.0)
    points[0, 0, 64:72, 200:203] = BURST
    points[1, 2, 130:134, 270:275] = nan
    cells = diverged_cells(small_model, condition, points, torch.zeros(2))
    wanted = torch.zeros(2, 10, 18, dtype=torch.bool)
    wanted[0, 3:9, 11:17] = True
    wanted[1, 7:, 15:] = True
    assert torch.equal(cells, wanted)
    unlikely = torch.full((2,), 11.0 * points[0].numel())  # which a block that diverged explains
    assert torch.equal(diverged_cells(small_model, condition, points, unlikely), wanted)


def test_a_density_far_from_any_means_that_all_diverged(small_model):
    size = (64, 160)
    condition = small_model.encode_condition(conditions(1, size))
    points = torch.full((1, 3, *size), 128.0)
    values = points.numel()
    for logdet, away in ((10.0, False), (10.1, True), (-10.1, True), (-9.9, False), (nan, True)):
        given = torch.tensor([logdet * values], dtype=torch.float64)
        cells = diverged_cells(small_model, condition, points, given)
        assert bool(cells.any()) == bool(cells.all()) == away


def test_what_a_condition_tells_may_be_missed_by_any_draw():
    """Known pixels and green have no end, and what is written takes them from the input."""
    for task, flow, free in (
        ("inpaint", {"anchor": "pixels", "cond_channels": 4}, (slice(None), slice(0, 8))),
        ("inpaint", {"anchor": "fill", "cond_channels": 4}, (slice(None), slice(0, 8))),
        ("colorize", {"anchor": "luminance", "cond_channels": 1}, (1, slice(None))),
    ):
        config = replace(helpers.small_config(**flow), task=TaskConfig(task, size=32))
        model = CAFlow(config).eval()
        cond = torch.zeros(1, flow["cond_channels"], *SIZE, dtype=torch.uint8)
        if task == "inpaint":
            cond[0, 3, 8:] = 255  # the hole: all but the first rows
        condition = model.encode_condition(cond)
        points = torch.full((2, 3, *SIZE), 128.0)
        points[0][free], points[1, 0, 10:14, 0:4] = 900.0, BURST
        cells = diverged_cells(model, condition, points, torch.zeros(2))
        assert cells.flatten(1).any(1).tolist() == [False, True]

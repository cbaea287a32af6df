"""Samples that diverge are resampled: those alone, from the next latents, and never silently."""

from dataclasses import replace
from math import inf, nan

import helpers
import numpy as np
import pytest
import torch

from caflow_cli.config import TaskConfig, Temperature
from caflow_cli.errors import CaflowError
from caflow_cli.layers import to_stored
from caflow_cli.model import CAFlow
from caflow_cli.restoration import Whole, prepare, restore, score, spread, task_of, uncertainty_map
from caflow_cli.restoration.conditions import RESAMPLES, diverged_cells
from caflow_cli.restoration.tiled import Tiled
from caflow_cli.tasks.arguments import as_input
from caflow_cli.tasks.tiles import plan_tiles

TAU = 0.8
SIZE = (32, 32)
BURST = 262.7368  # of α = 0.05, whose values end at 262.7368421


def burst(points, log_prob):
    points[:, 0, 2:7, 3:8] = BURST
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
    assert [sample.redraws for sample in plain] == [0] * 6
    assert [sample.redraws for sample in drawn] == [2, 0, 0, 0, 1, 0]
    for place in (1, 2, 3, 5):
        np.testing.assert_array_equal(drawn[place][0], plain[place][0])
    for place, image in zip((4, 0), expected, strict=True):
        apart = np.abs(drawn[place][0].astype(int) - image)
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3


def small_input() -> np.ndarray:
    return conditions(1, (8, 8))[0].permute(1, 2, 0).contiguous().numpy()


def predicted(model, cond) -> torch.Tensor:
    return model.density.A.predict(model.encode_condition(cond).anchor)


@pytest.fixture(scope="module")
def guided():
    return helpers.guided_model()


def test_a_candidate_that_always_diverges_is_the_guides_prediction_and_others_stay(guided):
    image = small_input()
    plain = restore(guided, image, TAU, 3, keep=3, seed=7)
    almost, _ = poisoned(guided, [(8, k) for k in range(RESAMPLES)])
    one, (alone,) = (restore(almost, image, TAU, m, seed=8, rank="none").ranked for m in (2, 1))
    assert one[0].redraws == alone.redraws == RESAMPLES
    np.testing.assert_array_equal(one[0].image, alone.image)  # a seed replays its resamples, too
    assert not alone.predicted
    model, _ = poisoned(guided, [(8, k) for k in range(RESAMPLES + 1)])
    for rule in ("likelihood", "consensus", "none"):
        found = restore(model, image, TAU, 3, keep=3, seed=7, rank=rule)
        *others, last = found.kept
        assert (last.k, last.rank, last.rank_value, last.redraws) == (1, 3, None, RESAMPLES)
        assert {other.k for other in others} == {0, 2}
    found = restore(model, image, TAU, 3, keep=3, seed=7)
    for one in others:
        same = next(other for other in plain.ranked if other.k == one.k)
        np.testing.assert_array_equal(one.image, same.image)
        assert one.score == same.score
    *_, last = found.ranked
    condition = prepare(guided, as_input(image)).parts[0].condition(image)
    mean = predicted(guided, torch.from_numpy(condition).permute(2, 0, 1)[None])
    np.testing.assert_array_equal(last.image, to_stored(mean, 1)[0].permute(1, 2, 0).numpy())
    (again,) = restore(model, image, TAU, 1, seed=8).ranked
    np.testing.assert_array_equal(again.image, last.image)
    record = found.as_json()["candidates"][2]
    assert record["predicted"] == found.provenance(last)["predicted"] == [(0, 0, 32, 32)]
    for name in ("rank_score", "log_likelihood", "bits_per_dim"):
        assert record[name] is found.provenance(last)[name] is None
    assert found.notes == [
        "1 of 3 candidates diverged at tau 0.8 in 1 window that the guide alone predicts: smooth, "
        "and not scored"
    ]
    assert found.divergence == (3, RESAMPLES, 1)
    assert score(guided, image, last.image).log_likelihood is not None  # of the file as given
    _, lines = uncertainty_map(found.ranked, found.tau)
    assert np.isnan(spread(found.ranked)).all()
    assert "blank" in lines[-1]


def diverging(model, is_lost, value=nan):
    """A double whose samples diverge if `is_lost` of their finest latents."""

    def decode(_, own, latents, *given, **more):
        points, log_prob = own(latents, *given, **more)
        for row, z in enumerate(latents[0]):
            if is_lost(z):
                points[row] = value
        return points, log_prob

    return helpers.double_of(model, decode=decode)


@pytest.mark.parametrize("value", [nan, BURST])
def test_nothing_that_diverged_is_written_at_tau_0(guided, value):
    (found,) = restore(diverging(guided, lambda _: True, value), small_input(), 0, 1).ranked
    assert (found.redraws, found.predicted) == (0, [(0, 0, 32, 32)])  # there is no other sample
    mean = restore(diverging(guided, lambda _: True), small_input(), TAU, 1).ranked[0]
    np.testing.assert_array_equal(found.image, mean.image)


@pytest.mark.parametrize("tau", [TAU, 0])
def test_without_a_guide_an_image_of_which_a_sample_diverges_is_an_error(models_32, tau):
    model = diverging(models_32["superres"], lambda _: True)
    with pytest.raises(CaflowError, match=f"all samples diverged at tau {tau}") as caught:
        restore(model, small_input(), tau, 1, seed=8)
    assert caught.value.exit_code == 1
    assert caught.value.hint == "an image more like the training data, or another --model"


def test_a_candidate_whose_score_is_not_finite_is_the_guides_prediction(guided):
    plain = restore(guided, small_input(), TAU, 2, seed=7, rank="none")

    def log_prob_samples(_, own, target, *given):
        pixels = torch.from_numpy(plain.ranked[1].image).permute(2, 0, 1)
        terms = own(target, *given)
        return torch.where((target == pixels).flatten(1).all(1), nan, terms)

    model = helpers.double_of(guided, log_prob_samples=log_prob_samples)
    found = restore(model, small_input(), TAU, 2, seed=7, rank="none")
    np.testing.assert_array_equal(found.ranked[0].image, plain.ranked[0].image)
    mean = restore(diverging(guided, lambda _: True), small_input(), TAU, 1).ranked[0]
    np.testing.assert_array_equal(found.ranked[1].image, mean.image)
    assert found.ranked[1].score.rank_score is None


@pytest.mark.parametrize("times", [1.1, 3])
def test_a_model_with_broken_weights_never_writes_what_diverged(guided, times):
    """All weights but the guide's, which is all that is left to trust."""
    model = helpers.broken(guided, times)
    image = small_input()
    cond = torch.from_numpy(task_of(model).condition(image)).permute(2, 0, 1)[None]
    mean = to_stored(predicted(model, cond), 1)[0].permute(1, 2, 0).numpy()
    for tau in (0, TAU, 1.2):
        found = restore(model, image, tau, 4, keep=4, seed=3)
        assert len(found.kept) == 4
        for one in found.kept:
            assert bool(one.predicted) == (one.score.rank_score is None)
            assert not one.predicted or np.array_equal(one.image, mean)


def test_tiles_that_always_diverge_are_the_guides_prediction(guided):
    """Of two tiles, the left one diverges: the right one, away from their overlap, stays."""
    size = (160, 288)
    cond = conditions(1, size)
    tiles = plan_tiles(size, guided.config.flow.multiple, 256)
    ((plain, *_),) = helpers.draw(Tiled(guided, cond, tiles), TAU, [4], 0, 1)
    left = Tiled(guided, cond, tiles)
    calls = []

    def decode(_, own, *given, **more):
        points, log_prob = own(*given, **more)
        calls.append(len(calls))
        if calls[-1] % len(tiles.lefts) == 0:
            points[:] = nan
        return points, log_prob

    model = helpers.double_of(guided, decode=decode)
    ((drawn, redraws, windows),) = helpers.draw(Tiled(model, cond, tiles), TAU, [4], 0, 1)
    assert len(calls) == (RESAMPLES + 1) * len(tiles.lefts)
    assert redraws == RESAMPLES
    assert windows == [(0, 0, tiles.shape[1], tiles.shape[0])]
    (mean, _, everywhere) = left.predicted(0, Temperature.of(TAU))
    assert len(everywhere) == len(tiles)
    np.testing.assert_array_equal(drawn[:, : tiles.lefts[1]], mean[:, : tiles.lefts[1]])
    assert np.abs(plain[:, -16:].astype(int) - mean[:, -16:]).max() > 1


def test_a_burst_in_a_tile_is_drawn_again_there(small_model):
    """Of noise that is new around it alone: elsewhere the image stays as it is."""
    size, corner = (160, 288), 256
    cond = conditions(1, size)
    tiles = plan_tiles(size, 16, 256)
    assert tiles.lefts == (0, 32)
    plan = Tiled(small_model, cond, tiles)
    ((plain, none, _),) = helpers.draw(plan, TAU, [4], 0, 1)
    model, found = poisoned(small_model, [(4, 0)], size=size)
    ((drawn, redraws, _),) = helpers.draw(Tiled(model, cond, tiles), TAU, [4], 0, 1)
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


def test_an_image_in_tiles_states_the_redraws_of_all_its_tiles(small_model):
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
    ((_, redraws, _),) = helpers.draw(Tiled(model, conditions(1, size), tiles), TAU, [4], 0, 1)
    assert (redraws, len(calls)) == (3, 5)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((64, 64), torch.ones(4, 4)),
        ((64, 160), torch.arange(10).lt(5).expand(4, 10)),  # a block of 4 cells, and one more
        ((16, 16), torch.ones(1, 1)),
    ],
)
@pytest.mark.parametrize("values", [24, 25])
def test_a_block_diverges_where_more_than_24_values_are_at_an_end(
    small_model, size, expected, values
):
    condition = small_model.encode_condition(conditions(1, size))
    points = torch.full((1, 3, *size), 128.0)
    points[0, 0, 0, :4], points[0, 1, :3, 1], points[0, 2, 1:4, 2:8] = BURST, -6.7368, BURST
    points[0, 2, 3, 7] = BURST if values == 25 else 262.7  # no nearer than many an ordinary value
    cells = diverged_cells(small_model, condition, points, torch.zeros(1))
    wanted = expected.bool() if values == 25 else torch.zeros_like(expected).bool()
    assert torch.equal(cells[0], wanted)


def test_what_is_drawn_again_is_the_block_that_diverged_and_the_cells_beside_it(small_model):
    size = (160, 288)  # of 10 × 18 cells; the last blocks have 2 cells
    condition = small_model.encode_condition(conditions(1, size))
    points = torch.full((2, 3, *size), 128.0)
    points[0, 0, 64:72, 200:204] = BURST
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
        points[0][free], points[1, 0, 10:15, 0:5] = 900.0, BURST
        cells = diverged_cells(model, condition, points, torch.zeros(2))
        assert cells.flatten(1).any(1).tolist() == [False, True]


def test_values_at_the_ends_of_saturated_colors_count_only_far_from_what_is_predicted():
    """Beside an edge between black and white, and on white, a good sample has them, too."""
    model = CAFlow(helpers.task_config("superres", anchor="enlarged")).eval()
    cond = torch.full((1, 3, 64, 64), 128, dtype=torch.uint8)
    cond[..., :16], cond[..., 16:32] = 0, 255
    condition = model.encode_condition(cond)
    points = predicted(model, condition)
    for columns, value, counts in (
        (slice(0, 16), -6.7368, False),
        (slice(16, 18), -6.7368, False),  # within two pixels of black
        (slice(20, 30), -6.7368, True),
        (slice(20, 30), BURST, False),
        (slice(40, 60), BURST, True),
    ):
        drawn = points.clone()
        drawn[:, :, :30, columns] = value
        cells = diverged_cells(model, condition, drawn, torch.zeros(1))
        assert bool(cells.any()) == counts, columns

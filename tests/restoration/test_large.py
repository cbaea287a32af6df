"""Large images: no more than 8-bit values is held at full size, and results are the same."""

import copy
import tracemalloc
from dataclasses import replace
from functools import partial

import helpers
import numpy as np
import pytest
import torch
from PIL import Image

from caflow_cli.config import Temperature
from caflow_cli.errors import CaflowError
from caflow_cli.images import LARGE, Raster, read_provenance
from caflow_cli.restoration import (
    Candidates,
    draw,
    encode,
    prepare,
    restore,
    score,
    task_of,
    to_batch,
)
from caflow_cli.restoration.rows import Rows
from caflow_cli.restoration.tiled import Noise, Tiled
from caflow_cli.sampling import Sampling
from caflow_cli.tasks import SuperRes, resize
from caflow_cli.tasks.arguments import as_input
from caflow_cli.tasks.tiles import LazyImage, plan_tiles


@pytest.mark.parametrize("factor", [2, 4])
def test_a_part_of_a_pair_is_that_of_the_whole_pair(factor):
    task, image = SuperRes(factor, 16), helpers.noise(51, 62)
    target = helpers.noise(factor * 51, factor * 62, 1)
    (height, width, _), whole = task.condition(image).shape, task.reduce(image, target)
    for rows, columns in (
        (slice(0, 64), slice(16, 80)),
        (slice(height - 48, height), slice(width - 64, width)),
    ):
        parts = (
            task.part_of_condition(image, rows, columns),
            task.part_of_target(image, target, rows, columns),
        )
        for part, side in zip(parts, whole, strict=True):
            np.testing.assert_array_equal(part, side[rows, columns])


def test_what_is_computed_tile_by_tile_is_drawn_and_scored_like_what_is_held(small_model):
    task, image, target = task_of(small_model), helpers.noise(40, 100), helpers.noise(160, 400, 1)
    plan = plan_tiles((160, 400), 16, 256)
    assert len(plan) > 1
    cond = LazyImage((1, 3, 160, 400), partial(task.part_of_condition, image))
    held = Tiled(small_model, to_batch([task.condition(image)]), plan)
    unheld = Tiled(small_model, cond, plan)
    ((one, *_),), ((other, *_),) = (helpers.draw(each, 0.8, [4], 0, 1) for each in (held, unheld))
    np.testing.assert_array_equal(one, other)
    scored = LazyImage((1, 3, 160, 400), partial(task.part_of_target, image, target))
    assert held.log_prob(to_batch([target])) == unheld.log_prob(scored)


def test_beside_the_image_one_row_of_tiles_is_held(small_model):
    def even(_, own, latents, cond, **more):
        return torch.full((1, 3, *cond.size), 100.7), torch.zeros(1, dtype=torch.float64)

    size, plan = (1536, 4096), plan_tiles((1536, 4096), 16, 768)
    assert len(plan.tops) > 2
    first = small_model.encode_condition(torch.zeros(1, 3, *plan.shape, dtype=torch.uint8))
    model = helpers.double_of(small_model, decode=even, encode_condition=lambda *_: first)
    conditions = Tiled(model, torch.zeros(1, 3, *size, dtype=torch.uint8), plan)
    tracemalloc.start()  # which NumPy tells what it takes
    helpers.draw(conditions, 1, [0], 0, 1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    image, row = 3 * size[0] * size[1], 4 * 3 * plan.shape[0] * size[1]
    assert peak < image + 1.7 * row


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("written", "exact"), [((320, 150), True), ((411, 190), False), ((17, 8), True)]
)
def test_rows_are_resized_as_they_come_like_the_whole(kind, written, exact):
    size, shape = (640, 300), (656, 304)  # of the image, and with padding
    drawn = np.random.default_rng(0).integers(0, np.iinfo(kind).max + 1, (*shape, 3)).astype(kind)
    rows = Rows(np.zeros((*written, 3), kind), size, lambda part: part[:, :300])
    for part in np.split(drawn, [100, 105, 106, 400, 650]):
        rows.add(part)
    whole = resize(drawn[:640, :300], *written, Image.Resampling.LANCZOS)
    differences = np.abs(rows.result.astype(int) - whole)
    assert differences.max() <= (0 if exact else 1)
    assert (differences > 0).mean() < 0.1


def test_rows_of_a_drawn_image_are_resized_like_the_image(small_model):
    image = helpers.noise(100, 40)
    cond, plan = to_batch([SuperRes(4, 16).condition(image)]), plan_tiles((400, 160), 16, 256)
    assert len(plan.tops) > 1
    result = np.zeros((200, 80, 3), np.uint8)
    held = Tiled(small_model, cond, plan)
    resized = Tiled(small_model, cond, plan, rows=lambda: Rows(result, (400, 160), np.copy))
    ((whole, *_),), ((other, *_),) = (
        helpers.draw(each, 0.8, [4], 0, 1) for each in (held, resized)
    )
    assert other is result
    np.testing.assert_array_equal(result, resize(whole, 200, 80, Image.Resampling.LANCZOS))
    assert resized.seconds(Temperature((0.8,))) > 0


def test_a_large_candidate_that_is_only_resized_is_never_held():
    """Of a model that computes nothing: each tile is one color."""
    image = np.full((2000, 2100, 3), 100, np.uint8)
    model = helpers.data_like_model(helpers.task_config("superres", scales=1), seed=2, size=32)
    tile = torch.full((1, 3, *plan_tiles((8000, 8400), 4).shape), 100.7)
    first = model.encode_condition(torch.full((1, 3, *tile.shape[2:]), 100, dtype=torch.uint8))
    model = helpers.double_of(
        model,
        encode_condition=lambda *_: first,
        latent_noise=lambda _, own, seed, size: [torch.zeros(0, *size)],
        decode=lambda *_, **__: (tile, torch.zeros(1).double()),
    )
    request = prepare(model, as_input(image), None, Sampling(tau=0), {"size": (1050, 1000)})
    assert (
        prepare(model, as_input(image), None, Sampling(rank="none"), {"size": (4, 4)}).rows()
        is None
    )
    tracemalloc.start()
    *_, [found] = draw([Candidates(request)], encode([request]))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    (one,) = found.ranked
    np.testing.assert_array_equal(one.image, np.full((1000, 1050, 3), 100))
    assert np.shares_memory(one.edited, one.pixels)
    assert found.as_json()["resized"]["drawn"] == (8400, 8000)
    assert peak < 0.75 * 3 * 8000 * 8400


def test_noise_of_large_images_is_the_same_in_all_tiles_and_renewed_where_it_is_asked(small_model):
    size, tile = (8032, 8000), (640, 640)
    assert size[0] * size[1] > LARGE
    noise = Noise(small_model, helpers.generator(3), size)
    upper, lower = noise.cut((0, 32), tile), noise.cut((448, 32), tile)
    cells = torch.zeros(40, 500, dtype=torch.bool)
    cells[3:30, 5] = True  # of several blocks
    noise.renew(cells, 448)
    for above, z, new in zip(upper, lower, noise.cut((448, 32), tile), strict=True):
        times = z.shape[1] // 40
        assert torch.equal(above[:, 28 * times :], z[:, : 12 * times])
        where = cells[:, 2:42].repeat_interleave(times, 0).repeat_interleave(times, 1)
        assert torch.equal((new != z).all(0), where)
        assert abs(float(z.std()) - 1) < 0.2


def test_sizes_beyond_a_limit_are_refused_before_anything_is_computed(small_model, task_models):
    large = np.zeros((4000, 4000, 3), np.uint8)
    assert prepare(small_model, as_input(large)).is_large
    consistent = prepare(small_model, as_input(large), None, Sampling(consistent=True)).task
    assert "above 64 megapixels" in consistent.note(Raster(large), None)
    assert consistent.note(Raster(large[:1000, :1000]), None) is None
    huge, half = as_input(np.zeros((4001, 4000, 3), np.uint8)), {"size": (8000, 8002)}
    assert prepare(small_model, huge, None, Sampling(), half).size == (16016, 16000)
    for sampling in (Sampling(candidates=2), Sampling(rank="likelihood")):
        with pytest.raises(
            CaflowError, match=r"the image is 4000x4001, .* more than 256"
        ) as caught:
            prepare(small_model, huge, None, sampling, half)
        assert "--scale 2 -m 1" in caught.value.hint
    with pytest.raises(CaflowError, match="more than 400"):
        prepare(small_model, as_input(np.zeros((5001, 5000, 3), np.uint8)), None, None, half)
    paired = copy.copy(task_models["paired"])
    paired.config = replace(paired.config, task=replace(paired.config.task, native=True))
    for model, image, message in (
        (small_model, np.zeros((4001, 4000, 3), np.uint8), "more than 256"),
        (paired, np.zeros((8001, 8000, 3), np.uint8), "more than 64"),
    ):
        with pytest.raises(CaflowError, match=message) as caught:
            prepare(model, as_input(image))
        assert caught.value.exit_code == 1


def test_a_single_candidate_in_tiles_is_scored_only_if_a_rank_is_typed(tmp_path):
    config = helpers.task_config("superres", conditional="dual-glow", scales=1, t_steps=1)
    small_model = helpers.data_like_model(config, seed=2, size=32)
    image = helpers.smooth_image(1, 3, (400, 340), 2)[0].permute(1, 2, 0).contiguous().numpy()
    told = []
    request = prepare(small_model, as_input(image))
    *_, [found] = draw([Candidates(request)], encode([request], lambda *step: told.append(step)))
    (one,) = found.ranked
    assert (one.score.rank_score, one.score.log_likelihood, one.rank_value) == (None, None, None)
    assert (one.score.score_domain, one.score.summary) == ("tiles", "not scored")
    (path,) = found.save(tmp_path / "large.png")
    record = read_provenance(path)
    assert (record["rank_score"], record["rank_by"]) == (None, "none")
    assert told == [(1, 4), (2, 4), (3, 4), (4, 4)]  # tiles, each in one pass
    ranked = restore(small_model, image, rank="likelihood").kept[0]
    np.testing.assert_array_equal(ranked.image, one.image)
    again = score(small_model, image, path)
    assert again.rank_score == pytest.approx(ranked.score.rank_score, abs=1e-2)
    small = restore(small_model, image[:20, :20], candidates=1)
    assert small.kept[0].score.rank_score is not None
    assert small.provenance(small.kept[0])["rank_by"] == "likelihood"

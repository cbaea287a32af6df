"""A hole that takes several windows: filled one after the other, scored by the chain rule."""

import copy
import math
from dataclasses import replace

import helpers
import numpy as np
import pytest
import torch
from drawn_masks import box, line

from caflow_cli.layers import to_stored
from caflow_cli.model import CAFlow
from caflow_cli.restoration import (
    Candidates,
    draw,
    encode,
    prepare,
    restore,
    score,
    score_images,
    task_of,
)
from caflow_cli.sampling import Sampling
from caflow_cli.tasks.arguments import as_input

SIZE = 32
HEIGHT, WIDTH = 60, 100  # less than twice the size: in windows


@pytest.fixture(scope="module")
def model(models_32) -> CAFlow:
    return models_32["inpaint"]


def photo(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    image = helpers.smooth_image(1, 3, (height, width), 3)[0]
    return image.permute(1, 2, 0).contiguous().numpy()


SCRATCH = line(HEIGHT, WIDTH, [(0, 10), (WIDTH, HEIGHT - 12)], 4) * np.uint8(255)
BLOTCH = SCRATCH | box(HEIGHT, WIDTH, 20, 40, 30, 32) * np.uint8(255)


def by_hand(task, image: np.ndarray, mask: np.ndarray):
    """The pairs of a filled image, as the chain rule has them, of windows that are not shrunk."""
    left = mask >= 128
    for part in task.parts(image, mask):
        x, y, width, height = part.place.window
        window = np.s_[y : y + height, x : x + width]
        hole = left[window]
        cond = np.concatenate(
            [np.where(hole[..., None], 128, image[window]), hole[..., None] * 255], axis=2
        )
        yield cond.astype(np.uint8), image[window]
        left[window] = False
    assert not left.any()


def to_batch(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None]


@pytest.mark.parametrize(
    "flow",
    [
        {},
        {"anchor": "fill", "guide": 5, "guide_net": "unet"},
        {"anchor": "pixels"},
        {"dequantization": "variational"},
    ],
    ids=lambda flow: "-".join(map(str, flow.values())) or "caflow",
)
def test_a_score_is_the_sum_over_the_parts_in_their_order(flow):
    """log p(fill) = sum of log p(part | what is known and what earlier parts have filled)."""
    config = helpers.task_config("inpaint", SIZE, **flow)
    model = helpers.data_like_model(config, seed=3, size=SIZE).double()
    image, mask = photo(), SCRATCH
    terms = torch.zeros(3, dtype=torch.float64)
    (best,) = restore(model, image, 0.7, 1, mask=mask).ranked
    values, deviations = [], []
    for cond, target in by_hand(task_of(model), best.image, mask):
        value, deviation = model.estimate(
            model.log_prob_samples(to_batch(target), to_batch(cond), 3)
        )
        values.append(float(value))
        deviations.append(deviation[:, 0])
    assert len(values) > 3
    terms = torch.stack(deviations).sum(0)
    error = float(terms.std() / math.sqrt(3))
    found = score(model, image, best.image, mask, noise_samples=3)
    assert found.log_likelihood == found.rank_score == pytest.approx(sum(values), abs=1e-7)
    assert found.standard_error == pytest.approx(error, rel=1e-7)
    dims = len(values) * 3 * SIZE**2
    assert found.bits_per_dim == pytest.approx(-sum(values) / (dims * math.log(2)))
    assert (found.score_domain, found.scored_size) == ("parts", (SIZE, SIZE))
    assert len(found.parts) == len(values)
    once = score(model, image, best.image, mask)
    assert best.score.log_likelihood == pytest.approx(once.log_likelihood, abs=1e-7)


@pytest.mark.parametrize("mask", [SCRATCH, BLOTCH], ids=["scratch", "blotch"])
def test_a_seed_replays_a_candidate_and_score_repeats_its_number(model, mask):
    image = photo()
    request = prepare(model, as_input(image), mask, Sampling(0.8, 3, seed=4))
    answers = list(draw([Candidates(request)], encode([request]), batch_size=1))
    assert [len(found.drawn) for [found] in answers] == [1, 2, 3]  # so that bits are repeated
    found = answers[-1][0].ranked
    for one in found:
        (alone,) = restore(model, image, 0.8, 1, seed=one.seed, mask=mask).ranked
        np.testing.assert_array_equal(alone.image, one.image)
        assert alone.score == one.score
        again = score(model, image, one.image, mask)
        assert again.rank_score == pytest.approx(one.score.rank_score, abs=1e-2)
        assert again.log_likelihood == pytest.approx(one.score.log_likelihood, abs=1e-2)
        assert again.parts == one.score.parts
        if mask is BLOTCH:  # with a shrunk window there is no likelihood
            assert sum(place.shrunk for place in one.score.parts) == 1
            assert one.score.log_likelihood is one.score.bits_per_dim is None
            assert one.score.summary.endswith("nats, in parts")
    assert len({one.image.tobytes() for one in found}) == 3
    values = [one.score.rank_score for one in found]
    assert values == sorted(values, reverse=True)


def test_requests_of_one_and_of_several_parts_go_together(model):
    image = photo()
    small = np.zeros((HEIGHT, WIDTH), np.uint8)
    small[5:15, 80:92] = 255
    spots = small.copy()
    spots[50:60, 5:15] = 255
    masks = [small, spots, BLOTCH]
    requests = [
        prepare(model, as_input(image), mask, Sampling(0.7, 2, seed=seed))
        for seed, mask in enumerate(masks, 1)
    ]
    counts = [len(request.parts) for request in requests]
    assert counts[:2] == [1, 2]
    assert counts[2] > 2
    conditions = encode(requests)
    (results,) = draw([Candidates(request) for request in requests], conditions)
    found = [one for result in results for one in result.drawn]
    assert [one.seed for one in found] == [1, 2, 2, 3, 3, 4]
    for one in found:
        alone = restore(model, image, 0.7, 1, seed=one.seed, mask=one.request.mask).kept[0]
        apart = np.abs(one.image.astype(int) - alone.image)
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3
        assert one.score.rank_score == pytest.approx(alone.score.rank_score, abs=0.5)
    again = score_images(requests, conditions, [one.image for one in found[::2]])
    for one, other in zip(found[::2], again, strict=True):
        assert other.rank_score == pytest.approx(one.score.rank_score, abs=1e-2)
        assert other.parts == one.score.parts


def test_a_part_that_diverged_is_resampled_from_a_generator_of_its_own(model):
    """Of the generator's latents, the second set diverges: the second part takes others."""
    task, image, mask = task_of(model), photo(), SCRATCH
    lost = 0.8 * helpers.noise_behind(model, 6, (SIZE, SIZE), 1)[0]

    def spoiled(_, own, latents, *given, **more):
        points, log_prob = own(latents, *given, **more)
        for row, z in enumerate(latents[0]):
            if torch.equal(z, lost):
                points[row] = math.nan
        return points, log_prob

    model = helpers.double_of(model, decode=spoiled)
    found = restore(model, image, 0.8, 3, seed=5, mask=mask, rank="none").ranked
    assert [one.redraws for one in found] == [0, 1, 0]
    generator, expected = helpers.generator(6), image.copy()
    for number, part in enumerate(task.parts(image, mask)):
        noise = model.latent_noise(generator, (SIZE, SIZE))
        if number == 1:
            (own,) = np.random.SeedSequence([6, number]).generate_state(1).tolist()
            noise = model.latent_noise(helpers.generator(own), (SIZE, SIZE))
        points, _ = model.decode([0.8 * z[None] for z in noise], to_batch(part.condition(expected)))
        expected = part.compose(expected, to_stored(points, 1)[0].permute(1, 2, 0).numpy())
    apart = np.abs(found[1].image.astype(int) - expected)
    assert apart.max() <= 1
    assert (apart > 0).mean() <= 1e-3
    (alone,) = restore(model, image, 0.8, 1, seed=6, mask=mask).ranked
    assert alone.redraws == 1


def test_windows_of_a_wave_read_nothing_that_a_later_one_fills(model):
    """And a batch of windows draws what they draw one by one."""
    mask = np.zeros((60, 200), np.uint8)
    for row, column in ((8, 8), (44, 60), (10, 100), (40, 180), (10, 150)):
        mask[row : row + 7, column : column + 7] = 255
    mask[28:31, 30:150] = 255
    image = photo(60, 200)
    parts = task_of(model).parts(image, mask)
    filled = np.full(mask.shape, -1)  # the wave that fills a pixel; -1: known
    for part in parts:
        part.window.of(filled)[part.hole] = part.wave
    for part in parts:
        assert part.window.of(filled)[~part.hole].max() < max(1, part.wave)
    assert max(part.wave for part in parts) < len(parts) - 1
    together = restore(model, image, 0.7, 2, seed=3, mask=mask, rank="none")
    request = together.request
    *_, [alone] = draw([Candidates(request)], encode([request]), 2, batch_size=1)
    for one, other in zip(together.drawn, alone.drawn, strict=True):
        apart = np.abs(one.pixels.astype(int) - other.pixels)
        assert apart.max() <= 1
        assert (apart > 0).mean() <= 1e-3
        assert one.score.rank_score == pytest.approx(other.score.rank_score, abs=0.5)
        assert score(model, image, one.pixels, mask).rank_score == one.score.rank_score


def test_windows_larger_than_a_batch_are_drawn_alone(model):
    wide = copy.copy(model)
    wide.config = replace(model.config, task=replace(model.config.task, window=528))
    mask = np.zeros((528, 1100), np.uint8)
    mask[260:264, [20, 1080]] = 255
    found = restore(wide, photo(*mask.shape), 0.7, 1, mask=mask)
    assert len(found.request.parts) == 2
    assert found.request.size == (528, 528)
    assert len(found.drawn) == 1

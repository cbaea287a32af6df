"""Batches, for each task: what they hold, and that they depend on seed and position alone."""

from __future__ import annotations

import pytest
import torch
from helpers import smooth_image

from caflow_cli.tasks import Colorize, Inpaint, Paired, SuperRes
from caflow_cli.training.batches import Batches, Prefetched
from caflow_cli.training.dataset import Dataset


def batches(count=10, batch_size=4, seed=0, flip=True):
    targets = torch.arange(count * 12, dtype=torch.uint8).view(count, 3, 2, 2)
    return Batches(Dataset(Paired(), targets, targets.flip(1)), batch_size, seed, flip)


def test_a_batch_does_not_depend_on_what_was_drawn_before():
    first, second = batches(), batches()
    for step in range(7):
        first(step)
    for a, b in zip(first(7), second(7), strict=True):
        assert torch.equal(a, b)


def test_ranks_share_out_the_same_batch():
    whole, shares = batches()(3), [batches()(3, rank, 2) for rank in range(2)]
    for of_whole, *of_shares in zip(whole, *shares, strict=True):
        for rank in range(2):
            assert torch.equal(of_whole[rank::2], of_shares[rank])


@pytest.mark.parametrize(("ranks", "parts"), [(1, 1), (1, 4), (2, 1), (2, 4), (4, 2)])
def test_one_of_four_has_a_seed_of_draws_and_as_often_in_each_process_and_part(ranks, parts):
    seeds = [batches(batch_size=32)(step).draws for step in range(3)]
    found = torch.cat(seeds)
    assert len(set(found[found >= 0].tolist())) == 24
    for whole in (of_step >= 0 for of_step in seeds):
        assert int(whole.sum()) == 8
        counts = [int(c.sum()) for r in range(ranks) for c in whole[r::ranks].tensor_split(parts)]
        assert set(counts) == {8 // (ranks * parts)}


def test_an_epoch_holds_every_image_once_and_the_next_another_order():
    stream = batches(count=8, batch_size=4, flip=False)
    orders = []
    for epoch in range(2):
        rows = [w for step in (0, 1) for w in stream(2 * epoch + step)[0]]
        orders.append([int(w[0, 0, 0]) for w in rows])
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(0, 96, 12))
    assert orders[0] != orders[1]


def test_noise_lies_in_the_bin_and_differs_between_target_condition_and_visits():
    stream = batches(count=4, batch_size=4, flip=False)
    w, y, u, _ = stream(0)
    assert torch.equal(w, w.floor())
    assert torch.equal(w, y.floor().flip(1))
    assert u.min() >= 0
    assert u.max() < 1
    assert not torch.equal(u, (y - y.floor()).flip(1))
    later = stream(1)[2]
    assert not torch.equal(u, later)
    assert float(torch.cat([u, later]).mean()) == pytest.approx(0.5, abs=0.1)


def test_noise_for_variational_dequantization_is_normal():
    stream = batches(count=4, batch_size=4)
    stream.normal_noise = True
    noise = torch.cat([stream(step)[2] for step in range(20)])
    assert float(noise.mean()) == pytest.approx(0, abs=0.1)
    assert float(noise.std()) == pytest.approx(1, abs=0.1)


def test_flips_mirror_target_and_condition_together():
    stream = batches(count=8, batch_size=8)
    flipped = 0
    for step in range(8):
        for w, y in zip(*(x.floor() for x in stream(step)[:2]), strict=True):
            assert torch.equal(w, y.flip(0))
            flipped += int(w[0, 0, 0] > w[0, 0, 1])
    assert 16 < flipped < 48  # 64 fair coins


def test_other_seeds_draw_other_batches():
    assert not torch.equal(batches(seed=0)(0)[0], batches(seed=1)(0)[0])


@pytest.fixture(scope="module")
def targets():
    return smooth_image(6, 3, 16, seed=3)


def stream(task, targets, **options):
    return Batches(Dataset(task, targets), batch_size=6, seed=1, flip=True, **options)


def originals(targets, batch):
    """The target that each row is, and whether it is mirrored."""
    found = []
    for w in batch.target:
        for index, target in enumerate(targets.float()):
            for mirrored in (False, True):
                if torch.equal(w, target.flip(-1) if mirrored else target):
                    found.append((index, mirrored))
    assert len(found) == len(batch.target)
    return found


@pytest.mark.parametrize("task", [SuperRes(4, 8), Colorize(16, 8)])
def test_a_mirrored_target_comes_with_its_mirrored_condition(task, targets):
    seen = set()
    for step in range(3):
        batch = stream(task, targets)(step)
        for (index, mirrored), y in zip(originals(targets, batch), batch.cond.floor(), strict=True):
            target = targets[index].permute(1, 2, 0).contiguous().numpy()
            condition = torch.from_numpy(task.training_condition(target)).permute(2, 0, 1).float()
            assert torch.equal(y, condition.flip(-1) if mirrored else condition)
            seen.add(mirrored)
    assert seen == {False, True}


@pytest.mark.parametrize("task", [SuperRes(4, 8), Colorize(16, 8)])
def test_a_condition_follows_from_the_part_that_is_learned(task, targets):
    batches = stream(task, targets, zoom=0.5)
    first, second = (batches(step).target for step in range(2))
    assert first.shape == (6, 3, 16, 16)
    for w, y in zip(first, batches(0).cond.floor(), strict=True):
        assert not any(torch.equal(w, t) or torch.equal(w, t.flip(-1)) for t in targets.float())
        # Of the part as it lies, or of its mirror image: the condition of 16 pixels is the same.
        parts = [x.byte().permute(1, 2, 0).contiguous().numpy() for x in (w, w.flip(-1))]
        plain, mirrored = (
            torch.from_numpy(task.training_condition(part)).permute(2, 0, 1).float()
            for part in parts
        )
        assert torch.equal(y, plain) or torch.equal(y, mirrored.flip(-1))
    # A later visit sees other parts, and a visit again the same ones.
    assert not any(torch.equal(a, b) for a in first for b in second)
    assert torch.equal(stream(task, targets, zoom=0.5)(1).target, second)


def test_pairs_are_cut_alike(targets):
    pairs = Dataset(Paired(), targets, 255 - targets[:, :1])
    batch = Batches(pairs, batch_size=6, seed=1, flip=True, zoom=0.4)(0)
    assert (batch.cond.floor() + batch.target[:, :1] - 255).abs().max() <= 1  # as rounding has it


def test_a_hole_is_where_its_mask_says_and_new_at_each_visit(targets):
    batches = stream(Inpaint(4, 16, 8, "random"), targets)
    masks = {}
    for step in range(3):
        batch = batches(step)
        for (index, mirrored), w, y in zip(
            originals(targets, batch), batch.target, batch.cond.floor(), strict=True
        ):
            hole = y[3] == 255
            assert bool(((y[3] == 0) | hole).all())
            assert bool((y[:3, hole] == 128).all())
            assert torch.equal(y[:3, ~hole], w[:, ~hole])
            masks.setdefault(index, []).append((hole.flip(-1) if mirrored else hole).tolist())
    assert all(a != b for a, b, _ in masks.values())


def test_a_batch_made_ahead_is_the_batch(targets):
    batches = stream(SuperRes(4, 8), targets)
    ahead = Prefetched(stream(SuperRes(4, 8), targets), process=1, processes=2)
    for step in (0, 1, 5, 6, 2):
        for a, b in zip(ahead(step), batches(step, 1, 2), strict=True):
            assert torch.equal(a, b)
    ahead.close()


def test_noise_is_on_the_lattice_of_scores_and_fills_it(targets):
    noise = torch.cat([stream(SuperRes(4, 8), targets)(step).noise for step in range(20)])
    assert torch.equal(noise * 2**16, (noise * 2**16).floor())
    counts = torch.histc(noise, 16, 0, 1)
    expected = noise.numel() / 16
    assert float((counts - expected).abs().max()) < 5 * expected**0.5

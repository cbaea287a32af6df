"""Training data: examples, crops, holes, and batches that depend on seed and position alone."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import noise, smooth_image
from PIL import Image

from caflow_cli.data.examples import Examples
from caflow_cli.errors import CaflowError
from caflow_cli.images import write_png
from caflow_cli.tasks import Colorize, Inpaint, Paired, SuperRes
from caflow_cli.tasks.base import gray
from caflow_cli.training.data import crop, draw_crop, load_masks, recolored
from caflow_cli.training.resolve import build_config
from caflow_cli.training.sets import Batch, Batches, Dataset, open_dataset


def dataset(task, *sides: torch.Tensor, crops: bool = False) -> Dataset:
    """Examples of these images, (N, C, H, W) for each side, in memory."""
    kept = [[image.permute(1, 2, 0).numpy() for image in row] for row in zip(*sides, strict=True)]
    names = [str(number) for number in range(len(kept))]
    examples = Examples("train", None, names, kept.__getitem__, len(kept), in_memory=True)
    return Dataset(task, examples, 16 if crops else sides[0].shape[-1], crops)


@contextmanager
def stream(data: Dataset, batch_size=6, seed=1, orientations=2, **options) -> Iterator[Batches]:
    with closing(Batches(data, batch_size, seed, orientations, **options)) as batches:
        yield batches


def tensors(batch: Batch) -> list[torch.Tensor]:
    return [x for x in batch if x is not None]


def made(data: Dataset, steps=(0,), **options) -> list[Batch]:
    with stream(data, **options) as batches:
        return [batches(step) for step in steps]


def numbered(count=10) -> Dataset:
    """2×2 images with distinct values, and the same with channels reversed as conditions."""
    targets = torch.arange(count * 12, dtype=torch.uint8).view(count, 3, 2, 2)
    return dataset(Paired(), targets.flip(1), targets)


def test_a_batch_does_not_depend_on_earlier_ones_and_ranks_share_it():
    *_, last = made(numbered(), range(8), batch_size=4)
    [alone] = made(numbered(), [7], batch_size=4)
    assert all(map(torch.equal, tensors(last), tensors(alone)))
    ranks = [made(numbered(), [7], batch_size=4, process=r, processes=2)[0] for r in range(2)]
    for whole, *shares in zip(*map(tensors, (alone, *ranks)), strict=True):
        assert all(torch.equal(whole[rank::2], share) for rank, share in enumerate(shares))
    assert not torch.equal(made(numbered(), [7], batch_size=4, seed=2)[0].target, alone.target)


def test_one_of_four_has_a_seed_of_samples_and_as_often_in_each_process_and_part():
    seeds = [batch.seeds for batch in made(numbered(), range(3), batch_size=32)]
    found = torch.cat(seeds)
    assert len(set(found[found >= 0].tolist())) == 24
    for ranks, parts in ((1, 1), (1, 4), (2, 1), (2, 4), (4, 2)):
        for own in (some[rank::ranks] >= 0 for some in seeds for rank in range(ranks)):
            assert {int(part.sum()) for part in own.tensor_split(parts)} == {8 // (ranks * parts)}


def test_an_epoch_holds_every_image_once_and_the_next_another_order():
    batches = made(numbered(8), range(4), batch_size=4, orientations=1)
    orders = [
        [int(w[0, 0, 0]) for batch in batches[2 * epoch : 2 * epoch + 2] for w in batch.target]
        for epoch in (0, 1)
    ]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(0, 96, 12))
    assert orders[0] != orders[1]


def test_noise_lies_in_the_bin_on_the_lattice_of_scores_and_differs_between_visits():
    first, later = made(numbered(4), range(2), batch_size=4, orientations=1)
    w, y, u, *_ = first
    assert torch.equal(w, w.floor())
    assert torch.equal(w, y.floor().flip(1))
    assert not torch.equal(u, y - y.floor())
    assert not torch.equal(u, later.noise)
    targets = smooth_image(6, 3, 16, seed=3)
    found = [(b.noise, b.cond.frac()) for b in made(dataset(SuperRes(4, 8), targets), range(20))]
    for u in map(torch.cat, zip(*found, strict=True)):
        assert torch.equal(u * 2**16, (u * 2**16).floor())
        counts = torch.histc(u, 16, 0, 1)
        assert counts.sum() == u.numel()
        expected = u.numel() / 16
        assert float((counts - expected).abs().max()) < 5 * expected**0.5
    normal = made(numbered(4), range(20), batch_size=4, normal_noise=True)
    u = torch.cat([batch.noise for batch in normal])
    assert float(u.mean()) == pytest.approx(0, abs=0.1)
    assert float(u.std()) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("task", [SuperRes(4, 8), Colorize(16, 8)])
def test_a_mirrored_target_comes_with_its_mirrored_condition(task):
    targets = smooth_image(6, 3, 16, seed=3)
    flips = 0
    for batch in made(dataset(task, targets), range(6)):
        for w, y in zip(batch.target, batch.cond.floor(), strict=True):
            [(target, mirrored)] = [
                (t, m) for t in targets for m in (False, True) if (t.flip(-1) if m else t).equal(w)
            ]
            image = target.permute(1, 2, 0).contiguous().numpy()
            condition = (
                torch.from_numpy(task.training_condition(image, torch.Generator()))
                .permute(2, 0, 1)
                .float()
            )
            assert torch.equal(y, condition.flip(-1) if mirrored else condition)
            flips += mirrored
    assert 8 < flips < 28  # of 36 fair coins


def test_all_eight_orientations_occur_and_a_condition_has_that_of_its_target():
    data = numbered()
    plain = made(data, range(20), orientations=1)
    seen = set()
    for batch, before in zip(made(data, range(20), orientations=8), plain, strict=True):
        for w, y, unturned in zip(batch.target, batch.cond.floor(), before.target, strict=True):
            [number] = [k for k in range(8) if torch.equal(turned(unturned, k), w)]
            seen.add(number)
            assert torch.equal(y, turned(unturned.flip(0), number))
    assert seen == set(range(8))


def turned(image: torch.Tensor, number: int) -> torch.Tensor:
    flipped = image.flip([axis for bit, axis in ((1, -1), (2, -2)) if number & bit])
    return flipped.transpose(-2, -1) if number & 4 else flipped


def test_colors_change_in_most_visits_and_16_bits_as_8():
    image = smooth_image(1, 3, 8, seed=4)[0].permute(1, 2, 0).numpy()
    gray_image = image[..., [1, 1, 1]]
    unchanged, permuted, bent = 0, 0, 0
    for seed in range(400):
        new, deep, gray_new = (
            recolored(x, torch.Generator().manual_seed(seed))
            for x in (image, image.astype(np.uint16) * 257, gray_image)
        )
        assert new.dtype == image.dtype
        assert np.abs(deep / 257 - new).mean() <= 1
        assert (gray_new == gray_new[..., :1]).all()
        unchanged += np.array_equal(new, image)
        permuted += np.array_equal(np.sort(new), np.sort(image)) and not np.array_equal(new, image)
        bent += not np.array_equal(gray_new, gray_image)
    # Of 400: 1/2 (1/2 + 1/12), 1/2 (1/2 - 1/12) and 1/4.
    assert abs(unchanged - 117) < 40
    assert abs(permuted - 83) < 35
    assert abs(bent - 100) < 38


def test_a_condition_is_that_of_the_recolored_target():
    data = dataset(Colorize(16), smooth_image(6, 3, 16, seed=3))
    plain, recolored_ones = (
        made(replace(data, recolor=recolor), range(3), orientations=1) for recolor in (False, True)
    )
    changed = 0
    for before, batch in zip(plain, recolored_ones, strict=True):
        for w, y, original in zip(batch.target, batch.cond, before.target, strict=True):
            pixels = w.permute(1, 2, 0).to(torch.uint8).numpy()
            assert np.array_equal(y[0].floor().numpy(), gray(pixels))
            changed += not torch.equal(w, original)
    assert 6 <= changed < 18


def test_a_hole_is_where_its_mask_says_and_new_at_each_visit():
    targets, holes = smooth_image(6, 3, 16, seed=3), set()
    for batch in made(dataset(Inpaint(4, 16, 8, "random"), targets), range(3)):
        for w, y in zip(batch.target, batch.cond.floor(), strict=True):
            hole = y[3] == 255
            assert bool(((y[3] == 0) | hole).all())
            assert bool((y[:3, hole] == 128).all())
            assert torch.equal(y[:3, ~hole], w[:, ~hole])
            holes.add(hole.numpy().tobytes())
    assert len(holes) == 18


def test_a_crop_at_native_scale_is_pixels_of_the_image_and_reaches_every_position():
    image, seen = noise(18, 20), set()
    for left in np.linspace(0, 0.999, 15):
        for top in np.linspace(0, 0.999, 9):
            x, y = int(left * 5), int(top * 3)
            assert np.array_equal(crop(image, 16, 0.0, left, top), image[y : y + 16, x : x + 16])
            seen.add((x, y))
    assert len(seen) == 5 * 3


@pytest.mark.parametrize(("left", "top"), [(0.0, 0.0), (0.999999, 0.999999), (0.4, 0.7)])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_a_shrunk_crop_is_that_of_the_whole_image_shrunk(left, top, share):
    image = noise(90, 70, seed=1)
    part = crop(image, 16, share, left, top)
    span = 16 * 4.0**share
    x, y = left * (70 - span), top * (90 - span)
    whole, box = Image.fromarray(image), (x, y, x + span, y + span)
    wanted = np.asarray(whole.resize((16, 16), Image.Resampling.LANCZOS, box))
    assert np.abs(part.astype(int) - wanted).max() <= 1  # rounding of the box
    assert part.std() < 0.6 * image.std()  # and it is smoother than the pixels
    few = noise(24, 32)  # too small for that: it is shrunk less, and below not at all
    wanted = Image.fromarray(few).resize((16, 16), Image.Resampling.LANCZOS, (4, 0, 28, 24))
    assert np.array_equal(crop(few, 16, 1.0, 0.5, 0.9), np.asarray(wanted))
    assert np.array_equal(crop(few[:16], 16, 1.0, 0.5, 0.9), few[:16, 8:24])


def test_two_thirds_of_the_crops_are_at_native_scale_and_the_rest_spread_over_the_scales():
    generators = (np.random.Philox(key=[1, 2], counter=[0, 0, 0, k]) for k in range(900))
    shares = [draw_crop(bits)[0] for bits in generators]
    assert 0.61 < np.mean(np.array(shares) == 0) < 0.73
    shrunk = [share for share in shares if share]
    assert np.abs(np.quantile(shrunk, [0.25, 0.5, 0.75]) - [0.25, 0.5, 0.75]).max() < 0.08


def test_every_visit_sees_another_crop_and_a_visit_again_the_same():
    images = [torch.from_numpy(noise(30 + 9 * k, 44 - 5 * k, k)).permute(2, 0, 1) for k in range(4)]
    data = dataset(SuperRes(4, 16), images, crops=True)
    first, second = made(data, range(2), batch_size=4)
    assert first.target.shape == (4, 3, 16, 16)
    assert all(map(torch.equal, tensors(made(data, [1], batch_size=4)[0]), tensors(second)))
    assert not any(torch.equal(a, b) for a in first.target for b in second.target)
    targets, _ = data.held_out(torch.tensor([1, 3]))
    assert torch.equal(targets[0], images[1][:, 11:27, 11:27])  # the middle, at native scale


def write_pairs(folder, channels: int, size: int) -> None:
    """Conditions are negatives of the targets, or of their gray."""
    for split, count in (("train", 6), ("val", 2), ("test", 1)):
        for index, image in enumerate(smooth_image(count, 3, size, seed=3)):
            target = image.permute(1, 2, 0).contiguous().numpy()
            negative = 255 - (gray(target)[..., None].repeat(3, 2) if channels == 1 else target)
            for side, pixels in (("A", negative), ("B", target)):
                (folder / split / side).mkdir(parents=True, exist_ok=True)
                write_png(folder / split / side / f"{index}.png", pixels)


@pytest.mark.parametrize(("channels", "how"), [(1, "whole"), (1, "random"), (3, "random")])
def test_both_images_of_a_pair_are_cropped_alike_in_memory_or_not(tmp_path, channels, how):
    write_pairs(tmp_path / "data", channels, 40 if how == "random" else 16)
    values = {"data": str(tmp_path / "data"), "out": "out", "optim": {"images": 8}, "crop": how}
    values["task"] = {"size": 16, "native": how == "random"}
    batches = []
    for memory in (1, 0):
        config = build_config(values, [f"data_memory_gb={memory}"], task="paired")
        with open_dataset(config, "train") as train, open_dataset(config, "choose") as val:
            assert train.examples.in_memory == bool(memory)
            assert train.task.cond_channels == channels
            batches += made(train, batch_size=4)
            held_out = val.held_out(torch.arange(2))
    for targets, conditions in ((batches[0].target, batches[0].cond.floor()), held_out):
        for target, condition in zip(targets.byte(), conditions, strict=True):
            assert target.shape[1:] == condition.shape[1:] == (16, 16)
            image = target.permute(1, 2, 0).contiguous().numpy()
            expected = 255 - (gray(image)[..., None] if channels == 1 else image)
            found = condition.permute(1, 2, 0).numpy().astype(int)
            # A gray that was shrunk differs from the gray of what was shrunk by rounding.
            assert np.abs(found - expected).max() <= (1 if how == "random" else 0)
    assert all(map(torch.equal, *map(tensors, batches)))


def test_holes_come_from_masks_and_those_of_validation_are_fixed_and_from_others(tmp_path):
    """Masks of training are lines of two pixels, those of validation dots of two."""
    for split, count in (("train", 8), ("val", 8), ("test", 1)):
        for kind in ("images", "masks"):
            (tmp_path / kind / split).mkdir(parents=True)
        for index, image in enumerate(smooth_image(count, 3, 16, seed=3)):
            pixels = image.permute(1, 2, 0).contiguous().numpy()
            write_png(tmp_path / "images" / split / f"{index}.png", pixels)
        mask = np.zeros((64, 64, 3), np.uint8)
        mask[31:33, 31 if split == "val" else 0 : 33 if split == "val" else 64] = 255
        write_png(tmp_path / "masks" / split / "0.png", mask)
    values = {"data": str(tmp_path / "images"), "out": "out", "optim": {"images": 8}}
    values |= {"masks": str(tmp_path / "masks"), "mask_share": 1.0, "task": {"size": 16}}
    config, every, shares = build_config(values, task="inpaint"), torch.arange(8), []
    with open_dataset(config, "train") as train:
        for index in range(8):
            target, cond = train.pair(index, torch.Generator().manual_seed(index))
            hole = cond[..., 3] == 255
            assert (cond[hole][:, :3] == 128).all()
            assert (cond[~hole][:, :3] == target[~hole]).all()
            shares.append(hole.mean())
    assert np.mean(shares) > 0.1
    assert max(shares) < 0.25  # a line of two pixels, enlarged at most twice
    held_out = []
    for masks in (config.masks, config.masks, None):
        again = build_config({**values, "masks": masks}, task="inpaint")
        with open_dataset(again, "choose") as val:
            held_out.append(val.held_out(every)[1])
    conditions, same, without = held_out
    assert torch.equal(conditions, same)
    assert not torch.equal(conditions, without)
    assert (conditions[:, 3] == 255).sum((1, 2)).max() <= 5 * 5
    assert len({hole.numpy().tobytes() for hole in conditions[:, 3]}) == 8


def test_masks_have_any_size_and_black_ones_are_left_out(tmp_path):
    sizes = [(7, 9), (16, 16), (5, 31)]
    for split in ("train", "val", "test"):
        (tmp_path / split).mkdir()
        write_png(tmp_path / split / "black.png", np.full((6, 6, 3), 127, np.uint8))
    white = [np.random.default_rng(k).random(size) < 0.3 for k, size in enumerate(sizes)]
    for k, mask in enumerate(white):
        write_png(tmp_path / "train" / f"{k}.png", np.uint8(255 * mask)[..., None].repeat(3, 2))
    masks = load_masks(str(tmp_path), "train")
    assert len(masks) == 3
    for k, mask in enumerate(white):
        np.testing.assert_array_equal(masks[k], mask)
    for path, message in (
        (tmp_path, "there are no white pixels"),
        (tmp_path / "none", "no data at"),
    ):
        with pytest.raises(CaflowError, match=f"^masks: {message}") as caught:
            load_masks(str(path), "val")
        assert "--data" not in caught.value.hint

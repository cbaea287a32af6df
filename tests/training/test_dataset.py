"""What a batch is made of, for each task."""

from __future__ import annotations

import pytest
import torch
from helpers import smooth_image

from caflow_cli.images import write_png
from caflow_cli.tasks import Colorize, Inpaint, Paired, SuperRes
from caflow_cli.training.batches import Batches, Prefetched
from caflow_cli.training.config import build_config
from caflow_cli.training.examples import Examples, load_examples
from caflow_cli.training.validate import Validation


@pytest.fixture(scope="module")
def targets():
    return smooth_image(6, 3, 16, seed=3)


def stream(task, targets, **options):
    return Batches(Examples(task, targets), batch_size=6, seed=1, flip=True, **options)


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
    pairs = Examples(Paired(), targets, 255 - targets[:, :1])
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


def test_holes_of_validation_stay_the_same(targets):
    examples = Examples(Inpaint(4, 16, 8), targets)
    first, again = (Validation(examples, examples, 4, seed=0) for _ in range(2))
    assert len(first.val[0]) == len(first.train[0]) == 4
    for a, b in zip((*first.val, *first.train), (*again.val, *again.train), strict=True):
        assert torch.equal(a, b)
    other = Validation(examples, examples, 4, seed=1)
    assert not torch.equal(first.val[0], other.val[0])


def test_a_batch_made_ahead_is_the_batch(targets):
    batches = stream(SuperRes(4, 8), targets)
    ahead = Prefetched(stream(SuperRes(4, 8), targets), rank=1, ranks=2)
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


@pytest.mark.parametrize("task", ["colorize", "paired"])
def test_mapped_sets_give_the_same_examples(tmp_path, targets, task):
    for side in ("A", "B"):
        (tmp_path / "data" / side).mkdir(parents=True)
        for index, image in enumerate(targets):
            picture = (image if side == "B" else 255 - image[:1].expand(3, -1, -1)).permute(1, 2, 0)
            write_png(tmp_path / "data" / side / f"{index}.png", picture.contiguous().numpy())
    values = {"data": str(tmp_path / "data"), "out": str(tmp_path / "run"), "task": {"size": 16}}
    values["optim"] = {"images": 8}
    memory, mapped = (
        load_examples(build_config(values, [f"data_memory_gb={bound}"], task=task), "train")
        for bound in (1, 0)
    )
    assert memory.cond_channels == 1  # all of A are grey
    assert torch.equal(memory.targets, mapped.targets)
    for index in range(len(memory)):
        a, b = (e.pair(index, torch.Generator())[1] for e in (memory, mapped))
        assert (a == b).all()
    assert any((tmp_path / "run" / "cache").iterdir())

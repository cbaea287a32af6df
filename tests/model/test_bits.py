"""A score has the same bits in every batch, as PyTorch rounds on one to four threads."""

import helpers
import pytest
import torch

# Half of the values of a coupling are then no multiple of a SIMD block's.
SIZES = [(16, 16), (48, 80), (80, 112), (32, 48)]


@pytest.fixture(scope="module")
def models():
    """Of every task, and with variational dequantization."""
    small = {"scales": 2, "t_steps": 1}
    tasks = ("superres", "colorize", "inpaint", "paired")
    configs = {name: helpers.task_config(name, **small) for name in tasks}
    configs["variational"] = helpers.small_config(dequantization="variational", **small)
    return {
        name: helpers.data_like_model(config, seed, 32)
        for seed, (name, config) in enumerate(configs.items(), 2)
    }


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("task", ["superres", "colorize", "inpaint", "paired", "variational"])
def test_a_score_does_not_depend_on_the_batch(models, threads, task, count):
    threads(count)
    model = models[task]
    for seed, size in enumerate(SIZES):
        targets, conds = helpers.image_pair(model, 3, size, seed)
        together = model.log_prob(targets, conds[:1])
        alone = [model.log_prob(target[None], conds[:1]) for target in targets]
        assert torch.equal(together, torch.cat(alone))


def test_a_sample_does_not_depend_on_the_batch(models):
    model = models["superres"]
    for seed, size in enumerate(SIZES):
        _, cond = helpers.image_pair(model, 1, size, seed)
        together = model.sample(cond, 0.8, candidates=3, seed=5)[0]
        alone = [model.sample(cond, 0.8, seed=5 + k)[0] for k in range(3)]
        assert torch.equal(together, torch.cat(alone))

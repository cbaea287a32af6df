"""Switches of a model in training must not change its results."""

import copy

import helpers
import pytest
import torch

from caflow_cli.training.optim import checkpoint_activations, compile_steps


def gradients(model, target, cond, noise):
    terms = model(target.to(model.dtype), cond.to(model.dtype) + 0.5, noise.to(model.dtype))
    (terms.log_prob + 0.01 * terms.cond_log_prob).sum().backward()
    return terms, [p.grad for p in model.parameters()]


@pytest.mark.parametrize(
    "flow",
    [
        {"trunk": (7, 5), "trunk_blocks": 3, "guide": 4},
        {"conditional": "shared", "guide": (4, 8, 8), "guide_net": "unet"},
    ],
)
def test_checkpointed_activations_give_the_same_gradients(flow):
    config = helpers.small_config(scales=2, f_steps=2, **flow)
    plain = helpers.data_like_model(config, seed=4, size=16).double().train()
    frugal = copy.deepcopy(plain)
    checkpoint_activations(frugal)
    target, cond = helpers.image_pair(plain, 3, 16)
    noise = torch.rand(target.shape, generator=helpers.generator(5), dtype=torch.float64)
    terms, expected = gradients(plain, target, cond, noise)
    again, found = gradients(frugal, target, cond, noise)
    assert torch.equal(terms.log_prob, again.log_prob)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_compiled_steps_are_few_graphs_and_the_same_function():
    """Inductor itself is left to the benchmark: it takes a compiler, and a minute."""
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    config = helpers.small_config(scales=1, t_steps=2, f_steps=2, trunk=7)
    plain = helpers.data_like_model(config, seed=4, size=16).double().train()
    compiled = copy.deepcopy(plain)
    compile_steps(compiled, backend="aot_eager")
    target, cond = helpers.image_pair(plain, 3, 16)
    noise = torch.rand(target.shape, generator=helpers.generator(5), dtype=torch.float64)
    _, expected = gradients(plain, target, cond, noise)
    _, found = gradients(compiled, target, cond, noise)
    for a, b in zip(expected, found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-11)
    stats = torch._dynamo.utils.counters
    assert not stats["graph_break"]
    # Two shapes of step in R and T, three of the conditional steps of F; and one shape twice,
    # because the map of a first step is made in another way.
    assert stats["stats"]["unique_graphs"] <= 6

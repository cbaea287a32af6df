"""Every guide of images in `GUIDES`: it builds, learns, folds, and is what a file of it loads."""

import helpers
import pytest
import torch

from caflow_cli.guide_specs import GUIDES
from caflow_cli.model import CAFlow

SIZE = 32
trained = pytest.mark.parametrize(
    "net",
    [net for net, spec in GUIDES.items() if spec.trains and not spec.of_field and net != "none"],
)


def model_with(net):
    spec = GUIDES[net]
    flow = {"guide_net": net, "guide": (6,) * spec.counts(2)[-1], "guide_blocks": 2, "spread": 4}
    flow |= {"anchor": "enlarged"} if spec.enlarges else {"guide_factor": 2}
    return helpers.data_like_model(helpers.small_config(scales=2, **flow), seed=3, size=SIZE)


@trained
def test_every_parameter_learns_from_the_loss_on_images(net):
    model = model_with(net).train()
    _, cond = helpers.image_pair(model, 2, SIZE)
    predicted = model.density.A.expect(cond + 0.5)
    (predicted - 100).square().mean().backward()
    for name, parameter in model.density.A.guide.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


@trained
def test_a_folded_guide_predicts_the_same_and_a_batch_the_same_bits(net, tmp_path):
    model = model_with(net)
    _, cond = helpers.image_pair(model, 2, SIZE)
    with torch.no_grad():
        expected = model.density.A.expect(cond + 0.5)
    folded = model.expect(cond)
    torch.testing.assert_close(folded, expected, rtol=0, atol=1e-2)
    assert torch.equal(model.expect(cond[1:]), folded[1:])
    model.save(tmp_path / "m.safetensors")
    assert torch.equal(CAFlow.load(tmp_path / "m.safetensors").expect(cond), folded)

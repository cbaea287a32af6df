"""The table of shapes in docs/model.md: 64×64, three scales, a three-channel condition."""

import helpers
import pytest
import torch

from caflow_cli.config import Config
from caflow_cli.model import CAFlow

L = {2: (6, 32, 32), 1: (12, 16, 16), 0: (48, 8, 8)}
# f_j^i: (x behind the squeeze, squeezed D_j, squeezed L_j)
FUNCTIONS = {
    (2, 2): ((24, 16, 16), (24, 16, 16), None),
    (1, 2): ((48, 8, 8), (48, 8, 8), (48, 8, 8)),
    (0, 2): ((96, 4, 4), (192, 4, 4), (192, 4, 4)),
    (1, 1): ((48, 8, 8), (48, 8, 8), None),
    (0, 1): ((96, 4, 4), (192, 4, 4), (192, 4, 4)),
    (0, 0): ((192, 4, 4), (192, 4, 4), None),
}
Z = [(12, 16, 16), (24, 8, 8), (96, 4, 4), (24, 8, 8), (96, 4, 4), (192, 4, 4)]


def sizes(tensors):
    return [tuple(t.shape[1:]) for t in tensors]


def test_the_table_of_the_design():
    model = CAFlow(Config()).eval()
    seen = {}

    def keep(key):
        return lambda module, args: seen.update({key: tuple(args[0].shape[1:])})

    for i, flow in enumerate(model.density.F):
        assert len(flow.functions) == i + 1
        for j, function in enumerate(flow.functions):
            function.steps[0].register_forward_pre_hook(keep((j, i, "x")))
            function.steps[-1].register_forward_pre_hook(keep((j, i, "last x")))
            function.embed_d.register_forward_pre_hook(keep((j, i, "d")))
            if function.embed_l is not None:
                function.embed_l.register_forward_pre_hook(keep((j, i, "l")))
    outputs = {}
    for name in ("R", "T"):
        getattr(model.density, name).register_forward_hook(
            lambda module, args, output, name=name: outputs.update({name: output[0]})
        )
    target, cond = helpers.image_pair(model, 1, 64)
    model(target + 0.5, cond + 0.5)  # by the modules themselves: `encode` folds them
    z, _ = model.encode(target, cond)

    assert sizes(outputs["R"]) == sizes(outputs["T"]) == [L[0], L[1], L[2]]
    for (j, i), (x, d, l) in FUNCTIONS.items():
        assert seen[j, i, "x"] == seen[j, i, "last x"] == x
        assert seen[j, i, "d"] == d
        assert seen.get((j, i, "l")) == l
    assert {key[:2] for key in seen} == FUNCTIONS.keys()
    assert sizes(z) == Z == model.latent_shapes((64, 64))
    assert sum(t[0].numel() for t in z) == 12_288 == 3 * 64**2


@pytest.mark.parametrize("cond_channels", [1, 4])
@torch.no_grad()
def test_d_scales_with_the_channels_of_the_condition(cond_channels):
    model = CAFlow(helpers.small_config(cond_channels=cond_channels)).eval()
    target, cond = helpers.image_pair(model, 1, 32)
    d = model.encode_condition(cond).d
    assert [t.shape[1] for t in d] == [16 * cond_channels, 4 * cond_channels, 2 * cond_channels]
    z, _ = model.encode(target, cond)
    assert [t.shape[1] for t in z] == [t[0] for t in Z]

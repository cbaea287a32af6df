"""The presets of appendix B: they build, and are as large as the documentation says."""

import helpers
import pytest
import torch

from caflow_cli.checkpoint import read_info
from caflow_cli.config import PRESETS, Config, preset
from caflow_cli.model import CAFlow

# Parameters of A, R, T, F and Q, in thousands.
PARAMETERS = {
    ("compact", "superres"): (0, 366, 1445, 4606, 0),
    ("compact", "colorize"): (1714, 118, 1080, 4228, 0),
    ("compact", "inpaint"): (988, 357, 1080, 4795, 0),
    ("ffhq-superres-x4", "superres"): (0, 1424, 2842, 14938, 86),
    ("lsun-colorize", "colorize"): (0, 896, 2133, 11731, 0),
    ("celeba-inpaint", "inpaint"): (0, 2665, 2665, 19876, 0),
}


@pytest.mark.parametrize(("name", "task"), PARAMETERS)
def test_a_preset_builds_at_its_size(name, task):
    model = CAFlow(Config(flow=preset(name, task)))
    parts = (model.density.A, model.density.R, model.density.T, model.density.F, model.Q)
    thousands = [
        0 if m is None else round(sum(p.numel() for p in m.parameters()) / 1e3) for m in parts
    ]
    assert tuple(thousands) == PARAMETERS[name, task]
    target, cond = helpers.image_pair(model, 1, 16)
    with torch.no_grad():
        v, _ = model.decode(model.encode(target, cond)[0], cond)
    torch.testing.assert_close(v, target + 0.5, rtol=0, atol=1e-2)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_learns_saves_and_loads(name, tmp_path):
    model = helpers.seeded(lambda: CAFlow(Config(flow=preset(name))), 1).train()
    target, cond = helpers.image_pair(model, 4, 32)
    noise = helpers.first_noise((3, 32, 32), 4, normal=model.Q is not None)
    optimizer = torch.optim.Adam(model.parameters(), 2e-5)
    losses = []
    for _ in range(4):
        loss = -model(target.float(), cond.float() + 0.5, noise).log_prob.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    model.save(tmp_path / "m.safetensors")
    loaded, info = CAFlow.load(tmp_path / "m.safetensors"), read_info(tmp_path / "m.safetensors")
    assert info.config.flow == preset(name)
    assert torch.equal(loaded.log_prob(target, cond), model.eval().log_prob(target, cond))

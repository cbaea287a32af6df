"""The presets of appendix B: they build, and are as large as the documentation says."""

import helpers
import pytest
import torch

from caflow_cli.config import Config
from caflow_cli.devices import Uninitialized
from caflow_cli.model import CAFlow
from caflow_cli.tasks import preset

# Parameters of A, R, T, F and Q, in thousands.
PARAMETERS = {
    ("compact", "superres"): (679, 683, 1445, 5173, 0),
    ("compact", "colorize"): (1760, 357, 1080, 4795, 0),
    ("compact", "inpaint"): (1774, 621, 1080, 5362, 0),
    ("ffhq-superres-x4", "superres"): (0, 1424, 2842, 14938, 86),
    ("lsun-colorize", "colorize"): (0, 896, 2133, 11731, 0),
    ("celeba-inpaint", "inpaint"): (0, 2665, 2665, 19876, 0),
}


@pytest.mark.parametrize("name", PARAMETERS, ids="-".join)
def test_a_preset_builds_at_its_size(name):
    with torch.device("meta"), Uninitialized():
        model = CAFlow(Config(flow=preset(*name)))
    parts = (model.density.A, model.density.R, model.density.T, model.density.F, model.Q)
    thousands = [
        0 if m is None else round(sum(p.numel() for p in m.parameters()) / 1e3) for m in parts
    ]
    assert tuple(thousands) == PARAMETERS[name]


def test_a_preset_learns_saves_and_loads(tmp_path):
    """One step of training lowers the loss, and the file holds what was learned."""
    model = helpers.seeded(lambda: CAFlow(Config(preset("compact"))), 1).train()
    target, cond = helpers.image_pair(model, 4, 32)
    noise = helpers.first_noise((3, 32, 32), 4)

    def loss():
        return -model(target.float(), cond.float() + 0.5, noise).log_prob.mean()

    before = loss()
    before.backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 2e-6 * parameter.grad.sign()  # as the first step of Adam
        assert float(loss()) < float(before)
    model.eval().save(tmp_path / "m.safetensors")
    loaded = CAFlow.load(tmp_path / "m.safetensors")
    v, _ = loaded.decode(model.encode(target, cond)[0], cond)
    torch.testing.assert_close(v, target.double() + 0.5, rtol=0, atol=1e-2)

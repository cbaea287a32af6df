"""The anchor and its guide (that they invert: `test_walk`)."""

import helpers
import pytest
import torch

from caflow_cli.flows import Anchor, AnchorCondition, Logit

BATCH, BOUND = 2, 2.0


@pytest.mark.parametrize(("kind", "says"), [("none", 3), ("enlarged", 3), ("enlarged", 6)])
@torch.no_grad()
def test_the_picture_that_is_meant_is_where_h_is_0(kind, says):
    y = 256 * torch.rand((BATCH, 3, 4, 4), generator=helpers.generator(1), dtype=torch.float64)
    cond = AnchorCondition(y, 0.5 * helpers.normal((BATCH, says, 4, 4), 2))
    anchor = Anchor(kind, Logit(), None, BOUND)
    meant = anchor.mean(cond, 3)
    h, _ = anchor(meant, cond)
    torch.testing.assert_close(h, torch.zeros_like(h), rtol=0, atol=1e-12)


@torch.no_grad()
def test_a_mean_shifts_and_leaves_the_log_determinant():
    y = torch.full((1, 3, 4, 4), 100.0, dtype=torch.float64)
    v = 256 * torch.rand((3, 3, 4, 4), generator=helpers.generator(1), dtype=torch.float64)
    m = helpers.normal((1, 3, 4, 4), 2)
    anchor = Anchor("enlarged", Logit(), None, BOUND)
    plain, logdet = anchor(v, AnchorCondition(y, None))
    h, logdet_m = anchor(v, AnchorCondition(y, m))
    torch.testing.assert_close(h, plain - m, rtol=0, atol=0)
    assert torch.equal(logdet, logdet_m)

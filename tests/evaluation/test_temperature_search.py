"""The search for a temperature: what is tried, and what is chosen."""

from __future__ import annotations

import helpers
import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.estimates import Estimate
from caflow_cli.evaluation.result import ALL, Result
from caflow_cli.evaluation.settings import Cell
from caflow_cli.evaluation.temperature_search import RMSE_ROOM, choose_temperature, searched
from caflow_cli.temperature import Temperature


def row(tau, rmse, lpips, what="model"):
    values = {"rmse": Estimate(rmse, 0.1, 9), "lpips": Estimate(lpips, 0.001, 9)}
    return Result(what, values, Cell(Temperature.of(tau), 1, 1))


@pytest.mark.parametrize(
    ("scales", "conditional", "count"),
    [(1, "caflow", 6), (2, "caflow", 11), (3, "caflow", 14), (3, "dual-glow", 11)],
)
def test_every_temperature_of_the_search_fits_its_model(scales, conditional, count):
    flow = helpers.sizes(scales, conditional=conditional)
    tried = searched(flow)
    assert len(set(tried)) == len(tried) == count
    for tau in tried:
        assert len(tau.of_latents(flow.latent_scales)) == len(flow.latent_scales)


def test_own_latents_are_those_of_j_equal_to_i():
    of_three = searched(helpers.sizes(3))
    assert Temperature.of("0.9/0.5/0.5/0.9/0.5/0.5") in of_three
    assert Temperature.of("0.9/0.7/0.5") in of_three


def test_the_lowest_lpips_within_the_bound_of_rmse_is_chosen():
    limit = 10 * (1 + RMSE_ROOM)
    rows = [
        row(0.5, 10, 0.20),
        row(0.8, limit - 0.01, 0.10),
        row(0.7, 10.5, 0.15),
        row("0.9/0.7/0.5", limit + 0.01, 0.05),
    ]
    choice = choose_temperature([row(0.1, 1, 0.01, ALL), *rows])
    assert (choice.tau, choice.least_rmse) == (0.8, 10)
    assert choice.as_json()["rmse_at_most"] == pytest.approx(limit)
    assert choice.as_json()["lpips"] == {"mean": 0.1, "standard_error": 0.001, "count": 9}
    assert "--tau 0.8" in str(choice)
    assert "10% above" in choice.rule
    rows[3] = row("0.9/0.7/0.5", limit - 0.02, 0.05)
    assert str(choose_temperature(rows).tau) == "0.9/0.7/0.5"
    assert choose_temperature([row(0.8, 10.2, 0.1), row(0.7, 10, 0.1)]).tau == 0.7
    with pytest.raises(CaflowError, match="no temperature was measured"):
        choose_temperature([])

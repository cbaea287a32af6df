"""The search for a rule of choice: which rule the measured figures name."""

from __future__ import annotations

import pytest

from caflow_cli.errors import CaflowError
from caflow_cli.evaluation.estimates import Estimate
from caflow_cli.evaluation.rank_search import ERRORS, RMSE_ROOM, choose_rank
from caflow_cli.evaluation.result import ALL, LIKELIEST, Result
from caflow_cli.evaluation.settings import Cell
from caflow_cli.temperature import Temperature


def row(rank, rmse, lpips, lower=None, error=0.01, what="model"):
    values = {"rmse": Estimate(rmse, 0.1, 9), "lpips": Estimate(lpips, 0.02, 9)}
    differences = {} if lower is None else {LIKELIEST: {"lpips": Estimate(lower, error, 9)}}
    return Result(what, values, Cell(Temperature.of(0.8), 10, 1, rank), differences)


LIKELIHOOD = row("likelihood", 10, 0.20)


def chosen(*rows):
    return choose_rank([LIKELIHOOD, *rows]).rank


def test_the_lowest_lpips_that_is_lower_by_two_errors_is_chosen():
    consensus = row("consensus", 9.9, 0.15, -ERRORS * 0.01)
    typical = row("typical", 9.9, 0.17, -0.03)
    assert chosen(typical, consensus) == chosen(consensus, typical) == "consensus"
    assert chosen(typical, row("consensus", 9.9, 0.15, -ERRORS * 0.01 + 1e-4)) == "typical"
    assert chosen(row("typical", 9, 0.15, -0.03), row("consensus", 8, 0.15, -0.03)) == "consensus"


def test_likelihood_stays_where_nothing_is_better():
    assert chosen() == "likelihood"
    assert chosen(row("typical", 9, 0.25, 0.05)) == "likelihood"
    assert chosen(row("typical", 9, 0.199, -0.001)) == "likelihood"
    # The same pictures, and one picture: no difference, and no error of it.
    assert chosen(row("typical", 10, 0.20, 0.0, 0.0)) == "likelihood"
    assert chosen(row("typical", 9, 0.10, -0.1, None)) == "likelihood"


def test_the_rmse_may_be_one_percent_above_likelihoods():
    limit = 10 * (1 + RMSE_ROOM)
    assert chosen(row("typical", limit, 0.15, -0.05)) == "typical"
    assert chosen(row("typical", limit + 0.001, 0.15, -0.05)) == "likelihood"


def test_the_choice_says_its_rule_and_every_figure():
    other = row("consensus", 1, 0.01, -0.19, what=ALL)
    choice = choose_rank([other, LIKELIHOOD, row("typical", 9, 0.15, -0.05)])
    record = choice.as_json()
    assert (record["rank"], record["tau"], record["candidates"], record["keep"]) == (
        "typical",
        [0.8],
        10,
        1,
    )
    assert record["rmse_at_most"] == pytest.approx(10 * (1 + RMSE_ROOM))
    assert list(record["rules"]) == ["likelihood", "typical"]
    assert record["rules"]["typical"]["lpips_minus_likelihood"]["mean"] == -0.05
    assert "lpips_minus_likelihood" not in record["rules"]["likelihood"]
    assert "at least 2 standard errors" in record["rule"]
    assert "--rank typical" in str(choice)
    assert "-0.0500 ± 0.0100" in str(choice)
    assert "--rank likelihood" in str(choose_rank([LIKELIHOOD]))
    with pytest.raises(CaflowError, match="likelihood's choice was not measured"):
        choose_rank([row("typical", 9, 0.15, -0.05)])

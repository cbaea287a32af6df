"""Which candidate: rules by their formulas, and what `restore` makes of them."""

import numpy as np
import pytest

from caflow_cli.restoration import order, restore, rmse_between

RULES = ("likelihood", "consensus")
SCORES = [-5.0, -1.0, -4.0, -2.0, -3.0]
# RMSE between five images: 2 is the nearest to all, 4 the nearest to the likelier half 1, 3, 4.
NOT_COMPARABLE = np.array(
    [
        [0.0, 9.0, 1.0, 9.0, 9.0],
        [9.0, 0.0, 2.0, 6.0, 4.0],
        [1.0, 2.0, 0.0, 2.0, 3.0],
        [9.0, 6.0, 2.0, 0.0, 5.0],
        [9.0, 4.0, 3.0, 5.0, 0.0],
    ]
)


def noise(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)


def test_likelihood_falls_and_ties_break_by_k():
    assert order("likelihood", SCORES) == [(k, SCORES[k]) for k in (1, 3, 4, 2, 0)]
    assert [k for k, _ in order("likelihood", [1.0, 2.0, 2.0])] == [1, 2, 0]
    assert order("none", SCORES) == [(k, None) for k in range(5)]


def test_consensus_is_the_least_mean_rmse_to_the_others():
    places = order("consensus", SCORES, NOT_COMPARABLE)
    assert places[0] == (2, 2.0)
    for k, value in places:
        others = [NOT_COMPARABLE[k, j] for j in range(5) if j != k]
        assert value == pytest.approx(sum(others) / 4)
    values = [value for _, value in places]
    assert values == sorted(values)
    # Two are as far from each other as from each other: the likelier is first.
    assert [k for k, _ in order("consensus", [-2.0, -1.0], NOT_COMPARABLE[:2, :2])] == [1, 0]
    assert order("consensus", [-2.0], NOT_COMPARABLE[:1, :1]) == [(0, None)]


def test_distances_are_rmse():
    images = [noise(k) for k in range(3)]
    expected = [[np.sqrt(np.mean((a.astype(float) - b) ** 2)) for b in images] for a in images]
    np.testing.assert_allclose(rmse_between(images), expected)


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_orders_the_same_candidates(small_model, rule):
    image = noise(1)
    plain = {c.k: c for c in restore(small_model, image, 0.8, 5, rank="none").ranked}
    result = restore(small_model, image, 0.8, 5, keep=2, rank=rule)
    for candidate in result.ranked:
        same = plain[candidate.k]
        assert (candidate.image == same.image).all()
        assert (candidate.score, candidate.seed) == (same.score, same.seed)
    images = [plain[k].image.astype(float) for k in range(5)]
    apart = np.array([[np.sqrt(np.mean((a - b) ** 2)) for b in images] for a in images])
    expected = order(rule, [plain[k].score.rank_score for k in range(5)], apart)
    assert [c.k for c in result.ranked] == [k for k, _ in expected]
    assert [c.rank_value for c in result.ranked] == pytest.approx(
        [v for _, v in expected], abs=0.05
    )
    assert [c.rank for c in result.ranked] == [1, 2, 3, 4, 5]

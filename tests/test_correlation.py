"""Rank correlation against scipy's, and its interval."""

import numpy as np
import pytest
from scipy import stats

from flowsdf.evaluation.correlation import correlation_bootstrap


def test_rank_correlation_is_spearmans_and_its_interval_tells_chance_from_order() -> None:
    rng = np.random.default_rng(0)
    a, noise = rng.normal(size=60).round(1), rng.normal(size=60)
    for b in (noise, a + 0.3 * noise, -np.exp(a)):
        found = correlation_bootstrap(a, b, seed=0)
        assert found.estimate == pytest.approx(stats.spearmanr(a, b).statistic)
    assert correlation_bootstrap(a, -np.exp(a), seed=0).high < -0.99
    chance = correlation_bootstrap(a, noise, seed=0)
    assert chance.low < 0 < chance.high
    assert correlation_bootstrap(a, np.ones(60), seed=0) == (0, 0, 0)


@pytest.mark.parametrize("pairs", [5, 15])
def test_the_interval_of_few_pairs_holds_a_true_correlation_as_often_as_it_says(pairs: int) -> None:
    rng, truth = np.random.default_rng(1), 6 / np.pi * np.arcsin(0.3)  # of normal pairs correlated by 0.6
    held = []
    for _ in range(400):
        a = rng.normal(size=pairs)
        found = correlation_bootstrap(a, 0.6 * a + 0.8 * rng.normal(size=pairs), seed=0)
        held.append(found.low <= truth <= found.high)
    assert 0.93 <= np.mean(held) <= 0.99
    assert np.isnan(correlation_bootstrap(a[:3], a[:3], seed=0).low)
    assert correlation_bootstrap(a, a, seed=0).estimate == pytest.approx(1)

"""Intervals that cover as often as they say, and tests that fire as often as they say."""

import numpy as np
import pytest
from scipy import stats

from flowsdf.evaluation import intervals as iv
from flowsdf.evaluation.few_values import seeds_interval


def test_bootstrap_covers_the_mean():
    draws = np.random.default_rng(0).exponential(size=(300, 60))
    found = [iv.bootstrap_interval(row, seed=1, resamples=500) for row in draws]
    assert 0.88 <= np.mean([low <= 1 <= high for _, low, high in found]) <= 0.98


@pytest.mark.parametrize(("by_seed", "by_shape"), [(1.0, 0.1), (0.3, 1.0), (1.0, 1.0)])
def test_an_interval_over_five_seeds_and_shapes_covers(by_seed, by_shape):
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(300, 5, 1)) * by_seed + rng.normal(size=(300, 1, 12)) * by_shape
    found = [seeds_interval(values, seed=0) for values in drawn]
    assert np.mean([low <= 0 <= high for _, low, high in found]) >= 0.92


def test_bootstrap_agrees_with_a_loop_and_with_its_seed():
    values = np.array([1.0, 4.0, 2.0, 8.0, 5.0])
    rng, means = np.random.default_rng(3), []
    for row in rng.integers(5, size=(2000, 5)):
        means.append(sum(values[i] for i in row) / 5)
    found = iv.bootstrap_interval(values, seed=3)
    beyond = stats.norm.cdf(-stats.t.ppf(0.975, 4) * np.sqrt(5 / 4))  # 0.001
    assert found == pytest.approx((4.0, np.quantile(means, beyond), np.quantile(means, 1 - beyond)))
    assert found == iv.bootstrap_interval(values, seed=3)


def test_paired_bootstrap_removes_what_the_pairs_share():
    rng = np.random.default_rng(0)
    shape = rng.normal(scale=10, size=100)
    a, b = shape + rng.normal(scale=0.1, size=100), shape + 0.5
    assert iv.paired_bootstrap(a, b, seed=0).high < 0


def test_the_difference_of_two_independent_samples():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 2, size=400), rng.normal(0, 1, size=100)
    found = iv.difference_bootstrap(a, b, seed=0)
    assert found.estimate == pytest.approx(a.mean() - b.mean())
    error = np.sqrt(a.var() / len(a) + b.var() / len(b))  # of independent means
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
    alone = iv.difference_bootstrap(a[:1], b, seed=0)
    assert alone.estimate == pytest.approx(a[0] - b.mean()) and np.isnan([alone.low, alone.high]).all()


def test_two_way_bootstrap_is_wider_when_seeds_disagree():
    rng = np.random.default_rng(0)
    shapes = rng.normal(size=(1, 50)) + np.zeros((5, 1))
    disagreeing = shapes + rng.normal(size=(5, 1))
    alike, apart = (iv.two_way_bootstrap(values, seed=0) for values in (shapes, disagreeing))
    assert apart.high - apart.low > 1.5 * (alike.high - alike.low)
    assert alike[1:] == pytest.approx(iv.bootstrap_interval(shapes[0], seed=1)[1:], abs=0.05)


@pytest.mark.parametrize("runs", [2, 5])
def test_prediction_interval_covers_the_next_run(runs):
    draws = np.random.default_rng(0).normal(3, 2, size=(4000, runs + 1))
    inside = [low <= row[-1] <= high for row in draws for _, low, high in [iv.prediction_interval(row[:-1])]]
    assert np.mean(inside) == pytest.approx(0.95, abs=0.015)


def test_runs_needed_is_the_first_count_narrow_enough():
    values = np.array([0.9, 1.0, 1.1])
    needed = iv.runs_needed(values, 0.25)
    before, at = (stats.t.ppf(0.975, n - 1) * 0.1 * np.sqrt(1 + 1 / n) for n in (needed - 1, needed))
    assert at <= 0.25 < before
    assert iv.runs_needed(values, 0.19) is None  # below 1.96 standard deviations


def test_one_run_is_never_an_interval():
    one = np.array([1.0])
    with pytest.raises(ValueError, match="at least two"):
        iv.prediction_interval(one)
    with pytest.raises(ValueError, match="at least two"):
        iv.bootstrap_interval(one, seed=0)
    with pytest.raises(ValueError, match="at least two"):
        iv.runs_needed(one, 1.0)
    with pytest.raises(ValueError, match="at least two"):
        iv.two_way_bootstrap(np.ones((1, 9)), seed=0)
    with pytest.raises(ValueError, match="finite"):
        iv.prediction_interval(np.array([1.0, np.nan]))


def test_sign_test_counts_signs():
    low, high = np.arange(5.0), np.arange(5.0) + 1
    assert iv.sign_test(low, high) == pytest.approx(1 / 32)
    assert iv.sign_test(high, low) == 1
    assert iv.sign_test(low, low) == 1
    assert iv.sign_test(np.append(low, 7), np.append(high, 7)) == pytest.approx(1 / 32)  # the tie is left out


def test_equivalence_needs_closeness_and_certainty():
    rng = np.random.default_rng(0)
    b = rng.normal(10, 1, size=8)
    assert iv.equivalence_test(b + rng.normal(0, 0.1, 8), b, margin=1.5) < 0.05
    assert iv.equivalence_test(b + rng.normal(1.5, 0.5, 8), b, margin=1.5) > 0.05
    assert iv.equivalence_test(b + rng.normal(0, 8, 8), b, margin=1.5) > 0.05
    assert iv.equivalence_test(b, b, margin=1.0) == 0 and iv.equivalence_test(b + 2, b, margin=1.0) == 1


def test_equivalence_errs_at_its_level_on_the_edge():
    draws = np.random.default_rng(0).normal(1.0, 0.5, size=(1000, 6))
    wrong = [iv.equivalence_test(row, np.zeros(6), margin=1.0) < 0.05 for row in draws]
    assert np.mean(wrong) < 0.075

"""Intervals of few values hold the truth as often as they say, and a single value claims none."""

import numpy as np
import pytest
from scipy import stats

from flowsdf.evaluation.few_values import (
    difference_interval,
    few_seeds_interval,
    shapes_interval,
    share_interval,
    student_interval,
)


def test_the_interval_of_a_mean_is_that_of_the_t_test():
    values = np.array([0.2, 0.5, 0.1, 0.4])
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(0.95)
    assert student_interval(values)[1:] == pytest.approx((expected.low, expected.high))


def test_a_single_value_claims_no_interval():
    mean, low, high = student_interval(np.array([0.3]))
    assert mean == 0.3 and np.isnan([low, high]).all()


def test_seeds_and_shapes_both_widen_the_interval():
    values = np.array([[0.0, 1.0, 2.0], [1.0, 2.0, 3.0]])
    mean, low, high = few_seeds_interval(values)
    over_seeds, over_shapes = (student_interval(values.mean(axis)) for axis in (1, 0))
    assert mean == 1.5 and (high - low) ** 2 == pytest.approx(
        sum((i.high - i.low) ** 2 for i in (over_seeds, over_shapes))
    )


@pytest.mark.parametrize("count", [2, 7, 8, 9, 15])
def test_the_interval_over_shapes_covers(count):
    drawn = np.random.default_rng(0).normal(size=(2000, count))
    found = [shapes_interval(row, seed=0) for row in drawn]
    assert np.mean([low <= 0 <= high for _, low, high in found]) >= 0.93


@pytest.mark.parametrize(("few", "many"), [(3, 10), (6, 6), (12, 20)])
def test_the_interval_of_a_difference_covers(few, many):
    drawn = np.random.default_rng(0).normal(size=(400, few + many))
    found = [difference_interval(row[:few], row[few:], seed=0) for row in drawn]
    assert np.mean([low <= 0 <= high for _, low, high in found]) >= 0.9
    assert np.isnan(difference_interval(drawn[0, :1], drawn[0], seed=0)[1:]).all()


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_interval_of_a_share_covers(share):
    hits = np.random.default_rng(0).binomial(15, share, 1000)
    limits = [share_interval(int(k), 15)[1:] for k in hits]
    assert np.mean([low <= share <= high for low, high in limits]) >= 0.92


def test_a_share_of_none_still_has_an_upper_limit():
    share, low, high = share_interval(0, 6)
    assert share == low == 0.0 and high == pytest.approx(0.390, abs=0.001)

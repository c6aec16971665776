"""Intervals of few values: of means by Student's t (a bootstrap of three is too narrow), of shares by Wilson's."""

import numpy as np
from jaxtyping import Float
from scipy import stats

from flowsdf.evaluation.intervals import Interval, bootstrap_interval, difference_bootstrap, two_way_bootstrap

FEW = 8  # values, below which a bootstrap is too narrow


def student_interval(values: Float[np.ndarray, " n"], *, level: float = 0.95) -> Interval:
    """The mean and its limits; a single value has the limits NaN."""
    values = np.asarray(values, np.float64)
    mean, half = float(values.mean()), _half_width(values, level)
    return Interval(mean, mean - half, mean + half)


def shapes_interval(values: Float[np.ndarray, " n"], *, seed: int) -> Interval:
    """A mean with its 95 % interval over shapes: a bootstrap, Student's t below eight shapes, NaN for a single one."""
    return bootstrap_interval(values, seed=seed) if len(values) >= FEW else student_interval(values)


def difference_interval(a: Float[np.ndarray, " n"], b: Float[np.ndarray, " m"], *, seed: int) -> Interval:
    """The mean of a minus that of b, of different shapes, with its 95 % interval; NaN where either is a single value.

    A bootstrap of both; Welch's t (1947) where either has fewer than eight.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if min(len(a), len(b)) >= FEW:
        return difference_bootstrap(a, b, seed=seed)
    estimate = float(a.mean() - b.mean())
    if min(len(a), len(b)) < 2:
        return Interval(estimate, np.nan, np.nan)
    limits = stats.ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    return Interval(estimate, float(limits.low), float(limits.high))


def few_seeds_interval(values: Float[np.ndarray, "seeds shapes"], *, level: float = 0.95) -> Interval:
    """The mean and its limits over few seeds and over test shapes, as independent deviations; ValueError below two."""
    values = np.asarray(values, np.float64)
    if min(values.shape) < 2:
        raise ValueError("an interval over seeds and shapes needs two of each or more")
    mean = float(values.mean())
    half = float(np.hypot(_half_width(values.mean(1), level), _half_width(values.mean(0), level)))
    return Interval(mean, mean - half, mean + half)


def seeds_interval(values: Float[np.ndarray, "seeds shapes"], *, seed: int) -> Interval:
    """A mean with its 95 % interval over seeds and shapes: a bootstrap of both, Student's t below eight seeds."""
    values = np.asarray(values, np.float64)
    if len(values) >= FEW:
        return two_way_bootstrap(values, seed=seed)
    return few_seeds_interval(values) if values.shape[1] > 1 else student_interval(values[:, 0])


def share_interval(hits: int, count: int, *, level: float = 0.95) -> Interval:
    """The share of hits among ``count`` independent trials, one or more, and its score interval (Wilson 1927)."""
    limits = stats.binomtest(hits, count).proportion_ci(level, method="wilson")
    return Interval(hits / count, float(limits.low), float(limits.high))


def quantile(count: int, level: float) -> float:
    """Student's t for the mean of ``count`` values, two or more."""
    return float(stats.t.ppf((1 + level) / 2, count - 1))


def _half_width(values: Float[np.ndarray, " n"], level: float) -> float:
    if len(values) < 2:
        return np.nan
    return quantile(len(values), level) * float(values.std(ddof=1)) / np.sqrt(len(values))

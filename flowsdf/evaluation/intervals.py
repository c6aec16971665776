"""How sure a number is: bootstrap over shapes, prediction over seeds, and the tests that claims are judged by."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy import stats

Sample = Float[np.ndarray, " n"]  # one value per shape, or per seeded run


class Interval(NamedTuple):
    """An estimate between its limits."""

    estimate: float
    low: float
    high: float


def bootstrap_interval(values: Sample, *, seed: int, level: float = 0.95, resamples: int = 2000) -> Interval:
    """The mean and its percentile bootstrap interval (Efron 1979) over independent ``values``; ValueError below two.

    As here in all of them, its percentiles lie further out the fewer values there are (Hesterberg 2015).
    """
    values = _several(values)
    drawn = np.random.default_rng(seed).integers(len(values), size=(resamples, len(values)))
    return _percentiles(values.mean(), values[drawn].mean(1), [values], level)


def paired_bootstrap(a: Sample, b: Sample, *, seed: int, level: float = 0.95, resamples: int = 2000) -> Interval:
    """The mean of a - b and its bootstrap interval, ``a`` and ``b`` measured on the same shapes."""
    return bootstrap_interval(_differences(a, b), seed=seed, level=level, resamples=resamples)


def difference_bootstrap(
    a: Sample, b: Float[np.ndarray, " m"], *, seed: int, level: float = 0.95, resamples: int = 2000
) -> Interval:
    """The mean of a minus the mean of b, and its bootstrap interval: both resampled, as they are of different shapes.

    Its limits are NaN where either has a single value.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if min(len(a), len(b)) < 2:
        return Interval(float(a.mean() - b.mean()), np.nan, np.nan)
    a, b = _several(a), _several(b)
    rng = np.random.default_rng(seed)
    drawn = [values[rng.integers(len(values), size=(resamples, len(values)))].mean(1) for values in (a, b)]
    return _percentiles(a.mean() - b.mean(), drawn[0] - drawn[1], [a, b], level)


def two_way_bootstrap(
    values: Float[np.ndarray, "seeds shapes"], *, seed: int, level: float = 0.95, resamples: int = 2000
) -> Interval:
    """The mean and its bootstrap interval when seeds and shapes are both resampled; ValueError below two seeds."""
    values = np.asarray(values, np.float64)
    seeds, shapes = len(_several(values)), values.shape[1]
    rng = np.random.default_rng(seed)
    rows = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds  # (b, seeds)
    columns = rng.multinomial(shapes, np.full(shapes, 1 / shapes), size=resamples) / shapes  # (b, shapes)
    drawn = np.einsum("bi,ij,bj->b", rows, values, columns, optimize=True)
    return _percentiles(values.mean(), drawn, [values.mean(1), values.mean(0)], level)


def prediction_interval(values: Sample, *, level: float = 0.95) -> Interval:
    """Where the next seeded run falls, for normal ``values``: mean +- t s sqrt(1 + 1/n); ValueError below two runs."""
    values = _several(values)
    half = _half_width(values.std(ddof=1), len(values), level)
    return Interval(float(values.mean()), float(values.mean() - half), float(values.mean() + half))


def runs_needed(values: Sample, half_width: float, *, level: float = 0.95, most: int = 1000) -> int | None:
    """The fewest runs whose prediction interval would be at most ``half_width`` each way; None if no count would do."""
    deviation = _several(values).std(ddof=1)
    counts = range(2, most + 1)
    return next((count for count in counts if _half_width(deviation, count, level) <= half_width), None)


def sign_test(a: Sample, b: Sample) -> float:
    """The one-sided p-value of "a is smaller than b" from the signs of the paired differences; ties are left out."""
    differences = _differences(a, b)
    smaller, larger = int((differences < 0).sum()), int((differences > 0).sum())
    return float(stats.binomtest(smaller, smaller + larger, alternative="greater").pvalue) if smaller + larger else 1.0


def equivalence_test(a: Sample, b: Sample, *, margin: float) -> float:
    """The p-value of "the mean of a - b is within +-margin" by two one-sided paired t-tests (Schuirmann 1987)."""
    differences = _several(_differences(a, b))
    if np.ptp(differences) == 0:
        return float(abs(differences[0]) >= margin)
    below = stats.ttest_1samp(differences, -margin, alternative="greater").pvalue
    above = stats.ttest_1samp(differences, margin, alternative="less").pvalue
    return float(max(below, above))


def _several(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, np.float64)
    if len(values) < 2:
        raise ValueError(f"an interval needs at least two values, not {len(values)}")
    if not np.isfinite(values).all():
        raise ValueError("an interval needs finite values")
    return values


def _differences(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"paired values must have one shape, not {a.shape} and {b.shape}")
    return a - b


def _half_width(deviation: float, count: int, level: float) -> float:
    return float(stats.t.ppf((1 + level) / 2, count - 1) * deviation * np.sqrt(1 + 1 / count))


def _percentiles(estimate: float, replicates: np.ndarray, resampled: list[np.ndarray], level: float) -> Interval:
    """The percentiles at which means of resampled normal values would lie as far out as Student's t says.

    Its degrees of freedom are Welch's (1947) where several samples vary; of a single value they count none.
    """
    count = np.array([len(of) for of in resampled if len(of) > 1])
    variance = np.array([of.var(ddof=1) / len(of) for of in resampled if len(of) > 1])
    if not variance.any():
        return Interval(float(estimate), float(estimate), float(estimate))
    freedom = variance.sum() ** 2 / (variance**2 / (count - 1)).sum()
    narrow = np.sqrt(variance.sum() / (variance * (count - 1) / count).sum())  # resampled means vary less by this
    beyond = stats.norm.cdf(-narrow * stats.t.ppf((1 + level) / 2, freedom))
    low, high = np.quantile(replicates, [beyond, 1 - beyond])
    return Interval(float(estimate), float(low), float(high))

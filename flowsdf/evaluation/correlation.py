"""Rank correlation, and how sure it is."""

import numpy as np
from jaxtyping import Float
from scipy import stats

from flowsdf.evaluation.intervals import Interval, Sample


def correlation_bootstrap(a: Sample, b: Sample, *, seed: int, level: float = 0.95, resamples: int = 2000) -> Interval:
    """Spearman's rank correlation of paired values and its percentile bootstrap interval over the pairs.

    Ties share a rank. A sample in which nothing varies has no correlation and counts as zero. ValueError below two.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if len(a) < 2:
        raise ValueError(f"a correlation needs at least two pairs, not {len(a)}")
    drawn = np.random.default_rng(seed).integers(len(a), size=(resamples, len(a)))
    low, high = np.quantile(_rank_correlation(a[drawn], b[drawn]), [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(_rank_correlation(a[None], b[None])[0]), float(low), float(high))


def _rank_correlation(a: Float[np.ndarray, "n m"], b: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    x, y = (ranks - ranks.mean(1, keepdims=True) for ranks in (stats.rankdata(of, axis=1) for of in (a, b)))
    size = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.divide((x * y).sum(1), size, out=np.zeros(len(x)), where=size > 0)

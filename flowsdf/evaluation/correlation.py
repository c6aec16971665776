"""Rank correlation, and how sure it is."""

import numpy as np
from jaxtyping import Float
from scipy import stats

from flowsdf.evaluation.intervals import Interval, Sample

FEW = 30  # pairs, below which a bootstrap is too narrow
ALMOST = 1 - 1e-9  # a correlation of 1 is at infinity on Fisher's scale


def correlation_bootstrap(a: Sample, b: Sample, *, seed: int, level: float = 0.95, resamples: int = 2000) -> Interval:
    """Spearman's rank correlation of paired values and its percentile bootstrap interval over the pairs.

    Of fewer than FEW pairs the limits are those of Fisher's z with the variance of Bonett and Wright (2000), NaN below
    four. Ties share a rank. A sample in which nothing varies has no correlation and counts as zero. ValueError below
    two.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if len(a) < 2:
        raise ValueError(f"a correlation needs at least two pairs, not {len(a)}")
    found = float(_rank_correlation(a[None], b[None])[0])
    if len(a) < FEW:
        if len(a) < 4:
            return Interval(found, np.nan, np.nan)
        half = stats.norm.ppf((1 + level) / 2) * np.sqrt((1 + found**2 / 2) / (len(a) - 3))
        middle = np.arctanh(np.clip(found, -ALMOST, ALMOST))
        return Interval(found, float(np.tanh(middle - half)), float(np.tanh(middle + half)))
    drawn = np.random.default_rng(seed).integers(len(a), size=(resamples, len(a)))
    low, high = np.quantile(_rank_correlation(a[drawn], b[drawn]), [(1 - level) / 2, (1 + level) / 2])
    return Interval(found, float(low), float(high))


def _rank_correlation(a: Float[np.ndarray, "n m"], b: Float[np.ndarray, "n m"]) -> Float[np.ndarray, " n"]:
    x, y = (ranks - ranks.mean(1, keepdims=True) for ranks in (stats.rankdata(of, axis=1) for of in (a, b)))
    size = np.sqrt((x**2).sum(1) * (y**2).sum(1))
    return np.divide((x * y).sum(1), size, out=np.zeros(len(x)), where=size > 0)

"""Whether some of many have more in common than chance gives them."""

from collections.abc import Sequence

import numpy as np


def fewest_by_chance(labels: Sequence[str], count: int, *, seed: int, share: float = 0.05, draws: int = 10_000) -> int:
    """The number of different labels that ``count`` random ones have at least, but for this ``share`` of draws."""
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    order = np.random.default_rng(seed).random((draws, len(codes))).argsort(1)[:, :count]
    different = 1 + (np.diff(np.sort(codes[order], axis=1), axis=1) > 0).sum(1)
    return int(np.quantile(different, share, method="inverted_cdf"))

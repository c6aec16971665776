"""Whether some of many have more in common than chance gives them."""

from collections.abc import Sequence

import numpy as np


def as_few_by_chance(labels: Sequence[str], chosen: Sequence[int], *, seed: int, draws: int = 10_000) -> float:
    """How often as many random ones have as few different labels as the chosen have, or fewer."""
    codes = np.unique(np.asarray(labels), return_inverse=True)[1]
    order = np.random.default_rng(seed).random((draws, len(codes))).argsort(1)[:, : len(chosen)]
    drawn = np.sort(codes[order], axis=1)
    different = 1 + (np.diff(drawn, axis=1) > 0).sum(1)
    return float((different <= len(np.unique(codes[list(chosen)]))).mean())

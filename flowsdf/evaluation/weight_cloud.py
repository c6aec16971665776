"""The cloud of weight vectors of many decoders: how large they are, how alike, and where they differ."""

import numpy as np
from jaxtyping import Bool, Float, Int

from flowsdf.evaluation.diagnostics import cosine

Vectors = Float[np.ndarray, "s n"]
STILL = 1e-4  # deviation below which a coordinate counts as constant; the thesis's floor


def norms(vectors: Vectors) -> dict[str, float]:
    """Mean and standard deviation of the vectors' lengths."""
    length = np.linalg.norm(vectors, axis=1)
    return {"mean": float(length.mean()), "std": float(length.std())}


def centrality(vectors: Vectors) -> Float[np.ndarray, " s"]:
    """The cosine of each vector to the mean vector."""
    return cosine(vectors, vectors.mean(0, keepdims=True))[:, 0]


def most_central(vectors: Vectors, count: int) -> Int[np.ndarray, " k"]:
    """The vectors nearest to the mean vector by cosine, the nearest first."""
    return np.argsort(-centrality(vectors), kind="stable")[:count]


def coordinate_share(vectors: Vectors, count: int) -> float:
    """The share of all variance that lies in the ``count`` coordinates that vary most (not principal axes)."""
    variance = np.sort(vectors.var(0))[::-1]
    return float(variance[:count].sum() / variance.sum())


def still_coordinates(vectors: Vectors) -> int:
    """How many coordinates have a standard deviation below STILL."""
    return int((vectors.std(0, ddof=1) < STILL).sum())


def spectrum(vectors: Vectors) -> Float[np.ndarray, " k"]:
    """The share of the variance along each principal axis, the largest first."""
    centred = vectors - vectors.mean(0)
    squares = np.linalg.eigvalsh(centred @ centred.T)[::-1].clip(0)  # far fewer vectors than coordinates
    return squares / squares.sum()


def effective_rank(shares: Float[np.ndarray, " k"]) -> float:
    """The exponential of the entropy of a spectrum: how many equal axes would be as spread (Roy 2007)."""
    seen = shares[shares > 0]
    return float(np.exp(-(seen * np.log(seen)).sum()))


def deviation_of_a_coordinate(mean_cosine: float, norm: float, dimensions: int) -> float:
    """The root mean squared deviation of a coordinate that a mean pairwise cosine implies, at equal norms.

    The squared distance of two vectors is 2 norm^2 (1 - cosine), and on average twice the sum of the variances.
    """
    return float(np.sqrt(norm**2 * (1 - mean_cosine) / dimensions))


def half_way(ends: Bool[np.ndarray, "n p"], halves: Bool[np.ndarray, "n_less_1 p"]) -> dict[str, float]:
    """What lies between each shape and the next, by occupancy of the same points.

    Mean IoUs of the ``ends`` with each other, and of what is half way with the ``farther`` of them; ``between`` is the
    share of pairs where the second exceeds the first.
    """
    one, other = ends[:-1], ends[1:]
    apart = ious(one, other)
    least = np.minimum(ious(halves, one), ious(halves, other))
    return {
        "ends": float(apart.mean()),
        "farther": float(least.mean()),
        "between": float((least > apart).mean()),
    }


def ious(a: Bool[np.ndarray, "n p"], b: Bool[np.ndarray, "n p"]) -> Float[np.ndarray, " n"]:
    """The IoU of each occupancy with its counterpart; 1 where both are empty."""
    either = (a | b).sum(1)
    return np.where(either > 0, (a & b).sum(1) / np.maximum(either, 1), 1.0)


def ious_of_pairs(a: Bool[np.ndarray, "n p"], b: Bool[np.ndarray, "m p"]) -> Float[np.ndarray, "n m"]:
    """The IoU of every occupancy of the first with every one of the second; 1 where both are empty."""
    ours, theirs = a.astype(np.float64), b.astype(np.float64)
    both = ours @ theirs.T
    either = ours.sum(1, keepdims=True) + theirs.sum(1) - both
    return np.where(either > 0, both / np.maximum(either, 1), 1.0)

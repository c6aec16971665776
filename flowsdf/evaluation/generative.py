"""Scores of an unconditional generator: two sets of point clouds, compared by Chamfer distance.

Every score is a mean over shapes, and is returned shape by shape. Definitions: Achlioptas et al. 2018 (MMD, COV),
Yang et al. 2019 (1-NNA).
"""

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.spatial import cKDTree

from flowsdf.evaluation.few_values import quantile, share_interval

Clouds = Float[np.ndarray, "n points 3"]
Distances = Float[np.ndarray, "n m"]


def pairwise_chamfer(a: Clouds, b: Float[np.ndarray, "m points 3"]) -> Distances:
    """The CD-L2 of the protocol between every cloud of ``a`` and every cloud of ``b``."""
    there = mean_nearest(a, b, power=2)
    back = there if b is a else mean_nearest(b, a, power=2)
    return 1e3 * (there + back.T)


def mean_nearest(a: Clouds, b: Float[np.ndarray, "m q 3"], *, power: int = 1) -> Distances:
    """The mean over the points of every ``a`` of their distance to the nearest point of every ``b``, to this power."""
    points = a.reshape(-1, 3)
    columns = [cKDTree(cloud).query(points, workers=-1)[0] ** power for cloud in b]
    return np.stack(columns).reshape(len(b), len(a), -1).mean(2).T


def matching_distance(generated_reference: Distances) -> Float[np.ndarray, " m"]:
    """For each reference shape, the distance to the nearest generated one; MMD is the mean."""
    return generated_reference.min(0)


def covered(generated_reference: Distances) -> Bool[np.ndarray, " m"]:
    """For each reference shape, whether it is the nearest one to some generated shape; COV is the mean."""
    return np.isin(np.arange(generated_reference.shape[1]), generated_reference.argmin(1))


def recognised(
    generated: Float[np.ndarray, "n n"],
    generated_reference: Distances,
    reference: Float[np.ndarray, "m m"],
) -> Bool[np.ndarray, " both"]:
    """For each shape of both sets, whether its nearest other is of its own set; 1-NNA is the mean, best at 0.5."""
    everything = np.block([[generated, generated_reference], [generated_reference.T, reference]])
    np.fill_diagonal(everything, np.inf)
    is_generated = np.arange(len(everything)) < len(generated)
    return is_generated[everything.argmin(1)] == is_generated


def memorisation(generated_training: Distances, training: Float[np.ndarray, "m m"]) -> Float[np.ndarray, " n"]:
    """Each generated shape's distance to its nearest training shape, over the training shapes' own median of that.

    Near 0 is a copy; 1 is as new as the training shapes are to one another. Of whatever distance is given.
    """
    among = training + np.diag(np.full(len(training), np.inf))
    return generated_training.min(1) / np.median(among.min(1))


def generative_scores(
    generated: Float[np.ndarray, "n n"],
    generated_reference: Distances,
    reference: Float[np.ndarray, "m m"],
) -> pd.DataFrame:
    """MMD, COV and 1-NNA with the number of shapes that each is a mean over and its 95 % interval.

    The interval is the jackknife's (Tukey 1958), over the shapes of both sets: each is left out in turn and all nearest
    neighbours found anew; it is rather too wide than too narrow. A bootstrap would draw shapes twice, and such are each
    other's nearest neighbours. Where nothing varies a share has Wilson's limits; of a single shape they are NaN.
    """
    sets, count = (generated, generated_reference, reference), min(generated_reference.shape)
    half = quantile(count, 0.95) * np.sqrt(_jackknife_variance(*sets)) if count > 1 else [np.nan] * len(_means(*sets))
    rows = {}
    for (name, values), width in zip(_each(*sets).items(), half, strict=True):
        limits = np.clip((values.mean() - width, values.mean() + width), 0, np.inf if name == "mmd" else 1)
        if name != "mmd" and width == 0:
            limits = share_interval(int(values.sum()), len(values))[1:]
        rows[name] = (len(values), values.mean(), *limits)
    return pd.DataFrame.from_dict(rows, orient="index", columns=["n", "mean", "low", "high"])


def _each(generated: np.ndarray, generated_reference: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    return {
        "mmd": matching_distance(generated_reference),
        "cov": covered(generated_reference),
        "1-nna": recognised(generated, generated_reference, reference),
    }


def _means(generated: np.ndarray, generated_reference: np.ndarray, reference: np.ndarray) -> list[float]:
    return [float(values.mean()) for values in _each(generated, generated_reference, reference).values()]


def _jackknife_variance(
    generated: np.ndarray, generated_reference: np.ndarray, reference: np.ndarray
) -> Float[np.ndarray, " scores"]:
    """The variance of each score, from leaving out one shape of either set after the other."""
    without = [
        [_means(_less(generated, i), np.delete(generated_reference, i, 0), reference) for i in range(len(generated))],
        [_means(generated, np.delete(generated_reference, j, 1), _less(reference, j)) for j in range(len(reference))],
    ]
    return np.sum([(len(of) - 1) * np.var(of, axis=0) for of in without], axis=0)


def _less(among: np.ndarray, one: int) -> np.ndarray:
    """The distances within a set without one of its shapes."""
    return np.delete(np.delete(among, one, 0), one, 1)

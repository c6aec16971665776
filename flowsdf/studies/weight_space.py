"""Phase 1: what noise on a decoder's weights leaves of its shape, and what lies half way between two decoders."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from torch import Tensor

from flowsdf.data.manifest import Entry
from flowsdf.evaluation import alignment, weight_cloud
from flowsdf.models.pershape import PerShape, sizes
from flowsdf.studies import pershape, weight_shapes


@torch.no_grad()
def under_noise(
    decoders: PerShape, points: Float[Tensor, "p 3"], sigmas: Sequence[float], *, seed: int
) -> list[dict[str, float]]:
    """Per size of the noise, in root mean squares of a layer: the mean IoU with the same decoder without noise."""
    at = points.expand(len(decoders.biases[0]), -1, -1)
    clean = (decoders(at) < 0).numpy()
    noisy = {sigma: (pershape.noisy(decoders, sigma, seed=seed)(at) < 0).numpy() for sigma in sigmas}
    return [{"sigma": sigma, "IoU": weight_cloud.ious(of, clean).mean()} for sigma, of in noisy.items()]


def borne(line: Sequence[dict[str, float]], *, least: float = 0.5) -> float:
    """The size of the noise at which the IoU first falls to ``least``, between the two sizes on a straight line.

    The largest size of the line where it does not.
    """
    for before, after in pairwise(line):
        if after["IoU"] <= least:
            share = (before["IoU"] - least) / (before["IoU"] - after["IoU"])
            return before["sigma"] + share * (after["sigma"] - before["sigma"])
    return line[-1]["sigma"]


def central_shapes(vectors: Float[np.ndarray, "s n"], entries: Sequence[Entry], count: int = 3) -> pd.DataFrame:
    """The shapes whose weights are nearest to the mean of all by cosine, the nearest first."""
    central = weight_cloud.most_central(vectors, count)
    labels = weight_shapes.labels([entries[i] for i in central])
    return pd.DataFrame({"shape": labels, "cosine to the mean": weight_cloud.centrality(vectors)[central]})


def reordered(
    vectors: Float[np.ndarray, "s n"], *, width: int, depth: int, sine: bool, seed: int
) -> dict[str, Float[np.ndarray, "s n"]]:
    """The weights as fitted, aligned with the first, with units in a random order, and those aligned again.

    No order of units changes a shape; of sines, neither does the sign of a unit.
    """
    random = np.random.default_rng(seed)
    fitted = [alignment.layers_of(one, sizes(width, depth, sine)) for one in vectors]
    mixed = [alignment.shuffled(one, random, odd=sine) for one in fitted]
    orders = {"as fitted": fitted, "aligned": [alignment.align(one, fitted[0], odd=sine) for one in fitted]}
    orders |= {"mixed": mixed, "mixed, aligned": [alignment.align(one, mixed[0], odd=sine) for one in mixed]}
    return {order: np.stack([alignment.vector_of(one) for one in them]) for order, them in orders.items()}


@torch.no_grad()
def half_way(decoders: PerShape, vectors: Float[np.ndarray, "s n"], points: Float[Tensor, "p 3"]) -> dict[str, float]:
    """``weight_cloud.half_way`` of the mean weights of each two decoders that follow one another."""
    occupied = [
        (decoders.like(torch.from_numpy(of).float())(points.expand(len(of), -1, -1)) < 0).numpy()
        for of in (vectors, (vectors[:-1] + vectors[1:]) / 2)
    ]
    return weight_cloud.half_way(*occupied)

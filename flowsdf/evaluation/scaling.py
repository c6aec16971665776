"""How an error falls with the number of training shapes: a power law, and how sure it is."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from flowsdf.evaluation.few_values import quantile
from flowsdf.evaluation.intervals import Interval


class PowerLaw(NamedTuple):
    """error = factor * count**exponent, with the fits (log factor, exponent) that say how sure it is."""

    factor: float
    exponent: float
    by_seed: Float[np.ndarray, "seeds 2"]  # of each seed alone
    by_shapes: Float[np.ndarray, "b 2"]  # of bootstrap resamples of the shapes
    shapes: int

    def exponents(self, *, level: float = 0.95) -> Interval:
        """The exponent and its limits."""
        half = self._half_widths(np.array([[0.0, 1.0]]), level)[0]
        return Interval(self.exponent, float(self.exponent - half), float(self.exponent + half))

    def at(self, counts: Sequence[float] | np.ndarray, *, level: float = 0.95) -> Float[np.ndarray, "n 3"]:
        """The error that the law says for each count, with its limits; beyond the data, an extrapolation."""
        logs = np.log(np.asarray(counts, np.float64))
        design = np.stack([np.ones_like(logs), logs], axis=1)
        said, half = design @ [np.log(self.factor), self.exponent], self._half_widths(design, level)
        return np.exp(np.stack([said, said - half, said + half], axis=1))

    def _half_widths(self, design: Float[np.ndarray, "n 2"], level: float) -> Float[np.ndarray, " n"]:
        """The half widths over the few seeds and over the shapes, both by Student's t, as independent deviations."""
        seeds = len(self.by_seed)
        over_seeds = (self.by_seed @ design.T).std(0, ddof=1) / np.sqrt(seeds)
        over_shapes = (self.by_shapes @ design.T).std(0) * np.sqrt(self.shapes / (self.shapes - 1))
        return np.hypot(quantile(seeds, level) * over_seeds, quantile(self.shapes, level) * over_shapes)


def power_law(
    counts: Sequence[float], errors: Float[np.ndarray, "counts seeds shapes"], *, seed: int, resamples: int = 2000
) -> PowerLaw:
    """Least squares of log mean error over log count.

    ``errors`` are positive, of the same test shapes at every count. ValueError for fewer than three counts, since any
    two lie on a law, for a single seed or shape, or for errors of zero.
    """
    errors = np.asarray(errors, np.float64)
    if len(counts) < 3 or len(counts) != len(errors):
        raise ValueError(f"a law needs three counts or more, each with its errors, not {len(counts)} and {len(errors)}")
    if min(errors.shape[1:]) < 2:
        raise ValueError("a law needs two seeds and two shapes or more")
    if not (np.isfinite(errors).all() and errors.min() > 0):
        raise ValueError("a law needs errors that are finite and above zero")
    shapes = errors.shape[2]
    weights = np.random.default_rng(seed).multinomial(shapes, np.full(shapes, 1 / shapes), size=resamples) / shapes
    log_factor, exponent = _line(counts, errors.mean((1, 2))[None])[0]
    by_shapes = _line(counts, np.einsum("bt,ct->bc", weights, errors.mean(1)))
    return PowerLaw(float(np.exp(log_factor)), float(exponent), _line(counts, errors.mean(2).T), by_shapes, shapes)


def _line(counts: Sequence[float], means: Float[np.ndarray, "b c"]) -> Float[np.ndarray, "b 2"]:
    """Intercept and slope of log mean over log count, for each line of means."""
    design = np.stack([np.ones(len(counts)), np.log(np.asarray(counts, np.float64))], axis=1)
    return np.linalg.lstsq(design, np.log(means).T, rcond=None)[0].T

"""The trivial answers that stand beside every conditional model: which training shape each of them returns."""

import numpy as np
from jaxtyping import Float, Int

Choice = Int[np.ndarray, " n"]  # one training shape per input


def anchor_shape(count: int) -> Choice:
    """The first training shape, whatever the input."""
    return np.zeros(count, np.int64)


def random_shape(count: int, training: int, rng: np.random.Generator) -> Choice:
    """A training shape drawn for each of ``count`` inputs."""
    return rng.integers(training, size=count)


def retrieved_shape(
    views: Float[np.ndarray, "n k d"], training: Float[np.ndarray, "m v d"], cameras: Int[np.ndarray, "n k"] | None
) -> Choice:
    """The training shape whose views have, on average, the highest cosine with the given ones.

    A view is held against that of the same camera among the ``v``, or, if ``cameras`` is None, against the most alike.
    """
    ours, theirs = (of / np.linalg.norm(of, axis=-1, keepdims=True) for of in (views, training))
    if cameras is None:
        alike = [np.einsum("kd,mvd->mkv", of, theirs, optimize=True).max(-1).mean(1) for of in ours]
    else:
        alike = [np.einsum("kd,mkd->m", of, theirs[:, at]) for of, at in zip(ours, cameras, strict=True)]
    return np.argmax(alike, axis=1)


def oracle_shape(distances: Float[np.ndarray, "n m"]) -> Choice:
    """The training shape whose surface is nearest to the truth: the best retrieval by distance."""
    return distances.argmin(1)


def mean_code(training: Float[np.ndarray, "m d"], count: int) -> Float[np.ndarray, "n d"]:
    """The mean of the training codes, whatever the input: the null model of every ranking by cosine."""
    return np.repeat(training.mean(0, keepdims=True), count, axis=0)

"""What tells collapse from noise from recall: predictions ranked against every training code, three ways.

Arrays of n predicted codes against m training codes, d numbers each. A similarity is higher when nearer, so a
matrix of surface distances enters with its sign changed.
"""

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

Codes = Float[np.ndarray, "n d"]
Similarity = Float[np.ndarray, "n m"]
Targets = Int[np.ndarray, " n"]  # the training shape each prediction should be


def cosine(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> Similarity:
    """The cosine between every row of ``a`` and every row of ``b``; zero where a row is zero."""
    return _unit(a) @ _unit(b).T


def centred_cosine(predictions: Float[np.ndarray, "n d"], training: Float[np.ndarray, "m d"]) -> Similarity:
    """The cosine after the training mean is subtracted from both: blind to what all shapes share."""
    mean = training.mean(0)
    return cosine(predictions - mean, training - mean)


def ranking(similarity: Similarity, targets: Targets) -> dict[str, float]:
    """How the targets rank among all training shapes, ties counted against them.

    ``top1`` and ``top5`` are shares of the inputs, ``distinct_top1`` the number of different first places,
    ``attractor_share`` the share of the most frequent one, ``recall`` the similarity to the target and ``margin``
    by how much that exceeds the most similar other shape.
    """
    rows = np.arange(len(targets))
    recall = similarity[rows, targets]
    others = similarity.copy()
    others[rows, targets] = -np.inf
    rank = (others >= recall[:, None]).sum(1)
    margin = recall - others.max(1)
    frequency = np.bincount(similarity.argmax(1))
    return {
        "top1": float((rank < 1).mean()),
        "top5": float((rank < 5).mean()),
        "distinct_top1": float((frequency > 0).sum()),
        "attractor_share": float(frequency.max() / len(targets)),
        "recall_mean": float(recall.mean()),
        "recall_min": float(recall.min()),
        "margin_mean": float(margin.mean()),
        "margin_min": float(margin.min()),
    }


def diagnose(
    predictions: Float[np.ndarray, "n d"],
    training: Float[np.ndarray, "m d"],
    targets: Targets,
    *,
    surface_distances: Float[np.ndarray, "k m"] | None = None,
) -> pd.DataFrame:
    """The rankings by cosine, by centred cosine and, where given, by surface distance (of the first k predictions).

    The null of the cosines is the training mean predicted for every input.
    """
    constant = np.repeat(training.mean(0, keepdims=True), len(targets), axis=0)
    rows = {}
    for name, similarity in (("cosine", cosine), ("centred cosine", centred_cosine)):
        rows[name] = ranking(similarity(predictions, training), targets)
        rows[f"{name}, null"] = ranking(similarity(constant, training), targets)
    if surface_distances is not None:
        rows["surface"] = ranking(-surface_distances, targets[: len(surface_distances)])
    return pd.DataFrame.from_dict(rows, orient="index")


def pairwise_cosine(codes: Codes) -> dict[str, float]:
    """Mean, minimum and maximum cosine over the pairs of different codes."""
    values = cosine(codes, codes)[np.triu_indices(len(codes), 1)]
    return {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max())}


def nearest_pair(codes: Codes) -> tuple[int, int, float]:
    """The two codes with the largest cosine, and that cosine."""
    values = np.tril(cosine(codes, codes) + 2, -1)  # 0 on and above the diagonal, which no pair has
    a, b = np.unravel_index(values.argmax(), values.shape)
    return int(b), int(a), float(values[a, b] - 2)


def condition_contribution(conditional: Codes, unconditional: Codes) -> float:
    """The mean norm of what the condition changes in a prediction, over the prediction's own norm."""
    change = np.linalg.norm(conditional - unconditional, axis=1)
    return float((change / np.linalg.norm(conditional, axis=1)).mean())


def variance_ratio(samples: Float[np.ndarray, "conditions draws d"]) -> float:
    """Variance between the conditions' mean predictions over the variance within a condition, summed over d."""
    between = samples.mean(1).var(0, ddof=1).sum()
    within = samples.var(1, ddof=1).mean(0).sum()
    return float(between / within) if within > 0 else float("inf")


def category_top1(distances: Float[np.ndarray, "n m"], training: list[str], truth: list[str]) -> float:
    """The share of predictions whose nearest training shape, by surface distance, is of the true category."""
    nearest = np.asarray(training)[distances.argmin(1)]
    return float((nearest == np.asarray(truth)).mean())


def derangement(count: int, rng: np.random.Generator) -> Int[np.ndarray, " n"]:
    """A random order in which nothing keeps its place, to shuffle conditions; ValueError below two."""
    if count < 2:
        raise ValueError("one condition cannot be exchanged for another")
    cycle = rng.permutation(count)
    order = np.empty(count, np.int64)
    order[cycle] = np.roll(cycle, 1)
    return order


def _unit(codes: np.ndarray) -> np.ndarray:
    codes = np.asarray(codes, np.float64)
    length = np.linalg.norm(codes, axis=1, keepdims=True)
    return np.divide(codes, length, out=np.zeros_like(codes), where=length > 0)

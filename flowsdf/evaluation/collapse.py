"""Whether predictions have collapsed onto a few training codes, and what a ranking by cosine can say about that.

Arrays of n predicted codes against m training codes, d numbers each; ``targets`` names the code each should be.
"""

import numpy as np
from jaxtyping import Float, Int

from flowsdf.evaluation.detectors import OPEN
from flowsdf.evaluation.diagnostics import Codes, Targets, centred_cosine, cosine, pairwise_cosine
from flowsdf.evaluation.few_values import share_interval
from flowsdf.evaluation.weight_cloud import most_central

FOUR, CENTRAL = 4, 3  # attractors, and the central codes that are said to be among them, as in the thesis
ALL_ALIKE = 0.5  # of the inputs, for which one of the same four ranks first, from which on answers have collapsed
USUAL = 0.9  # of the inputs
STILL = 0.1  # of the codes' spread, below which answers are all alike
ASTRAY = ("constant", "scatter", "hardly follows")  # kinds of answers that are their inputs' own for fewer than half
FEWEST = 20  # answers: of fewer, the four codes that most often rank first have half by chance
HALF_WAY = 0.5  # from the mean cosine between training codes to one: what a recalled code exceeds


def attractors(predictions: Codes, training: Float[np.ndarray, "m d"]) -> tuple[Int[np.ndarray, " k"], float]:
    """The codes, at most FOUR, that most often rank first by cosine, and the share of inputs for which one does."""
    frequency = np.bincount(cosine(predictions, training).argmax(1), minlength=len(training))
    found = np.argsort(-frequency, kind="stable")[:FOUR]
    found = found[frequency[found] > 0]
    return found, float(frequency[found].sum() / len(predictions))


def collapse(predictions: Codes, training: Float[np.ndarray, "m d"], targets: Targets) -> dict[str, float]:
    """The thesis's finding as a test: ``collapsed`` is 1 if the same four rank first for most inputs and are nearer.

    Of fewer than FEWEST answers it is OPEN instead of 1.

    For ``first_four_share`` of the inputs one of the four is first; the mean cosine to the four, ``to_attractors``,
    exceeds that to the own target, ``to_target``, and that between training codes, without which answers are near
    nothing. A constant answer collapses; the truth does not. Of the three codes nearest to the mean of all, ``central``
    are among the four.
    """
    similarity = cosine(predictions, training)
    found, share = attractors(predictions, training)
    to_target = similarity[np.arange(len(targets)), targets].mean()
    to_attractors = similarity[:, found].mean()
    nearer = to_attractors > max(to_target, pairwise_cosine(training)["mean"])
    return {
        "first_four_share": share,
        "to_target": float(to_target),
        "to_attractors": float(to_attractors),
        "central": float(np.isin(most_central(training, CENTRAL), found).sum()),
        "collapsed": (1.0 if len(predictions) >= FEWEST else OPEN) if share >= ALL_ALIKE and nearer else 0.0,
    }


def reading(predictions: Codes, training: Float[np.ndarray, "m d"], targets: Targets) -> str:
    """What the ranking by cosine makes of answers to training inputs, the way the thesis reads it.

    ``collapse``; ``recall`` if the target is first and near; ``noise`` if it is first and not near; ``retrieval`` if
    another code is first and near; otherwise ``nothing``.
    """
    if collapse(predictions, training, targets)["collapsed"] > OPEN:
        return "collapse"
    similarity = cosine(predictions, training)
    between = pairwise_cosine(training)["mean"]
    near = (similarity.max(1) > between + HALF_WAY * (1 - between)).mean() >= USUAL
    own = (similarity.argmax(1) == targets).mean() >= USUAL
    return {(True, True): "recall", (True, False): "noise", (False, True): "retrieval"}.get((own, near), "nothing")


def following(predictions: Codes, training: Float[np.ndarray, "m d"], targets: Targets) -> dict[str, float]:
    """What a constant part cannot hide: how far answers spread, as a share of the codes' spread, and which way.

    ``spread`` is the ratio of the standard deviations over all inputs, ``from_mean`` that of the mean distances to the
    training mean, ``direction`` the mean cosine to the target after that mean is taken from both, ``own`` the share of
    inputs whose target is first by that cosine.
    """
    centred, mean = centred_cosine(predictions, training), training.mean(0)
    rows = np.arange(len(targets))
    spread = np.sqrt(predictions.var(0).sum() / training[targets].var(0).sum())
    away, apart = (np.linalg.norm(of - mean, axis=1).mean() for of in (predictions, training[targets]))
    return {
        "spread": float(spread),
        "from_mean": float(away / apart),
        "direction": float(centred[rows, targets].mean()),
        "own": float((centred.argmax(1) == targets).mean()),
    }


def kind(predictions: Codes, training: Float[np.ndarray, "m d"], targets: Targets) -> str:
    """What answers are once the mean is subtracted, a word that the ranking by cosine cannot give.

    ``constant`` if they hardly spread; ``recall`` if the own code is first and near; ``follows`` if it is first for at
    least half of the inputs, ``hardly follows`` if for more than chance (Wilson's 95 % limits); else ``scatter``.
    """
    told = following(predictions, training, targets)
    if told["own"] >= USUAL and told["direction"] >= HALF_WAY and told["spread"] >= HALF_WAY:
        return "recall"
    if told["own"] >= HALF_WAY:
        return "follows"
    if told["spread"] < STILL:
        return "constant"
    own = share_interval(round(told["own"] * len(targets)), len(targets))
    return "hardly follows" if own.low > 1 / len(training) else "scatter"


def synthetic(
    training: Float[np.ndarray, "m d"], random: np.random.Generator, *, nudge: float = 0.03
) -> dict[str, tuple[Codes, str]]:
    """Answers of known kinds to every training input, each with the word that the thesis's reading should have for it.

    The mean code but for a trace of noise; the mean with noise as large as what shapes differ by; the truth, also with
    three times that noise; another shape's code; and the mean moved ``nudge`` of the way to the truth, which follows.
    """
    mean, count = training.mean(0), len(training)
    size = np.sqrt(np.square(training - mean).mean())
    noise = random.standard_normal(training.shape)
    return {
        "mean": (mean + 0.01 * size * noise, "collapse"),
        "mean and noise": (mean + size * noise, "noise"),
        "truth": (training, "recall"),
        "truth and noise": (training + 3 * size * noise, "noise"),
        "another's": (training[(np.arange(count) + 1) % count], "retrieval"),
        "nudged": (mean + nudge * (training - mean), "follows"),
    }

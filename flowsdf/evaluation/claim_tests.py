"""The tests that claims declare, each from recorded values to a finding: a verdict's name and its reason.

``values`` hold one entry per seeded run; ``ordering`` also takes seeds x shapes.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from flowsdf.evaluation import intervals
from flowsdf.evaluation.claims import Claim, sign
from flowsdf.evaluation.detectors import OPEN
from flowsdf.evaluation.few_values import seeds_interval, student_interval

EXACT, REPRODUCED, PARTIAL = "reproduced-exact", "reproduced", "partial"
NOT_REPRODUCED, INCONCLUSIVE = "not reproduced", "inconclusive"

RUNS = 5  # the fewest seeded runs that a test over seeds is done on
LEVEL = 0.05  # of the tests
COMPARISONS = {"<": np.less, "<=": np.less_equal, ">": np.greater, ">=": np.greater_equal}

Finding = tuple[str, str]


def numbers(claim: Claim, names: Sequence[str], values: list[np.ndarray], reported: Sequence[float]) -> Finding:
    """Each recorded number against its reported one: to the digits, within the margin, or by a prediction interval."""
    digits = claim.digits or (None,) * len(values)
    rows = zip(values, reported, claim.relation, digits, strict=False)
    found = [_number(claim, *row) for row in rows]
    reason = "; ".join(
        f"{label} {text}{' (missed)' if name == NOT_REPRODUCED else ''}"
        for label, (name, text) in zip(names, found, strict=True)
    )
    return _together([name for name, _ in found]), reason


def ordering(claim: Claim, *values: np.ndarray) -> Finding:
    """Whether the first metric of each pair lies on the claimed side of the second, over seeds, and shapes if given."""
    relations = claim.relation or ("<",) * (len(values) // 2)
    found = [_ordered(*of) for of in zip(values[::2], values[1::2], relations, strict=True)]
    if len(found) == 1:
        return found[0]
    told = (f"{metric} {text}" for metric, (_, text) in zip(claim.metric[::2], found, strict=True))
    return _together([name for name, _ in found]), "; ".join(told)


def _ordered(a: np.ndarray, b: np.ndarray, relation: str) -> Finding:
    by_seed = (a - b).reshape(len(a), -1) * (-1 if relation.startswith(">") else 1)
    wins, runs = by_seed.mean(1) < 0, len(by_seed)
    text = f"{_shown(a.mean())} against {_shown(b.mean())}, as claimed in {wins.sum()} of {_runs(runs)}"
    if runs < RUNS:
        return INCONCLUSIVE, f"{text}, {RUNS} runs would settle it"
    _, low, high = seeds_interval(by_seed, seed=0)
    means, zero = by_seed.mean(1), np.zeros(runs)
    if intervals.sign_test(means, zero) <= LEVEL and high < 0:
        return REPRODUCED, text
    if intervals.sign_test(zero, means) <= LEVEL and low > 0:
        return NOT_REPRODUCED, text
    return INCONCLUSIVE, f"{text}, {_settled(_runs_to_order(means))}"


def equivalence(claim: Claim, a: np.ndarray, b: np.ndarray) -> Finding:
    """Whether two metrics, paired over seeds, differ by less than the margin."""
    allowed = claim.margin * abs(b.mean())
    text = f"{_shown(a.mean())} against {_shown(b.mean())}, margin {allowed:.3g}, {_runs(len(a))}"
    if len(a) < RUNS:
        return INCONCLUSIVE, f"{text}, {RUNS} runs would settle it"
    if intervals.equivalence_test(a, b, margin=allowed) <= LEVEL:
        return REPRODUCED, text
    if _p_of_more(a - b, allowed) <= LEVEL:
        return NOT_REPRODUCED, text
    return INCONCLUSIVE, f"{text}, {_settled(_runs_to_agree(a - b, allowed))}"


def detector(claim: Claim, values: list[np.ndarray]) -> Finding:
    """Whether each detector fires, trusted only if it fires on the positive control and not on the negative one."""
    *parts, positive, negative = values
    text = ", ".join(map(_counted, claim.metric, parts))
    if not (positive > OPEN).all() or (negative > OPEN).any():
        return INCONCLUSIVE, f"{text}, but its {'negative' if (negative > OPEN).any() else 'positive'} control failed"
    if claim.over == "seeds" and len(parts[0]) < RUNS:
        return INCONCLUSIVE, f"{text}, {RUNS} runs would settle it"
    names = [_detected(of) for of in parts]
    uneven = any((of > OPEN).any() and not (of > OPEN).all() for of in parts)
    return _together(names), f"{text}: not in every run" if uneven else text


def _counted(name: str, values: np.ndarray) -> str:
    """In how many runs a detector fired, and in how many it decided nothing."""
    text, left = f"{name} in {(values > OPEN).sum()} of {len(values)}", (values == OPEN).sum()
    return f"{text}, undecided in {left}" if left else text


def _detected(values: np.ndarray) -> str:
    """The verdict on one detector's values over runs: 1, 0, or OPEN where a run's interval decides neither."""
    fired = values > OPEN
    if fired.all() or (values < OPEN).all():
        return _named(fired.all())
    return PARTIAL if fired.mean() > 0.5 else INCONCLUSIVE


def _number(claim: Claim, values: np.ndarray, reported: float, relation: str, digits: int | None) -> Finding:
    mean, runs = values.mean(), len(values)
    text = f"{_shown(mean)} against {sign(relation)}{_shown(reported)}"
    if claim.test != "exact" and claim.over == "seeds" and runs < RUNS:
        return INCONCLUSIVE, f"{text} in {_runs(runs)}, {RUNS} runs would settle it"
    if relation != "=":
        return _bounded(values, reported, relation, text)
    if digits is not None and (np.abs(values - reported) <= 0.5 * 10.0**-digits * (1 + 1e-9)).all():
        return EXACT, text
    if claim.test == "exact":
        return NOT_REPRODUCED, text
    allowed = claim.margin * abs(reported) if claim.tolerance is None else claim.tolerance
    if runs < RUNS:
        return _named(abs(mean - reported) <= allowed), f"{text} in {_runs(runs)}, margin {allowed:.3g}"
    rounded = 0.0 if digits is None else 0.5 * 10.0**-digits
    return _predicted(values, reported, allowed, rounded, text)


def _bounded(values: np.ndarray, bound: float, relation: str, text: str) -> Finding:
    """Whether all runs lie on one side of a bound, or else Student's t interval of their mean does."""
    holds = COMPARISONS[relation](values, bound)
    if len(values) < 2:
        return _named(holds.all()), text
    text = f"{text}, so in {holds.sum()} of {_runs(len(values))}"
    if holds.all() or not holds.any():
        return _named(holds.all()), text
    ends = COMPARISONS[relation](np.array(student_interval(values)[1:]), bound)
    return (_named(ends.all()) if ends[0] == ends[1] else INCONCLUSIVE), text


def _predicted(values: np.ndarray, reported: float, allowed: float, rounded: float, text: str) -> Finding:
    """Whether the reported value, known up to ``rounded``, could be the next run's, by an interval narrow enough."""
    _, low, high = intervals.prediction_interval(values)
    text = f"{text}, next run in [{low:.4g}, {high:.4g}]"
    if not low - rounded <= reported <= high + rounded:
        return NOT_REPRODUCED, text
    if high - low <= 2 * allowed:
        return REPRODUCED, text
    return INCONCLUSIVE, f"{text}, {_settled(intervals.runs_needed(values, allowed))}"


def _together(names: list[str]) -> str:
    """The verdict on a claim of several parts."""
    good = [name in (EXACT, REPRODUCED) for name in names]
    if any(good) and NOT_REPRODUCED in names:  # whatever the others would come to
        return PARTIAL
    if INCONCLUSIVE in names:
        return INCONCLUSIVE
    if all(good):
        return EXACT if set(names) == {EXACT} else REPRODUCED
    return PARTIAL if any(good) or PARTIAL in names else NOT_REPRODUCED


def _runs_to_order(differences: np.ndarray, most: int = 200) -> int | None:
    """The fewest runs, more than these, at which such differences would pass the sign test and exclude zero."""
    share, apart = (np.sign(differences) == np.sign(differences.mean())).mean(), abs(differences.mean())
    for count in range(len(differences) + 1, most + 1):
        won = round(share * count)
        signs = np.repeat([-1.0, 1.0], [won, count - won])
        half = stats.t.ppf(1 - LEVEL / 2, count - 1) * differences.std(ddof=1) / np.sqrt(count)
        if half < apart and intervals.sign_test(signs, 0 * signs) <= LEVEL:
            return count
    return None


def _p_of_more(differences: np.ndarray, allowed: float) -> float:
    """The one-sided p-value of "the mean of these is further from zero than allowed", by Student's t."""
    away = np.sign(differences.mean()) * differences
    if np.ptp(away) == 0:
        return float(away[0] <= allowed)
    return float(stats.ttest_1samp(away, allowed, alternative="greater").pvalue)


def _runs_to_agree(differences: np.ndarray, allowed: float, most: int = 1000) -> int | None:
    """The fewest runs at which differences of this mean and deviation would pass the equivalence test."""
    room, deviation = allowed - abs(differences.mean()), differences.std(ddof=1)
    counts = np.arange(RUNS, most + 1)
    enough = counts[stats.t.ppf(1 - LEVEL, counts - 1) * deviation <= room * np.sqrt(counts)]
    return int(enough[0]) if len(enough) else None


def _named(holds: bool | np.bool) -> str:
    return REPRODUCED if holds else NOT_REPRODUCED


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _shown(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 10_000 else f"{number:.5g}"


def _settled(runs: int | None) -> str:
    return f"{runs} runs would settle it" if runs else "more runs like these would not settle it"

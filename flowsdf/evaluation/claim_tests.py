"""The tests that claims declare, each from recorded values to a finding: a verdict's name and its reason.

``values`` hold one entry per seeded run; ``ordering`` also takes seeds x shapes.
"""

from collections.abc import Sequence

import numpy as np
from scipy import stats

from flowsdf.evaluation import intervals
from flowsdf.evaluation.claims import Claim, sign
from flowsdf.evaluation.few_values import seeds_interval

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


def ordering(claim: Claim, a: np.ndarray, b: np.ndarray) -> Finding:
    """Whether the first metric lies on the claimed side of the second, over seeds."""
    difference = (a - b) * (-1 if any(name.startswith(">") for name in claim.relation[:1]) else 1)
    by_seed = difference.reshape(len(difference), -1)
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
    return INCONCLUSIVE, f"{text}, {_settled(_runs_to_order(wins.mean()))}"


def equivalence(claim: Claim, a: np.ndarray, b: np.ndarray) -> Finding:
    """Whether two metrics, paired over seeds, differ by less than the margin."""
    allowed = claim.margin * abs(b.mean())
    text = f"{_shown(a.mean())} against {_shown(b.mean())}, margin {allowed:.3g}, {_runs(len(a))}"
    if len(a) < RUNS:
        return INCONCLUSIVE, f"{text}, {RUNS} runs would settle it"
    if intervals.equivalence_test(a, b, margin=allowed) <= LEVEL:
        return REPRODUCED, text
    outside = abs((a - b).mean()) > allowed
    return (NOT_REPRODUCED, text) if outside else (INCONCLUSIVE, f"{text}, {_settled(_runs_to_agree(a - b, allowed))}")


def detector(claim: Claim, values: list[np.ndarray]) -> Finding:
    """Whether each detector fires, trusted only if it fires on the positive control and not on the negative one."""
    *fired, positive, negative = [value > 0.5 for value in values]
    text = ", ".join(f"{name} in {hit.sum()} of {len(hit)}" for name, hit in zip(claim.metric, fired, strict=True))
    if not positive.all() or negative.any():
        return INCONCLUSIVE, f"{text}, but its {'negative' if negative.any() else 'positive'} control failed"
    if claim.over == "seeds" and len(fired[0]) < RUNS:
        return INCONCLUSIVE, f"{text}, {RUNS} runs would settle it"
    if any(hit.any() and not hit.all() for hit in fired):
        return PARTIAL if all(hit.mean() > 0.5 for hit in fired) else INCONCLUSIVE, f"{text}: not in every run"
    return _together([_named(hit.all()) for hit in fired]), text


def _number(claim: Claim, values: np.ndarray, reported: float, relation: str, digits: int | None) -> Finding:
    mean, runs = values.mean(), len(values)
    text = f"{_shown(mean)} against {sign(relation)}{_shown(reported)}"
    if claim.test != "exact" and claim.over == "seeds" and runs < RUNS:
        return INCONCLUSIVE, f"{text} in {_runs(runs)}, {RUNS} runs would settle it"
    if relation != "=":
        holds = COMPARISONS[relation](values, reported)
        return _named(holds.all()), text if runs < 2 else f"{text}, so in {holds.sum()} of {_runs(runs)}"
    if digits is not None and (np.abs(values - reported) <= 0.5 * 10.0**-digits * (1 + 1e-9)).all():
        return EXACT, text
    if claim.test == "exact":
        return NOT_REPRODUCED, text
    allowed = claim.margin * abs(reported) if claim.tolerance is None else claim.tolerance
    if runs < RUNS:
        return _named(abs(mean - reported) <= allowed), f"{text} in {_runs(runs)}, margin {allowed:.3g}"
    return _predicted(values, reported, allowed, text)


def _predicted(values: np.ndarray, reported: float, allowed: float, text: str) -> Finding:
    """Whether the reported value could be the next run's, by an interval narrow enough to have said no."""
    _, low, high = intervals.prediction_interval(values)
    text = f"{text}, next run in [{low:.4g}, {high:.4g}]"
    if not low <= reported <= high:
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
    return PARTIAL if any(good) else NOT_REPRODUCED


def _runs_to_order(share: float, most: int = 200) -> int | None:
    """The fewest runs at which this share of wins would pass the sign test."""
    wins = [(count, round(share * count)) for count in range(RUNS, most + 1)]
    signs = [(count, np.repeat([-1.0, 1.0], [won, count - won])) for count, won in wins]
    return next((count for count, sign in signs if intervals.sign_test(sign, 0 * sign) <= LEVEL), None)


def _runs_to_agree(differences: np.ndarray, allowed: float, most: int = 1000) -> int | None:
    """The fewest runs at which differences of this mean and deviation would pass the equivalence test."""
    room, deviation = allowed - abs(differences.mean()), differences.std(ddof=1)
    counts = range(RUNS, most + 1)
    return next((n for n in counts if stats.t.ppf(1 - LEVEL, n - 1) * deviation <= room * np.sqrt(n)), None)


def _named(holds: bool | np.bool) -> str:
    return REPRODUCED if holds else NOT_REPRODUCED


def _runs(count: int) -> str:
    return "1 run" if count == 1 else f"{count} runs"


def _shown(number: float) -> str:
    return f"{number:,.0f}" if abs(number) >= 10_000 else f"{number:.5g}"


def _settled(runs: int | None) -> str:
    return f"{runs} runs would settle it" if runs else "more runs like these would not settle it"

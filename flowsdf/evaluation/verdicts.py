"""The verdict on a claim: its declared test applied to what a run recorded."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np

from flowsdf.evaluation.claim_tests import (
    EXACT,
    NOT_REPRODUCED,
    PARTIAL,
    REPRODUCED,
    Finding,
    detector,
    equivalence,
    numbers,
    ordering,
)
from flowsdf.evaluation.claims import Claim

NOT_TESTABLE_HERE, NOT_TESTABLE = "not testable here", "not testable"
ERROR, STALE = "error", "stale"

Number = int | float
Values = Number | Sequence[Number] | Sequence[Sequence[Number]]  # one number, one per seed, or seeds x shapes


class Run(NamedTuple):
    """Where recorded numbers come from; ``encoder`` and ``error`` are empty where there was none."""

    profile: str
    data: str
    encoder: str
    device: str
    seeds: int
    started: datetime
    stale: bool = False
    claims: tuple[str, ...] | None = None  # those the chapter could judge with this data; None: all
    error: str = ""


class Verdict(NamedTuple):
    """The judgement of one claim, why, at which scale, and whether the run is older than the claim's declaration."""

    claim: str
    name: str
    reason: str
    scale: str
    post_hoc: bool


def judge(claim: Claim, metrics: Mapping[str, Values], run: Run | None) -> Verdict:
    """The verdict on ``claim`` from the metrics of ``run``, None when its chapter has not run.

    Raises ValueError when a metric holds values over more seeds than the run had.
    """
    name, reason = _finding(claim, metrics, run)
    return Verdict(claim.id, name, reason, scale(claim, run), run is not None and run.started < claim.declared)


def at_thesis_scale(run: Run) -> bool:
    """Whether sizes, data and encoder are those of the original work."""
    same_encoder = not run.encoder or "dinov2-base" in run.encoder
    return run.profile == "thesis" and run.data == "objaverse" and same_encoder


def scale(claim: Claim, run: Run | None) -> str:
    """The scale that a verdict holds at, in words."""
    if run is None:
        return "not run"
    if claim.type == "analytic" and not claim.needs:
        return "any scale"
    return "thesis scale" if at_thesis_scale(run) else ", ".join(filter(None, (run.profile, run.data, run.encoder)))


def _finding(claim: Claim, metrics: Mapping[str, Values], run: Run | None) -> Finding:
    names = (*claim.metric, *claim.controls)
    if claim.test == "none":
        return NOT_TESTABLE, claim.needs or "the source does not say"
    if run is None:
        return NOT_TESTABLE_HERE, f"needs chapter {claim.chapter}, which has not run"
    if run.error or run.stale:
        return (ERROR, run.error) if run.error else (STALE, "inputs, parameters or code changed since the run")
    if run.claims is not None and claim.id not in run.claims:
        return NOT_TESTABLE_HERE, "this run has nothing that may test it: the chapter's page says why"
    missing = [name for name in names if name not in metrics]
    if missing:
        return ERROR, f"not recorded: {', '.join(missing)}"
    values = [np.atleast_1d(np.asarray(metrics[name], np.float64)) for name in names]
    if not all(np.isfinite(value).all() for value in values):
        return ERROR, "a recorded number is not finite"
    if max(len(value) for value in values) > run.seeds:
        raise ValueError(f"claim {claim.id}: more values than the {run.seeds} seeds of the run")
    if len({len(value) for value in values[: len(claim.metric)]}) > 1:
        return ERROR, "the metrics hold different numbers of runs"
    return _at_scale(claim, run, *_tested(claim, values, run))


def _tested(claim: Claim, values: list[np.ndarray], run: Run) -> Finding:
    """The declared test, as if the run had the scale of the original."""
    match claim.test:
        case "ordering":
            return ordering(claim, *values)
        case "equivalence":
            return equivalence(claim, *(_by_seed(value) for value in values))
        case "detector":
            return detector(claim, values)
        case "ratio":
            expected = [claim.reported[0] / claim.reported[-1]] if len(claim.reported) == 2 else claim.reported
            return numbers(claim, ["/".join(claim.metric)], [_by_seed(values[0] / values[1])], expected)
    if claim.type == "timing" and claim.device not in run.device:
        times = ", ".join(f"{value.mean():.4g}" for value in values)
        return NOT_TESTABLE_HERE, f"{times} on {run.device}; needs {claim.device}"
    return numbers(claim, claim.metric, [_by_seed(value) for value in values], claim.reported)


def _at_scale(claim: Claim, run: Run, name: str, reason: str) -> Finding:
    """At a smaller scale nothing but arithmetic is more than partial, and what needs the scale is not refuted."""
    if at_thesis_scale(run):
        return name, reason
    if name == NOT_REPRODUCED and claim.needs:
        return NOT_TESTABLE_HERE, f"{reason}; needs {claim.needs}"
    if name in (EXACT, REPRODUCED) and claim.type != "analytic":
        return PARTIAL, f"{reason}; at reduced scale"
    return name, reason


def _by_seed(values: np.ndarray) -> np.ndarray:
    return values.reshape(len(values), -1).mean(1)

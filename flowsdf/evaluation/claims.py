"""A claim of the original work, declared with its test before the runs that judge it."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

TYPES = ("analytic", "numeric", "comparable", "ordering", "qualitative", "timing")
TESTS = ("exact", "value", "ratio", "equivalence", "ordering", "detector", "none")
RELATIONS = ("=", "<", "<=", ">", ">=")


class Claim(NamedTuple):
    """One row of params/claims.yaml.

    ``metric``, ``reported``, ``relation`` and ``digits`` (decimals that the source prints) run in parallel, except
    that a ``ratio`` divides the first metric by the second, and that an ``ordering`` has pairs of metrics, with a
    relation for each, ``<`` where none is said. ``over`` says what one run averages: over ``shapes`` one run can be
    judged, over ``seeds`` it takes several. ``margin`` is a share of the reported value, ``tolerance`` its absolute
    replacement. ``controls`` are a positive and a negative one. ``needs`` is what a test at the reported scale takes,
    where a smaller run cannot refute the claim; ``device`` is where absolute times were measured. ``caveat`` is what a
    reader should know beside any verdict of a run.
    """

    id: str
    chapter: str
    statement: str
    source: str
    type: str
    metric: tuple[str, ...]
    reported: tuple[float, ...]
    test: str
    scale: str
    declared: datetime
    over: str = "seeds"
    relation: tuple[str, ...] = ()
    digits: tuple[int, ...] = ()
    margin: float = 0.25
    tolerance: float | None = None
    controls: tuple[str, ...] = ()
    needs: str = ""
    null_model: str = ""
    device: str = ""
    caveat: str = ""


def parse_claims(records: Sequence[Mapping]) -> tuple[Claim, ...]:
    """The claims of a parsed YAML file; ValueError names the first one with an unknown, missing or unfit entry."""
    claims = tuple(_parse(record) for record in records)
    names = [claim.id for claim in claims]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise ValueError(f"claims declared twice: {sorted(repeated)}")
    return claims


def _parse(record: Mapping) -> Claim:
    name = record.get("id", "without id")
    entries: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in record.items()}
    try:
        claim = Claim(**entries)
    except TypeError as error:
        raise ValueError(f"claim {name}: {str(error).removeprefix('Claim.__new__() ')}") from None
    problem = _problem(claim)
    if problem:
        raise ValueError(f"claim {name}: {problem}")
    relation = claim.relation or ("=",) * len(claim.reported)
    return claim._replace(relation=relation, reported=tuple(map(float, claim.reported)))


def sign(relation: str) -> str:
    """What stands before a number that is asked for in this relation: nothing where it is equality."""
    return "" if relation == "=" else f"{relation} "


def _problem(claim: Claim) -> str:
    """What is wrong with a claim; empty when nothing is."""
    columns = (claim.metric, claim.reported, claim.relation, claim.digits, claim.controls)
    if not all(isinstance(column, tuple) for column in columns):
        return "metric, reported, relation, digits and controls are lists"
    numbers = (*claim.reported, *claim.digits, claim.margin, 0 if claim.tolerance is None else claim.tolerance)
    if not all(type(number) in (int, float) and isfinite(number) for number in numbers):
        return "numbers are finite and written as numbers"
    lengths = {len(column) for column in columns[1:4] if column}
    relations = claim.relation or ("=",)
    checks = {
        f"type is one of {TYPES}": claim.type in TYPES,
        f"test is one of {TESTS}": claim.test in TESTS,
        "over is shapes or seeds": claim.over in ("shapes", "seeds"),
        f"relations are among {RELATIONS}": set(claim.relation) <= set(RELATIONS),
        "margin and tolerance are not negative": not min(claim.margin, claim.tolerance or 0) < 0,
        "declared is a time with its zone": isinstance(claim.declared, datetime) and claim.declared.tzinfo is not None,
        "reported, relation and digits are as many as the metrics": (
            claim.test not in ("exact", "value") or lengths == {len(claim.metric)}
        ),
        "exact, value and ratio need a reported number": bool(claim.reported) or claim.test not in TESTS[:3],
        "ratio and equivalence take two metrics": claim.test not in TESTS[2:4] or len(claim.metric) == 2,
        "an ordering takes pairs of metrics, and a relation for each or none": claim.test != "ordering"
        or (len(claim.metric) in (2, 4, 6) and len(claim.relation) in (0, len(claim.metric) // 2)),
        "an exact number has digits": claim.test != "exact" or bool(claim.digits) or "=" not in relations,
        "a detector has a positive and a negative control": claim.test != "detector" or len(claim.controls) == 2,
        "a numeric claim names its null model": claim.type != "numeric" or bool(claim.null_model),
    }
    return next((rule for rule, holds in checks.items() if not holds), "")

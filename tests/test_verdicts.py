"""Verdicts on synthetic results whose verdict is known, and the declared claims themselves."""

from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import yaml

from flowsdf.evaluation.claims import parse_claims
from flowsdf.evaluation.verdicts import Run, judge

DECLARED = datetime(2030, 1, 1, tzinfo=UTC)
CLAIMS = Path(__file__).parent.parent / "params" / "claims.yaml"
THESIS = Run("thesis", "objaverse", "facebook/dinov2-base", "H200", 1, datetime(2030, 2, 1, tzinfo=UTC))
LAPTOP = THESIS._replace(profile="laptop", data="procedural", encoder="small")
FIVE = THESIS._replace(seeds=5)
JUDGED = [
    "D1",
    "D2",
    "D3",
    "D4",
    "D5",
    "D6",
    "C1",
    "S1",
    "S2",
    "S3",
    "S4",
    "S5",
    "S6",
    "L1",
    "L2",
    "L3",
    "L4",
    "L5",
    "L7",
    "W4",
]


def record(**changes):
    base = {"id": "X1", "chapter": "11_deepsdf", "statement": "It is one.", "source": "004", "type": "numeric"}
    rest = {"metric": ["x"], "reported": [1.0], "test": "value", "scale": "976 shapes", "null_model": "zero"}
    return base | rest | {"declared": DECLARED} | changes


def verdict(metrics, run=THESIS, **changes):
    return judge(parse_claims([record(**changes)])[0], metrics, run)


NEAR_ONE, WIDE = [0.98, 1.01, 1.0, 1.02, 0.99], [0.5, 1.5, 1.0, 0.7, 1.3]
THREE = {"metric": ["x", "y", "z"], "reported": [1.0, 1.0, 1.0]}


@pytest.mark.parametrize(
    ("metrics", "run", "changes", "expected"),
    [
        # arithmetic is exact at any scale
        ({"x": 1.00004}, LAPTOP, {"type": "analytic", "test": "exact", "digits": [4]}, "reproduced-exact"),
        ({"x": 0.9999}, LAPTOP, {"type": "analytic", "test": "exact", "digits": [4]}, "not reproduced"),
        ({"x": 3}, LAPTOP, {"type": "analytic", "test": "exact", "relation": [">="]}, "reproduced"),
        # over seeds: a prediction interval, narrow enough, around the reported value
        ({"x": NEAR_ONE}, FIVE, {}, "reproduced"),
        ({"x": [1.0] * 5}, FIVE, {"digits": [2]}, "reproduced-exact"),
        ({"x": [v + 0.2 for v in NEAR_ONE]}, FIVE, {}, "not reproduced"),
        ({"x": WIDE}, FIVE, {}, "inconclusive"),
        ({"x": 1.0}, THESIS, {}, "inconclusive"),
        ({"x": NEAR_ONE[:4]}, FIVE, {}, "inconclusive"),
        ({"x": NEAR_ONE}, FIVE._replace(profile="laptop"), {}, "partial"),
        ({"x": NEAR_ONE}, FIVE._replace(data="procedural"), {}, "partial"),
        ({"x": NEAR_ONE}, FIVE._replace(encoder="small"), {}, "partial"),
        ({"x": NEAR_ONE}, FIVE._replace(encoder=""), {}, "reproduced"),
        # a bound: all runs on one side of it, or the interval of their mean
        ({"x": [1.1, 1.2, 1.3, 1.1, 1.2]}, FIVE, {"relation": [">"]}, "reproduced"),
        ({"x": [1.05, 1.02, 1.04, 1.03, 0.999]}, FIVE, {"relation": [">"]}, "reproduced"),
        ({"x": [1.1, 0.97, 1.04, 0.98, 1.02]}, FIVE, {"relation": [">"]}, "inconclusive"),
        ({"x": [0.95, 0.98, 0.96, 0.97, 1.001]}, FIVE, {"relation": [">"]}, "not reproduced"),
        ({"x": [0.9, 0.8, 0.9, 0.8, 0.9]}, FIVE, {"relation": [">"]}, "not reproduced"),
        ({"x": 0.9}, THESIS, {"relation": [">"], "over": "shapes"}, "not reproduced"),
        # over shapes: one run is enough
        ({"x": 1.2}, THESIS, {"over": "shapes"}, "reproduced"),
        ({"x": 1.001}, THESIS, {"over": "shapes", "digits": [2]}, "reproduced-exact"),
        ({"x": 1.3}, THESIS, {"over": "shapes"}, "not reproduced"),
        ({"x": 1.3}, THESIS, {"over": "shapes", "tolerance": 0.4}, "reproduced"),
        ({"x": 1.2}, LAPTOP, {"over": "shapes"}, "partial"),
        ({"x": 1.3}, LAPTOP, {"over": "shapes"}, "not reproduced"),
        ({"x": 1.3}, LAPTOP, {"over": "shapes", "needs": "976 shapes"}, "not testable here"),
        ({"x": 1.1, "y": 5}, THESIS, {"over": "shapes", "metric": ["x", "y"], "reported": [1.0, 9.0]}, "partial"),
        ({"x": 97, "y": 100}, THESIS, {"over": "shapes", "metric": ["x", "y"], "test": "ratio"}, "reproduced"),
        # one part that holds and one that does not decide, whatever a third would come to
        ({"x": NEAR_ONE, "y": [5.0] * 5, "z": WIDE}, FIVE, THREE, "partial"),
        ({"x": NEAR_ONE, "y": NEAR_ONE, "z": WIDE}, FIVE, THREE, "inconclusive"),
        ({"x": WIDE, "y": [5.0] * 5, "z": WIDE}, FIVE, THREE, "inconclusive"),
        # nothing, or nothing usable, to judge
        ({}, None, {}, "not testable here"),
        ({}, THESIS, {}, "error"),
        ({"x": float("nan")}, THESIS, {"over": "shapes"}, "error"),
        ({"x": 1.0}, THESIS._replace(error="a cell failed"), {"over": "shapes"}, "error"),
        ({"x": 1.0}, THESIS._replace(stale=True), {"over": "shapes"}, "stale"),
        ({}, THESIS, {"test": "none", "type": "qualitative"}, "not testable"),
    ],
)
def test_numbers(metrics, run, changes, expected):
    assert verdict(metrics, run, **changes).name == expected


ORDER = {"type": "ordering", "test": "ordering", "metric": ["a", "b"], "reported": []}
LOW, HIGH = [1.0, 1.1, 0.9, 1.05, 0.95], [2.0, 1.9, 2.2, 2.1, 1.8]


@pytest.mark.parametrize(
    ("a", "b", "run", "changes", "expected"),
    [
        (LOW, HIGH, FIVE, {}, "reproduced"),
        (HIGH, LOW, FIVE, {}, "not reproduced"),
        (HIGH, LOW, FIVE, {"relation": [">"]}, "reproduced"),
        (HIGH, LOW, FIVE, {"relation": [">="]}, "reproduced"),
        (LOW, [2, 2, 2, 2, 0.5], FIVE, {}, "inconclusive"),
        (1.0, 2.0, THESIS, {}, "inconclusive"),
        (LOW, HIGH, LAPTOP._replace(seeds=5), {}, "partial"),
        ([[v, v + 1] for v in LOW], [[v, v + 1] for v in HIGH], FIVE, {}, "reproduced"),
        (LOW, HIGH[:1], FIVE, {}, "error"),
    ],
)
def test_orderings(a, b, run, changes, expected):
    assert verdict({"a": a, "b": b}, run, **(ORDER | changes)).name == expected


@pytest.mark.parametrize(
    ("c", "d", "expected"), [(HIGH, LOW, "reproduced"), (LOW, HIGH, "partial"), (LOW, LOW, "inconclusive")]
)
def test_an_ordering_by_several_measures_has_parts(c, d, expected):
    of = ORDER | {"metric": ["a", "b", "c", "d"], "relation": ["<", ">"]}
    found = verdict({"a": LOW, "b": HIGH, "c": c, "d": d}, FIVE, **of)
    assert found.name == expected and "a 1 against 2, as claimed in 5 of 5 runs; c " in found.reason


def test_seeds_that_share_few_shapes_decide_no_ordering_that_does_not_hold():
    random, wrong = np.random.default_rng(0), {"by seed": 0, "by seed and shape": 0}
    for _ in range(100):  # the same 15 shapes in every seed, whose true differences have the mean zero
        differences = (
            0.6 * random.normal(size=15) + 0.1 * random.normal(size=(5, 1)) + 0.1 * random.normal(size=(5, 15))
        )
        for name, of in (("by seed", differences.mean(1)), ("by seed and shape", differences)):
            values = {"a": of.tolist(), "b": (0 * of).tolist()}
            wrong[name] += verdict(values, FIVE, **ORDER).name != "inconclusive"
    assert wrong["by seed"] > 25 and wrong["by seed and shape"] <= 5


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (NEAR_ONE, [v + 0.01 for v in NEAR_ONE], "reproduced"),
        (LOW, HIGH, "not reproduced"),
        ([0.6, 1.4, 1.0, 0.8, 1.2], [1.2, 0.8, 1.1, 1.0, 0.9], "inconclusive"),
        (NEAR_ONE[:2], NEAR_ONE[:2], "inconclusive"),
    ],
)
def test_equivalences(a, b, expected):
    found = verdict({"a": a, "b": b}, FIVE, **(ORDER | {"type": "comparable", "test": "equivalence", "margin": 0.15}))
    assert found.name == expected


@pytest.mark.parametrize(
    ("fired", "positive", "negative", "over", "expected"),
    [
        (1, 1, 0, "shapes", "reproduced"),
        (0, 1, 0, "shapes", "not reproduced"),
        (1, 0, 0, "shapes", "inconclusive"),
        (1, 1, 1, "shapes", "inconclusive"),
        (1, 1, 0, "seeds", "inconclusive"),
        ([1] * 5, 1, 0, "seeds", "reproduced"),
        ([1, 1, 0, 1, 1], 1, 0, "seeds", "partial"),
        ([1, 0, 0, 1, 0], 1, 0, "seeds", "inconclusive"),
        # an interval that decides neither
        (0.5, 1, 0, "shapes", "inconclusive"),
        ([0, 0, 0.5, 0, 0], 1, 0, "seeds", "inconclusive"),
        ([1, 1, 0.5, 1, 1], 1, 0, "seeds", "partial"),
        (1, 0.5, 0, "shapes", "inconclusive"),
        (1, 1, 0.5, "shapes", "reproduced"),
    ],
)
def test_detectors_count_only_beside_their_controls(fired, positive, negative, over, expected):
    claim = {"type": "qualitative", "test": "detector", "controls": ["yes", "no"], "over": over}
    assert verdict({"x": fired, "yes": positive, "no": negative}, FIVE, **claim).name == expected


def test_with_a_part_that_never_fires_a_claim_is_partial_where_another_fires_in_most_runs():
    claim = {"type": "qualitative", "test": "detector", "controls": ["yes", "no"], "metric": ["x", "y"]}
    controls = {"yes": 1, "no": 0}
    assert verdict({"x": [1] * 5, "y": [0] * 5} | controls, FIVE, **claim).name == "partial"
    assert verdict({"x": [1, 0, 0, 1, 0], "y": [0] * 5} | controls, FIVE, **claim).name == "inconclusive"
    assert verdict({"x": [1, 1, 0, 1, 1], "y": [0] * 5} | controls, FIVE, **claim).name == "partial"
    found = verdict({"x": [1, 0.5, 0, 1, 1], "y": [1] * 5} | controls, FIVE, **claim)
    assert found.reason == "x in 3 of 5, undecided in 1, y in 5 of 5: not in every run" and found.name == "partial"


def test_noise_refutes_no_equivalence_more_often_than_its_level():
    claim = ORDER | {"type": "comparable", "test": "equivalence", "margin": 0.15}
    draws = 1 + 0.4 * np.random.default_rng(0).normal(size=(300, 2, 5))
    names = [verdict({"a": list(a), "b": list(b)}, FIVE, **claim).name for a, b in draws]
    assert names.count("not reproduced") / len(names) < 0.06 and "inconclusive" in names


def test_a_reported_number_is_known_up_to_its_last_digit():
    values = {"x": [-0.0462, -0.0458, -0.0466, -0.046, -0.0456]}
    claim = {"reported": [-0.04], "tolerance": 0.1}
    assert verdict(values, FIVE, **claim).name == "not reproduced"
    assert verdict(values, FIVE, **claim | {"digits": [2]}).name == "reproduced"
    with pytest.raises(ValueError, match="an exact number has digits"):
        verdict({"x": 1.0}, type="analytic", test="exact")


def test_times_are_compared_on_their_own_device_and_ratios_anywhere():
    timing = {"type": "timing", "over": "shapes", "reported": [10.0], "device": "M4"}
    assert verdict({"x": 10.5}, THESIS, **timing).name == "not testable here"
    assert verdict({"x": 10.5}, THESIS._replace(device="Apple M4"), **timing).name == "reproduced"
    ratio = timing | {"test": "ratio", "metric": ["slow", "fast"], "device": ""}
    assert verdict({"slow": 0.9, "fast": 0.1}, THESIS, **ratio).name == "reproduced"


def test_an_inconclusive_verdict_says_how_many_runs_would_settle_it():
    assert "1 run, 5 runs would settle it" in verdict({"x": 1.0}).reason
    assert "runs would settle it" in verdict({"x": [0.9, 1.1, 1.0, 0.95, 1.2]}, FIVE).reason
    assert "would not settle it" in verdict({"x": [0.1, 2.0, 1.0, 0.2, 1.7]}, FIVE).reason
    four_of_five = verdict({"a": LOW, "b": [2, 2, 2, 2, 0.5]}, FIVE, **ORDER)
    assert four_of_five.reason.endswith("in 4 of 5 runs, 11 runs would settle it")
    skewed = [1.1, 1.2, 1.0, 1.1, 9.0]  # all on one side, and still an interval with zero inside
    settled = [verdict({"a": a, "b": b}, FIVE, **ORDER).reason for a, b in ((LOW, skewed), (skewed, LOW))]
    assert [reason.partition("as claimed ")[2].split(",")[0] for reason in settled] == [
        "in 5 of 5 runs",
        "in 0 of 5 runs",
    ]
    counts = [int(reason.split()[-5]) for reason in settled]
    assert counts[0] == counts[1] > 5


def test_one_seed_is_refused_as_an_interval():
    with pytest.raises(ValueError, match="more values than the 1 seeds"):
        verdict({"x": NEAR_ONE}, THESIS)


def test_a_run_older_than_the_declaration_is_post_hoc():
    assert not verdict({"x": 1.0}).post_hoc
    assert verdict({"x": 1.0}, THESIS._replace(started=datetime(2029, 12, 31, tzinfo=UTC))).post_hoc


def test_every_verdict_carries_its_scale():
    found = [verdict({"x": 1.1}, run, over="shapes") for run in (THESIS, LAPTOP)] + [verdict({}, None)]
    assert [(v.name, v.scale) for v in found] == [
        ("reproduced", "thesis scale"),
        ("partial", "laptop, procedural, small"),
        ("not testable here", "not run"),
    ]


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"typo": 1}, "typo"),
        ({"reported": ["1e-4"]}, "written as numbers"),
        ({"reported": [float("nan")]}, "finite"),
        ({"margin": -0.1}, "negative"),
        ({"test": "guess"}, "test is one of"),
        ({"type": "qualitative", "test": "detector"}, "control"),
        ({"reported": [1.0, 2.0]}, "as many as the metrics"),
        ({"null_model": ""}, "null model"),
        ({"declared": "yesterday"}, "declared"),
    ],
)
def test_a_badly_declared_claim_is_named(changes, problem):
    with pytest.raises(ValueError, match=f"claim X1: .*{problem}"):
        parse_claims([record(**changes)])


def test_missing_entries_and_repeated_ids_are_named():
    short = record()
    del short["scale"]
    with pytest.raises(ValueError, match="claim X1: .*scale"):
        parse_claims([short])
    with pytest.raises(ValueError, match="declared twice.*X1"):
        parse_claims([record(), record()])


def test_every_claim_of_the_original_work_is_declared():
    claims = {claim.id: claim for claim in parse_claims(yaml.safe_load(CLAIMS.read_text()))}
    counts = Counter(name.rstrip("0123456789") for name in claims)
    assert counts == {"D": 6, "C": 1, "P": 10, "H": 3, "W": 13, "A": 8, "S": 6, "L": 7, "G": 5, "F": 14, "R": 11}
    assert all(claims[name].chapter in ("00_data", "11_deepsdf", "12_image_to_latent") for name in JUDGED)


def test_the_schedule_of_the_source_is_judged_exact_only_to_its_digits():
    claim = next(claim for claim in parse_claims(yaml.safe_load(CLAIMS.read_text())) if claim.id == "W4")
    printed = dict(zip(claim.metric, [0.99991, 0.97113, 0.89684, 0.64446, 0.33791, 0.02314], strict=True))
    run = LAPTOP._replace(started=claim.declared)
    assert judge(claim, printed, run)[1:] == ("reproduced-exact", judge(claim, printed, run).reason, "any scale", False)
    assert judge(claim, printed | {"alpha_bar_450": 0.0232}, run).name == "partial"

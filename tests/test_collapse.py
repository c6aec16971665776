"""Collapse and its look-alikes, on synthetic predictors whose kind is known (W12)."""

import numpy as np
import pytest

from flowsdf.evaluation import collapse
from flowsdf.evaluation.detectors import OPEN

SHAPES, NUMBERS = 40, 2000
OWN = np.arange(SHAPES)


@pytest.fixture(scope="module")
def cloud() -> np.ndarray:
    """Codes as warm-started weights lie: small differences about a large common part, a mean cosine of 0.96."""
    random = np.random.default_rng(0)
    size = np.sqrt(1 / 0.96 - 1) * random.uniform(0.7, 1.3, (SHAPES, 1))
    return random.standard_normal(NUMBERS) + size * random.standard_normal((SHAPES, NUMBERS))


@pytest.fixture(scope="module")
def answers(cloud: np.ndarray) -> dict[str, tuple[np.ndarray, str]]:
    return collapse.synthetic(cloud, np.random.default_rng(1))


@pytest.mark.parametrize("kind", ["mean", "truth", "truth and noise", "another's"])
def test_the_ranking_tells_these_apart(kind: str, cloud: np.ndarray, answers: dict) -> None:
    predictions, word = answers[kind]
    assert collapse.reading(predictions, cloud, OWN) == word


def test_the_ranking_calls_a_weak_follower_collapsed_and_the_centred_one_does_not(
    cloud: np.ndarray, answers: dict
) -> None:
    nudged, mean = answers["nudged"][0], answers["mean"][0]
    assert collapse.reading(nudged, cloud, OWN) == "collapse"
    assert collapse.kind(nudged, cloud, OWN) == "follows" and collapse.kind(mean, cloud, OWN) == "constant"
    followed, constant = (collapse.following(of, cloud, OWN) for of in (nudged, mean))
    assert followed["own"] == 1 and followed["direction"] > 0.99 and followed["spread"] == pytest.approx(0.03)
    assert followed["from_mean"] == pytest.approx(0.03)
    assert constant["own"] < 0.2 and abs(constant["direction"]) < 0.1


def test_the_ranking_calls_scatter_about_the_mean_collapsed_and_the_kind_does_not(
    answers: dict, cloud: np.ndarray
) -> None:
    scatter = answers["mean and noise"][0]
    assert collapse.reading(scatter, cloud, OWN) == "collapse"
    assert collapse.kind(scatter, cloud, OWN) == "scatter"
    assert collapse.kind(answers["truth"][0], cloud, OWN) == "recall"
    assert collapse.kind(answers["another's"][0], cloud, OWN) == "scatter"


def test_answers_that_are_more_often_right_than_chance_hardly_follow(cloud: np.ndarray) -> None:
    random, mean = np.random.default_rng(5), cloud.mean(0)
    wrong = np.roll(OWN, 1)
    for right, word in ((0, "scatter"), (1, "scatter"), (10, "hardly follows"), (30, "follows")):
        chosen = np.where(right > OWN, OWN, wrong)
        answers = mean + 0.5 * (cloud[chosen] - mean) + 0.01 * random.standard_normal(cloud.shape)
        assert collapse.kind(answers, cloud, OWN) == word
        assert (word in collapse.ASTRAY) == (right < 20)


def test_few_answers_decide_nothing_about_collapse(cloud: np.ndarray) -> None:
    constant = np.repeat(cloud.mean(0, keepdims=True), SHAPES, axis=0)
    assert collapse.collapse(constant, cloud, OWN)["collapsed"] == 1
    few = slice(collapse.FEWEST - 1)
    assert collapse.collapse(constant[few], cloud, OWN[few])["collapsed"] == OPEN


def test_answers_near_nothing_have_not_collapsed(cloud: np.ndarray) -> None:
    noise = np.random.default_rng(3).standard_normal(cloud.shape) + 0.02 * cloud.mean(0)
    assert collapse.collapse(noise, cloud, OWN)["collapsed"] == 0


def test_a_constant_answer_has_one_attractor_the_most_central_code(cloud: np.ndarray) -> None:
    constant = np.repeat(cloud.mean(0, keepdims=True), SHAPES, axis=0)
    found, share = collapse.attractors(constant, cloud)
    unit = cloud / np.linalg.norm(cloud, axis=1, keepdims=True)
    assert share == 1 and found[0] == max(OWN, key=lambda i: float(unit[i] @ constant[0]))


def test_the_numbers_of_collapse_against_a_slow_count() -> None:
    random = np.random.default_rng(2)
    codes, targets = random.standard_normal((9, 5)), np.array([0, 0, 3, 8, 8, 8, 2])
    predictions = random.standard_normal((7, 5))

    def similar(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    first = [max(range(9), key=lambda i: similar(p, codes[i])) for p in predictions]
    four = [i for i in sorted(range(9), key=lambda i: (-first.count(i), i))[:4] if i in first]
    told = collapse.collapse(predictions, codes, targets)
    assert told["first_four_share"] == pytest.approx(sum(i in four for i in first) / 7)
    nearest = sorted(range(9), key=lambda i: -similar(codes.mean(0), codes[i]))[:3]
    assert told["central"] == sum(i in four for i in nearest)
    assert told["to_target"] == pytest.approx(
        np.mean([similar(p, codes[t]) for p, t in zip(predictions, targets, strict=True)])
    )
    assert told["to_attractors"] == pytest.approx(np.mean([similar(p, codes[i]) for p in predictions for i in four]))


def test_the_spread_of_the_truth_is_one(cloud: np.ndarray) -> None:
    told = collapse.following(cloud, cloud, OWN)
    assert told == pytest.approx({"spread": 1, "from_mean": 1, "direction": 1, "own": 1})

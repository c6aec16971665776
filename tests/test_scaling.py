"""A power law is recovered, its interval covers, and a count that changes nothing has no law."""

import numpy as np
import pytest

from flowsdf.evaluation.few_values import few_seeds_interval
from flowsdf.evaluation.scaling import power_law

COUNTS = [20, 64, 128]
LOGS = np.log(COUNTS)[:, None, None]


def errors(exponent: float, seed: int, *, between_shapes: float = 0.2, seeds: int = 3) -> np.ndarray:
    """Errors of 15 shapes about 2 n**exponent; runs, shapes at a count, and answers have noise of their own."""
    rng = np.random.default_rng(seed)
    noise = rng.normal(0, 0.3, (1, 1, 15)) + rng.normal(0, 0.1, (3, seeds, 1)) + rng.normal(0, 0.1, (3, seeds, 15))
    noise = noise + rng.normal(0, between_shapes, (3, 1, 15))
    return 2.0 * np.exp(exponent * LOGS + noise)


def test_an_exact_law_is_found() -> None:
    law = power_law(COUNTS, 3.0 * np.exp(-0.4 * LOGS) * np.ones((1, 2, 4)), seed=0)
    assert law.factor == pytest.approx(3.0) and law.exponent == pytest.approx(-0.4)
    assert tuple(law.exponents()) == pytest.approx((-0.4, -0.4, -0.4))
    assert law.at([1000])[0] == pytest.approx(np.full(3, 3.0 * 1000**-0.4))


def test_shapes_that_differ_but_fall_alike_leave_the_exponent_certain() -> None:
    shapes = np.exp(np.random.default_rng(0).normal(0, 0.3, (1, 1, 15)))
    law = power_law(COUNTS, 2.0 * np.exp(-0.25 * LOGS) * shapes * np.ones((1, 3, 1)), seed=0)
    assert tuple(law.exponents())[1:] == pytest.approx((-0.25, -0.25))
    low, high = law.at([64.0])[0, 1:]
    assert low < high  # the level is not certain: other shapes have other errors


@pytest.mark.parametrize(("exponent", "between_shapes"), [(0.0, 0.0), (0.0, 0.5), (-0.3, 0.2)])
@pytest.mark.parametrize("seeds", [3, 5])
def test_the_interval_of_the_exponent_covers(exponent: float, between_shapes: float, seeds: int) -> None:
    laws = [
        power_law(COUNTS, errors(exponent, i, between_shapes=between_shapes, seeds=seeds), seed=i, resamples=200)
        for i in range(300)
    ]
    limits = [law.exponents() for law in laws]
    assert np.mean([found.low <= exponent <= found.high for found in limits]) >= 0.93  # 0.95 less sampling error
    assert np.mean([found.high - found.low for found in limits]) < 1.0  # and is not merely wide


def test_the_interval_over_few_seeds_covers() -> None:
    hits = 0
    for i in range(500):
        rng = np.random.default_rng(i)
        values = 1.0 + rng.normal(0, 0.2, (3, 1)) + rng.normal(0, 0.5, (1, 15)) + rng.normal(0, 0.1, (3, 15))
        _, low, high = few_seeds_interval(values)
        hits += low <= 1.0 <= high
    assert 0.93 <= hits / 500 < 1.0
    assert few_seeds_interval(np.array([[1.0, 2.0], [2.0, 3.0]])).estimate == 2.0


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="three counts"):
        power_law([20, 64], np.ones((2, 3, 4)), seed=0)
    with pytest.raises(ValueError, match="two seeds"):
        power_law(COUNTS, np.ones((3, 1, 4)), seed=0)
    with pytest.raises(ValueError, match="two of each"):
        few_seeds_interval(np.ones((1, 4)))
    with pytest.raises(ValueError, match="above zero"):
        power_law(COUNTS, np.zeros((3, 3, 4)), seed=0)

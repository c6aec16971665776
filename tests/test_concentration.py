"""Labels of a few of many: what chance gives, by counting all choices, and the ends."""

from itertools import combinations

import pytest

from flowsdf.evaluation.concentration import as_few_by_chance


def test_the_share_is_that_of_all_choices() -> None:
    labels = list("aaabbcdef")
    every = [len({labels[i] for i in of}) for of in combinations(range(9), 4)]
    for chosen in ([0, 1, 2, 3], [0, 1, 3, 5], [0, 3, 5, 6]):
        few = len({labels[i] for i in chosen})
        exact = sum(count <= few for count in every) / len(every)
        assert as_few_by_chance(labels, chosen, seed=0) == pytest.approx(exact, abs=0.015)


def test_all_of_them_are_no_surprise_and_all_alike_are_one() -> None:
    labels = ["a"] * 10 + [f"{i}" for i in range(90)]
    assert as_few_by_chance(labels, range(100), seed=0) == 1
    assert as_few_by_chance(labels, range(10), seed=0) < 0.001

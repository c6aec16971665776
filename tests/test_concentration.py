"""Labels of a few of many: what chance gives, by counting all choices, and the ends."""

from itertools import combinations

import pytest

from flowsdf.evaluation.concentration import fewest_by_chance


@pytest.mark.parametrize("share", [0.01, 0.05, 0.3, 0.5])
def test_it_is_that_of_all_choices(share: float) -> None:
    labels = list("aaabbcdef")
    every = sorted(len({labels[i] for i in of}) for of in combinations(range(9), 4))
    told = fewest_by_chance(labels, 4, seed=0, share=share)
    assert (
        sum(count < told for count in every) / len(every) < share <= sum(count <= told for count in every) / len(every)
    )


def test_all_of_them_have_all_and_one_kind_has_one() -> None:
    labels = ["a"] * 10 + [f"{i}" for i in range(90)]
    assert fewest_by_chance(labels, 100, seed=0) == 91
    assert fewest_by_chance(["a"] * 20, 10, seed=0) == 1

"""Weight vectors: their statistics in closed form, and their order against all orders."""

from itertools import permutations, product

import numpy as np
import pytest

from flowsdf.evaluation import alignment, weight_cloud
from flowsdf.evaluation.diagnostics import pairwise_cosine

SIZES = (3, 7, 5, 1)


def decoder(rng: np.random.Generator, sizes: tuple[int, ...] = SIZES) -> list[alignment.Layer]:
    return [(rng.normal(size=(b, a)), rng.normal(size=b)) for a, b in zip(sizes[:-1], sizes[1:], strict=True)]


def value(layers: list[alignment.Layer], x: np.ndarray, *, odd: bool) -> np.ndarray:
    for weight, bias in layers[:-1]:
        x = weight @ x + bias
        x = np.sin(x) if odd else np.maximum(x, 0)
    return layers[-1][0] @ x + layers[-1][1]


def test_a_cloud_of_equal_steps_around_a_mean_has_its_closed_form() -> None:
    """Vectors m + a e_i: norm^2 = m^2 + a^2, cosine = m^2 / (m^2 + a^2), all of n - 1 axes alike."""
    count, mean, step = 12, 5.0, 0.7
    vectors = np.zeros((count, 40))
    vectors[:, -1] = mean
    vectors[np.arange(count), np.arange(count)] = step
    norm = np.hypot(mean, step)
    assert weight_cloud.norms(vectors) == pytest.approx({"mean": norm, "std": 0})
    assert pairwise_cosine(vectors)["mean"] == pytest.approx(mean**2 / norm**2)
    central = np.sqrt(mean**2 + step**2 / count) / norm
    np.testing.assert_allclose(weight_cloud.centrality(vectors), central)
    shares = weight_cloud.spectrum(vectors)
    assert weight_cloud.effective_rank(shares) == pytest.approx(count - 1)
    assert weight_cloud.coordinate_share(vectors, 3) == pytest.approx(3 / count)
    assert weight_cloud.still_coordinates(vectors) == 40 - count


def test_the_most_central_vector_is_the_one_along_the_mean() -> None:
    vectors = np.random.default_rng(0).normal(size=(20, 300)) + 2
    vectors[7] = vectors.mean(0)
    assert weight_cloud.most_central(vectors, 3)[0] == 7 and len(weight_cloud.most_central(vectors, 3)) == 3


def test_a_cosine_implies_a_deviation() -> None:
    """The thesis's own numbers: 0.9606 at 13.39 is 0.0114 a coordinate, not 0.0008 (P10)."""
    assert weight_cloud.deviation_of_a_coordinate(0.9606, 13.39, 54_785) == pytest.approx(0.01136, abs=1e-5)
    vectors = 3 + 0.2 * np.random.default_rng(1).normal(size=(60, 4000))
    mean = pairwise_cosine(vectors)["mean"]
    implied = weight_cloud.deviation_of_a_coordinate(mean, weight_cloud.norms(vectors)["mean"], 4000)
    assert implied == pytest.approx(0.2, rel=0.01)


@pytest.mark.parametrize("odd", [False, True])
def test_another_order_computes_the_same_and_is_undone(odd: bool) -> None:
    rng = np.random.default_rng(3)
    layers = decoder(rng, (30, 7, 5, 1))  # with few inputs units are too alike, and a sweep may end elsewhere
    other = alignment.shuffled(layers, rng, odd=odd)
    x = rng.normal(size=30)
    np.testing.assert_allclose(value(layers, x, odd=odd), value(other, x, odd=odd))
    assert np.linalg.norm(alignment.vector_of(other) - alignment.vector_of(layers)) > 1
    back = alignment.align(other, layers, odd=odd)
    np.testing.assert_allclose(alignment.vector_of(back), alignment.vector_of(layers))


@pytest.mark.parametrize("odd", [False, True])
def test_one_hidden_layer_is_aligned_as_well_as_by_trying_all_orders(odd: bool) -> None:
    rng = np.random.default_rng(4)
    a, b = decoder(rng, (2, 4, 1)), decoder(rng, (2, 4, 1))
    distance = lambda layers: np.linalg.norm(alignment.vector_of(layers) - alignment.vector_of(b))  # noqa: E731
    every = [
        distance(alignment.reordered(a, [np.array(order)], [np.array(sign)]))
        for order in permutations(range(4))
        for sign in (product((-1.0, 1.0), repeat=4) if odd else [(1.0,) * 4])
    ]
    assert distance(alignment.align(a, b, odd=odd)) == pytest.approx(min(every))


def test_alignment_never_leads_away() -> None:
    rng = np.random.default_rng(5)
    for _ in range(20):
        a, b = decoder(rng), decoder(rng)
        before = np.linalg.norm(alignment.vector_of(a) - alignment.vector_of(b))
        after = np.linalg.norm(alignment.vector_of(alignment.align(a, b)) - alignment.vector_of(b))
        assert after <= before + 1e-9


def test_vectors_are_layers_in_order() -> None:
    layers = decoder(np.random.default_rng(6))
    vector = alignment.vector_of(layers)
    for (w, b), (weight, bias) in zip(alignment.layers_of(vector, SIZES), layers, strict=True):
        assert np.array_equal(w, weight) and np.array_equal(b, bias)
    with pytest.raises(ValueError, match="a vector of"):
        alignment.layers_of(vector[:-1], SIZES)


def test_every_occupancy_is_held_against_every_other() -> None:
    inside = np.random.default_rng(0).random((5, 40)) < 0.4
    inside[3] = False
    table = weight_cloud.ious_of_pairs(inside[:2], inside)
    assert table.shape == (2, 5)
    for row, one in zip(table, inside[:2], strict=True):
        np.testing.assert_allclose(row, weight_cloud.ious(np.broadcast_to(one, inside.shape), inside))
    assert weight_cloud.ious_of_pairs(inside[3:4], inside[3:])[0].tolist() == [1, 0]

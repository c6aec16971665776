"""The points of a shape and their distances: where they are drawn, and what is refused."""

import numpy as np
import pytest

from flowsdf.data.procedural import parts
from flowsdf.data.sdf import check_sdf, exact_sdf, sample_points
from flowsdf.geometry.distance import inside, unsigned_distance, winding_number

BALL = parts.ball(0.8).mesh()
BOX = parts.box(1.0, 0.8, 0.6).mesh()


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def samples(count: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    points = sample_points(BALL, count, rng())
    return points, exact_sdf(points, BALL)


def test_half_is_near_by_two_sigmas_and_half_uniform():
    points = sample_points(BOX, 40_000, rng())
    assert points.shape == (40_000, 3) and points.dtype == np.float32
    wide, narrow, uniform = points[:10_000], points[10_000:20_000], points[20_000:]
    # beside a large flat face the distance is the normal part of the offset: E|N(0, s)| = s sqrt(2 / pi)
    for part, sigma, slack in ((wide, 0.05, 0.1), (narrow, 0.005, 0.03)):
        assert unsigned_distance(part, BOX).mean() == pytest.approx(sigma * np.sqrt(2 / np.pi), rel=slack)
    assert np.abs(uniform).max() <= 1
    np.testing.assert_allclose(uniform.mean(0), 0, atol=0.02)
    np.testing.assert_allclose(uniform.var(0), 1 / 3, atol=0.01)


@pytest.mark.parametrize("count", [2, 7, 101])
def test_odd_counts_are_kept(count):
    assert sample_points(BALL, count, rng()).shape == (count, 3)


def test_points_follow_their_seed_only():
    first, same, other = (sample_points(BALL, 500, rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, same)
    assert not (first == other).all(1).any()


def test_exact_sdf_keeps_the_order_of_the_points():
    points, sdf = samples()
    assert sdf.dtype == np.float32
    one_by_one = np.where(winding_number(points, BALL) > 0.5, -1, 1) * unsigned_distance(points, BALL)
    np.testing.assert_array_equal(sdf, one_by_one.astype(np.float32))
    np.testing.assert_array_equal(inside(points, BALL), one_by_one < 0)
    np.testing.assert_allclose(sdf, np.linalg.norm(points, axis=1) - 0.8, atol=0.003)


def test_good_distances_pass():
    check_sdf(*samples())


def test_an_inverted_sign_is_refused():
    points, sdf = samples()
    for exact in (True, False):
        with pytest.raises(ValueError, match="inverted"):
            check_sdf(points, -sdf, exact=exact)


def test_wrong_signs_far_away_are_the_reference_backends_alone():
    points, sdf = samples()
    sdf = sdf.copy()
    sdf[np.linalg.norm(points, axis=1).argmax()] *= -1
    check_sdf(points, sdf, exact=False)
    with pytest.raises(ValueError, match="inverted"):
        check_sdf(points, sdf)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_refused(value):
    points, sdf = samples()
    wrong = sdf.copy()
    wrong[3] = value
    with pytest.raises(ValueError, match="not finite"):
        check_sdf(points, wrong)
    wrong = points.copy()
    wrong[3, 1] = value
    with pytest.raises(ValueError, match="not finite"):
        check_sdf(wrong, sdf)


def test_a_distance_that_no_shape_of_the_unit_sphere_has_is_refused():
    points, sdf = samples()
    sdf = sdf.copy()
    sdf[0] = 2.01
    with pytest.raises(ValueError, match="above 2"):
        check_sdf(points, sdf)


@pytest.mark.parametrize("sign", [1, -1])
def test_one_sign_only_is_refused(sign):
    points, sdf = samples()
    with pytest.raises(ValueError, match="no point is inside"):
        check_sdf(points, sign * np.abs(sdf))

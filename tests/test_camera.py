"""Viewpoints: even, of unit length, and their matrices rotations that look at the origin."""

import numpy as np
import pytest

from flowsdf.geometry.camera import fibonacci_sphere, look_at


@pytest.mark.parametrize("count", [1, 8, 24, 64])
def test_viewpoints_are_even_unit_directions_from_top_to_bottom(count):
    points = fibonacci_sphere(count)
    assert points.shape == (count, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-12)
    np.testing.assert_allclose(points[:, 1], np.linspace(1 - 1 / count, -1 + 1 / count, count), atol=1e-12)
    assert np.linalg.norm(points.mean(0)) < (0.05 if count > 1 else 1.01)
    gaps = np.linalg.norm(points[:, None] - points, axis=2) + 9 * np.eye(count)
    if count > 1:
        assert gaps.min(1).min() > 0.75 * gaps.min(1).max()


@pytest.mark.parametrize("direction", [*fibonacci_sphere(16), (0, 1, 0), (0, -1, 0), (1e-3, 1, 0), (1, 0, 0)])
def test_look_at_is_a_rigid_motion_whose_axis_meets_the_origin(direction):
    position = 2.5 * np.asarray(direction, float) / np.linalg.norm(direction)
    pose = look_at(position)
    turn = pose[:3, :3]
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)
    np.testing.assert_allclose(pose[3], (0, 0, 0, 1))
    np.testing.assert_allclose(pose @ (0, 0, -2.5, 1), (0, 0, 0, 1), atol=1e-12)  # ahead of the camera
    np.testing.assert_allclose(pose[:3, 3], position)
    if abs(direction[1]) < 0.99:
        assert turn[1, 0] == pytest.approx(0) and turn[1, 1] > 0  # level, and upright

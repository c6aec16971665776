"""The depth and the normals of a view are those of the surface it sees: a ball has both in closed form."""

import numpy as np
import pytest
import trimesh

from flowsdf.conventions import CAMERA_DISTANCE, Mesh
from flowsdf.data.depth_views import as_images, depth_maps, normal_maps
from flowsdf.data.views import FIELD_OF_VIEW
from flowsdf.studies.conditioning import coarse

RADIUS, SIZE = 0.8, 96
DIRECTIONS = np.array([[0.0, 0.0, 1.0], [0.6, 0.8, 0.0], [0.0, -1.0, 0.0]])


@pytest.fixture(scope="module")
def depths() -> np.ndarray:
    ball = trimesh.creation.icosphere(subdivisions=5, radius=RADIUS)
    return depth_maps(Mesh(np.asarray(ball.vertices), np.asarray(ball.faces)), DIRECTIONS, size=SIZE)


def rays() -> np.ndarray:
    """Where each pixel looks, per unit of depth, in the camera's frame."""
    slope = np.tan(FIELD_OF_VIEW / 2) * (2 * np.arange(SIZE) + 1 - SIZE) / SIZE
    x, y = np.meshgrid(slope, -slope)
    return np.stack([x, y, -np.ones_like(x)], -1)


def test_seen_points_lie_on_the_ball(depths: np.ndarray) -> None:
    points = depths[..., None] * rays() + [0, 0, CAMERA_DISTANCE]
    radii = np.linalg.norm(points, axis=-1)[depths > 0]
    assert abs(radii - RADIUS).max() < 0.002
    assert depths[depths > 0].min() == pytest.approx(CAMERA_DISTANCE - RADIUS, abs=0.005)


def test_rays_that_miss_see_nothing(depths: np.ndarray) -> None:
    away = np.linalg.norm(
        np.cross(rays() / np.linalg.norm(rays(), axis=-1, keepdims=True), [0, 0, CAMERA_DISTANCE]), axis=-1
    )
    assert not depths[:, away > RADIUS + 0.02].any() and (depths[:, away < RADIUS - 0.02] > 0).all()


def test_normals_point_away_from_the_centre(depths: np.ndarray) -> None:
    truth = (depths[..., None] * rays() + [0, 0, CAMERA_DISTANCE]) / RADIUS
    along = (normal_maps(depths) * truth).sum(-1)[depths > 0]
    assert np.quantile(along, 0.02) > 0.98 and np.median(along) > 0.998
    assert not normal_maps(depths)[depths == 0].any()


def test_pictures_are_black_on_the_ground_and_brighter_nearer(depths: np.ndarray) -> None:
    near, normals = as_images(depths), as_images(normal_maps(depths))
    assert near.dtype == normals.dtype == np.uint8 and near.shape == normals.shape == (3, SIZE, SIZE, 3)
    assert not near[depths == 0].any() and not normals[depths == 0].any()
    assert near[0, SIZE // 2, SIZE // 2, 0] == near[0].max() == pytest.approx(255 * 0.9, abs=2)
    assert normals[0, SIZE // 2, SIZE // 2].tolist() == pytest.approx([127, 127, 255], abs=6)


def test_a_coarse_map_holds_the_mean_distance_before_the_centre(depths: np.ndarray) -> None:
    before = np.where(depths > 0, CAMERA_DISTANCE - depths, -1.0)
    found = coarse(before).reshape(3, 16, 16)
    assert found[:, 0, 0] == pytest.approx(-1.0)
    assert found[:, 8, 8] == pytest.approx(RADIUS, abs=0.03)
    with pytest.raises(ValueError, match="cannot be averaged"):
        coarse(before[:, :90, :90])

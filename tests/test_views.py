"""Rendered views: their shape, their background, the object in the frame, one renderer a process."""

from pathlib import Path

import numpy as np
import pyrender
import pytest
import trimesh
from scipy.ndimage import binary_dilation

from flowsdf.conventions import Mesh
from flowsdf.data import views
from flowsdf.data.procedural import parts
from flowsdf.data.views import render_views, silhouettes
from flowsdf.geometry.camera import fibonacci_sphere
from flowsdf.geometry.mesh import normalise

BALL = parts.ball(1.0).mesh()
BOX = normalise(parts.box(1.0, 0.5, 0.3).turn("y", 30).mesh())[0]
FRONT = np.array([[0.0, 0.0, 1.0]])


def test_sixty_four_views_of_224_pixels_on_black():
    images = render_views(BOX)
    assert images.shape == (64, 224, 224, 3) and images.dtype == np.uint8
    border = np.ones((224, 224), bool)
    border[1:-1, 1:-1] = False
    assert not images[:, border].any()  # the unit sphere is inside the frame, with a margin
    lit = images.any(-1).reshape(64, -1).mean(1)
    assert (lit > 0.03).all() and (lit < 0.6).all()
    assert len({image.tobytes() for image in images}) == 64


def test_silhouettes_are_where_the_render_is_not_black():
    directions = fibonacci_sphere(5)
    masks, images = silhouettes(BOX, directions, size=96), render_views(BOX, directions, size=96)
    assert masks.shape == (5, 96, 96) and masks.dtype == bool
    assert images.any(-1)[masks].all()
    cross = np.array([[[0, 1, 0], [1, 1, 1], [0, 1, 0]]])
    assert not images.any(-1)[~binary_dilation(masks, cross)].any()  # smoothed by a pixel
    assert silhouettes(BOX, size=16).shape == (24, 16, 16)


def test_the_unit_ball_fills_the_frame_but_for_its_margin():
    (mask,) = silhouettes(BALL, FRONT, size=200)
    rows, columns = np.nonzero(mask.any(1))[0], np.nonzero(mask.any(0))[0]
    for span in (rows, columns):
        assert 1 <= span[0] <= 4 and 195 <= span[-1] <= 198  # two per cent of 200, over both sides
    sphere_share = np.pi / 4 * (np.tan(np.arcsin(1 / 2.5)) / np.tan(views.FIELD_OF_VIEW / 2)) ** 2
    assert mask.mean() == pytest.approx(sphere_share, rel=0.01)


def test_up_is_up_and_right_is_right():
    corner = Mesh(np.array([[0, 0, 0.0], [0.9, 0, 0], [0, 0.4, 0]]), np.array([[0, 1, 2]]))
    rows, columns = np.nonzero(silhouettes(corner, FRONT, size=100)[0])  # seen from +z: x to the right, y up
    assert columns.min() >= 48 and columns.max() > 80 and rows.max() <= 51 and 20 < rows.min() < 40


def test_the_object_is_gray_blue_and_brightest_towards_the_camera():
    (image,) = render_views(BALL, FRONT, size=64)
    red, green, blue = image[32, 32].astype(int)
    assert 60 < red < green < blue < 256
    assert image[32, 32].sum() > image[32, 8].sum() > 0


def test_light_at_the_vertices_is_pyrenders_own_where_faces_are_small(monkeypatch):
    ball = trimesh.creation.icosphere(5, 0.8)
    fine, directions = Mesh(ball.vertices.view(np.ndarray), ball.faces.view(np.ndarray)), fibonacci_sphere(3)
    at_vertices = render_views(fine, directions, size=96).astype(int)
    monkeypatch.setattr(views, "SHADERS", Path(pyrender.__file__).with_name("shaders"))
    views._renderer.cache_clear()
    at_fragments = render_views(fine, directions, size=96)
    views._renderer.cache_clear()
    gap, lit = np.abs(at_vertices - at_fragments), at_fragments.any(-1)
    assert at_fragments[lit].std() > 20 and gap[lit].mean() < 0.2
    assert np.percentile(gap[lit], 99) <= 1  # at the outline a fragment's normal is extrapolated


def test_no_faces_no_silhouette():
    nothing = Mesh(np.zeros((0, 3)), np.zeros((0, 3), np.int64))
    assert not silhouettes(nothing, FRONT, size=20).any()
    assert silhouettes(nothing, size=20).shape == (24, 20, 20)


def test_one_renderer_a_size_and_kind_of_light_serves_every_mesh():
    for mesh in (BOX, BALL):  # of few faces, and of many
        render_views(mesh, FRONT, size=64)
    before = views._renderer.cache_info().misses
    for _ in range(3):
        first = render_views(BOX, FRONT, size=64)
        render_views(BALL, FRONT, size=64)
        np.testing.assert_array_equal(render_views(BOX, FRONT, size=64), first)  # nothing of the ball stays
    assert views._renderer.cache_info().misses == before


def test_one_sees_the_inside_of_a_mesh_that_the_cube_cuts():
    whole = trimesh.creation.icosphere(subdivisions=4, radius=0.6)
    faces = np.asarray(whole.faces)
    cut = faces[(np.asarray(whole.vertices)[faces][..., 0] < 0.3).all(1)]
    x, y = (np.eye(3)[[axis]] for axis in (0, 1))
    seen = [silhouettes(Mesh(np.asarray(whole.vertices), of), x)[0].sum() for of in (faces, cut)]
    assert seen[1] > 0.99 * seen[0]
    assert silhouettes(Mesh(np.asarray(whole.vertices), cut), y)[0].sum() < seen[0]

"""The closing: solids come back where they were, holes close, plates become sheets, and leaks are said."""

import numpy as np
import pytest
from broken_meshes import prism

from flowsdf.conventions import Mesh
from flowsdf.data import procedural
from flowsdf.data.procedural import parts
from flowsdf.geometry.distance import unsigned_distance
from flowsdf.geometry.extract import sparse_grid
from flowsdf.geometry.mesh import components, concatenate, genus, is_watertight, normalise, volume
from flowsdf.geometry.watertight import PADDING, Watertight, _remembered, _subdivided, watertight

RESOLUTION = 64
VOXEL = 2 / (RESOLUTION - 1)
SOLIDS = {  # at least eight voxels thick
    "ball": parts.ball(0.9),
    "turned box": parts.box(1.2, 0.7, 0.8).turn("x", 33).turn("z", 20),
    "torus": parts.ring(0.65, 0.3),
    "cone": parts.cone(0.7, 0.3, 1.2).at(0, -0.6, 0),
}


def closed(mesh: Mesh, resolution: int = RESOLUTION) -> Watertight:
    return watertight(mesh, resolution=resolution)


def holed_ball(hole: float) -> Mesh:
    """A ball's surface of radius 0.8 with a round hole of this radius at the top."""
    ball = parts.ball(0.8).mesh()
    centres = ball.vertices[ball.faces].mean(1)
    return Mesh(ball.vertices, ball.faces[(np.hypot(centres[:, 0], centres[:, 2]) > hole) | (centres[:, 1] < 0)])


def square(half: float, cells: int = 4) -> Mesh:
    ticks = np.linspace(-half, half, cells + 1)
    x, z = np.meshgrid(ticks, ticks, indexing="ij")
    index = np.arange(x.size).reshape(x.shape)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    return Mesh(np.stack([x.ravel(), 0 * x.ravel(), z.ravel()], 1), faces)


def assert_solid(mesh: Mesh):
    assert is_watertight(mesh) and volume(mesh) > 0


@pytest.mark.parametrize("name", SOLIDS)
def test_thick_solids_come_back_where_they_were(name):
    raw = SOLIDS[name].mesh()
    result = closed(raw)
    assert_solid(result.mesh)
    assert unsigned_distance(result.mesh.vertices, raw).mean() <= 0.25 * VOXEL
    assert volume(result.mesh) == pytest.approx(volume(raw), rel=0.03)
    assert genus(result.mesh) == (1 if name == "torus" else 0)
    assert result.sheet_share < 0.005 and result.kept_share >= 0.98 and not result.leaks  # a sheet at a sharp corner


@pytest.mark.parametrize(("radius", "leaks"), [(0.9, False), (4.5, True)])
def test_a_hole_narrower_than_two_radii_closes_and_a_wider_one_is_flagged(radius, leaks):
    result = closed(holed_ball(radius * VOXEL))
    assert_solid(result.mesh)
    assert result.leaks is leaks
    whole = volume(parts.ball(0.8).mesh())
    if leaks:
        assert result.leak_share > 0.5 and result.sheet_share > 0.9 and volume(result.mesh) < 0.3 * whole
    else:
        assert result.leak_share < 0.02 and volume(result.mesh) == pytest.approx(whole, rel=0.04)
    assert result.kept_share >= 0.98


def test_a_plate_becomes_a_sheet_one_voxel_thick():
    plate = square(0.7)
    result = closed(plate)
    assert_solid(result.mesh)
    assert result.sheet_share == pytest.approx(1) and result.kept_share == pytest.approx(1)
    assert np.ptp(result.mesh.vertices[:, 1]) == pytest.approx(1.2 * VOXEL, rel=0.05)
    assert components(result.mesh) == 1


def test_a_plate_on_a_solid_is_kept_beside_it():
    table = concatenate([parts.box(0.5, 0.5, 0.5).at(0, -0.5, 0).mesh(), square(0.6)])
    result = closed(table)
    assert_solid(result.mesh)
    assert 0.1 < result.sheet_share < 0.6 and result.kept_share >= 0.98
    assert result.mesh.vertices[:, [0, 2]].max() == pytest.approx(0.6, abs=VOXEL)


def test_flipped_and_doubled_faces_change_nothing():
    raw = SOLIDS["turned box"].mesh()
    flip = np.random.default_rng(0).random(len(raw.faces)) < 0.5
    mixed = np.where(flip[:, None], raw.faces[:, ::-1], raw.faces)
    plain = closed(raw, 48)
    for faces in (raw.faces[:, ::-1], mixed, np.concatenate([raw.faces, raw.faces[:, ::-1]])):
        result = closed(Mesh(raw.vertices, faces), 48)
        np.testing.assert_array_equal(result.mesh.faces, plain.mesh.faces)
        np.testing.assert_allclose(result.mesh.vertices, plain.mesh.vertices, atol=1e-6)
        assert_solid(result.mesh)


def test_overlapping_parts_become_their_union_and_voids_are_filled():
    ball, inner = parts.ball(0.7).mesh(), parts.ball(0.3).mesh()
    lone, both = closed(ball, 48), closed(concatenate([ball, inner]), 48)
    np.testing.assert_allclose(both.mesh.vertices, lone.mesh.vertices, atol=1e-6)
    two = concatenate([parts.ball(0.4).at(-0.25, 0, 0).mesh(), parts.ball(0.4).at(0.25, 0, 0).mesh()])
    united = closed(two)
    assert components(united.mesh) == 1
    cap = 0.15**2 * np.pi * (3 * 0.4 - 0.15) / 3  # half of the lens
    assert volume(united.mesh) == pytest.approx(2 * 4 / 3 * np.pi * 0.4**3 - 2 * cap, rel=0.03)


def test_faces_without_area_do_no_harm():
    raw = prism(5, 1.0)
    raw, _, _ = normalise(Mesh(raw.vertices, np.concatenate([raw.faces, [[0, 0, 1], [2, 2, 2]]])))
    result = closed(raw, 48)
    assert_solid(result.mesh)
    assert result.kept_share >= 0.98 and np.isfinite([result.sheet_share, result.leak_share]).all()


def test_a_single_triangle_is_a_sheet():
    result = closed(Mesh(np.array([[-0.6, 0, -0.6], [0.7, 0.1, 0], [0, -0.2, 0.7]]), np.array([[0, 1, 2]])), 48)
    assert_solid(result.mesh)
    assert result.sheet_share == pytest.approx(1) and result.kept_share == pytest.approx(1)


def test_a_remembered_field_is_asked_once_at_each_node():
    asked = []
    field = _remembered(lambda points: asked.append(len(points)) or points.sum(1), RESOLUTION)
    nodes = np.random.default_rng(0).integers(-PADDING, RESOLUTION + PADDING + 7, (500, 3))
    points = (nodes * VOXEL - 1).astype(np.float32)
    for some in (points[:300], points[200:], points):
        np.testing.assert_array_equal(field(some), some.sum(1))
    assert asked == [300, 200, 0]


def test_subdivision_keeps_the_surface():
    raw = SOLIDS["turned box"].mesh()
    fine = _subdivided(raw, 0.1)
    corners = fine.vertices[fine.faces]
    assert np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2).max() <= 0.1
    assert volume(fine) == pytest.approx(volume(raw))
    np.testing.assert_allclose(unsigned_distance(fine.vertices, raw), 0, atol=1e-9)


def soup(seed: int) -> Mesh:
    """Boxes and loose triangles."""
    random = np.random.default_rng(seed)
    boxes = [parts.box(*random.uniform(0.2, 0.6, 3)).at(*random.uniform(-0.5, 0.5, 3)).mesh() for _ in range(4)]
    loose = random.uniform(-0.6, 0.6, (25, 1, 3)) + random.uniform(-0.3, 0.3, (25, 3, 3))
    return concatenate([*boxes, Mesh(loose.reshape(-1, 3), np.arange(75).reshape(-1, 3))])


@pytest.mark.parametrize("seed", range(4))
def test_solids_and_sheets_come_out_as_they_would_on_all_nodes(seed, monkeypatch):
    ours = closed(soup(seed), 33)
    monkeypatch.setattr(
        "flowsdf.geometry.watertight.sparse_grid",
        lambda field, side, *, coarsest, **rest: sparse_grid(field, side, coarsest=side, **rest),
    )
    dense = closed(soup(seed), 33)
    assert ours.sheet_share > 0.05
    np.testing.assert_array_equal(ours.mesh.faces, dense.mesh.faces)
    np.testing.assert_array_equal(ours.mesh.vertices, dense.mesh.vertices)


def test_a_convex_solid_has_no_cavity_and_no_handle():
    random = np.random.default_rng(0)
    for _ in range(12):
        egg = parts.egg(*random.uniform(0.3, 0.9, 3)).turn("x", random.uniform(0, 90)).turn("z", random.uniform(0, 90))
        closed = watertight(egg.mesh(), resolution=64).mesh
        assert (components(closed), genus(closed)) == (1, 0)


def test_parts_that_overlap_leave_no_cavity():
    vase = watertight(normalise(procedural.clean_mesh(procedural.training(14)))[0]).mesh
    assert (components(vase), genus(vase)) == (1, 0)

"""Meshes against closed forms: cube, torus, spheres, and the bad coordinates of real files."""

import numpy as np
import pytest

from flowsdf.conventions import Mesh
from flowsdf.geometry import mesh as m


def cube(side: float = 1.0) -> Mesh:
    vertices = np.stack(np.meshgrid(*[[0.0, side]] * 3, indexing="ij"), -1).reshape(-1, 3)
    quads = [[0, 1, 3, 2], [4, 6, 7, 5], [0, 4, 5, 1], [2, 3, 7, 6], [0, 2, 6, 4], [1, 5, 7, 3]]
    return Mesh(vertices, np.array([t for a, b, c, d in quads for t in ([a, b, c], [a, c, d])]))


def torus(major: float = 0.7, minor: float = 0.2, n: int = 48, k: int = 24) -> Mesh:
    u, v = np.meshgrid(np.arange(n) * 2 * np.pi / n, np.arange(k) * 2 * np.pi / k, indexing="ij")
    ring = major + minor * np.cos(v)
    vertices = np.stack([ring * np.cos(u), ring * np.sin(u), minor * np.sin(v)], -1).reshape(-1, 3)
    a = np.arange(n * k).reshape(n, k)
    b, d = np.roll(a, -1, 0), np.roll(a, -1, 1)
    c = np.roll(b, -1, 1)
    return Mesh(vertices, np.stack([a, b, c, a, c, d], -1).reshape(-1, 3))


def sphere(radius: float = 1.0, splits: int = 4) -> Mesh:
    """An octahedron, each face split in four ``splits`` times and pushed onto the sphere."""
    corners = np.vstack([np.eye(3), -np.eye(3)])
    faces = np.array([[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]])
    triangles = corners[faces]
    for _ in range(splits):
        a, b, c = triangles.transpose(1, 0, 2)
        ab, bc, ca = (a + b) / 2, (b + c) / 2, (c + a) / 2
        triangles = np.concatenate([np.stack(t, 1) for t in ([a, ab, ca], [ab, b, bc], [ca, bc, c], [ab, bc, ca])])
    points = triangles.reshape(-1, 3)
    points = np.round(points / np.linalg.norm(points, axis=1, keepdims=True), 12)
    vertices, faces = np.unique(points, axis=0, return_inverse=True)
    return Mesh(radius * vertices, faces.reshape(-1, 3))


def moved(mesh: Mesh, offset: list[float]) -> Mesh:
    return Mesh(mesh.vertices + np.array(offset), mesh.faces)


def test_cube_has_its_area_volume_and_normals():
    box = cube(2.0)
    assert m.area(box) == pytest.approx(24)
    assert m.volume(box) == pytest.approx(8)
    outward = box.vertices[box.faces].mean(1) - 1
    assert ((m.face_normals(box) * outward).sum(1) > 0).all()
    assert m.volume(Mesh(box.vertices, box.faces[:, ::-1])) == pytest.approx(-8)


def test_vertex_normals_point_outward():
    ball = sphere()
    assert (m.vertex_normals(ball) * ball.vertices).sum(1).min() > 0.999
    assert (m.vertex_normals(Mesh(np.vstack([ball.vertices, np.ones((1, 3))]), ball.faces))[-1] == 0).all()


def test_what_is_remembered_is_by_content_and_forgotten_in_turn():
    asked = []
    area = m.remembered(lambda mesh: asked.append(mesh) or m.area(mesh), last=2)
    small, large = cube(1.0), cube(2.0)
    assert [area(small), area(Mesh(small.vertices.copy(), small.faces)), area(large)] == pytest.approx([6, 6, 24])
    assert len(asked) == 2
    area(small), area(cube(3.0)), area(small)  # the large one was asked longest ago
    assert len(asked) == 3
    area(large)
    assert len(asked) == 4


def test_torus_and_sphere_approach_their_closed_forms():
    assert m.area(torus()) == pytest.approx(4 * np.pi**2 * 0.7 * 0.2, rel=0.02)
    assert m.volume(torus()) == pytest.approx(2 * np.pi**2 * 0.7 * 0.2**2, rel=0.02)
    assert m.volume(sphere()) == pytest.approx(4 / 3 * np.pi, rel=0.02)


@pytest.mark.parametrize(
    ("mesh", "pieces", "euler", "handles"),
    [
        (cube(), 1, 2, 0),
        (torus(), 1, 0, 1),
        (m.concatenate([sphere(), moved(sphere(), [3, 0, 0])]), 2, 4, 0),
        (m.concatenate([torus(), moved(torus(), [3, 0, 0]), cube()]), 3, 2, 2),
    ],
)
def test_topology_of_closed_meshes(mesh, pieces, euler, handles):
    assert m.is_watertight(mesh)
    assert (m.components(mesh), m.euler_number(mesh), m.genus(mesh)) == (pieces, euler, handles)


def test_open_flipped_and_doubled_faces_are_not_watertight():
    box = cube()
    flipped = box.faces.copy()
    flipped[0] = flipped[0, ::-1]
    for faces in (box.faces[1:], flipped, np.vstack([box.faces, box.faces[:1]]), box.faces[:0]):
        assert not m.is_watertight(Mesh(box.vertices, faces))
    assert np.isnan(m.genus(Mesh(box.vertices, box.faces[1:])))
    assert m.components(Mesh(box.vertices, box.faces[:0])) == 0


def test_unused_vertices_change_nothing():
    stray = Mesh(np.vstack([cube().vertices, [[9.0, 9.0, 9.0], [np.nan] * 3]]), cube().faces)
    assert (m.components(stray), m.euler_number(stray)) == (1, 2)
    assert m.normalise(stray)[2] == pytest.approx(np.sqrt(3) / 2)


@pytest.mark.parametrize("scale", [1.0, 1e30, 1e-30, 1e200, 1e-200])
def test_normalise_fits_the_unit_sphere_at_any_size(scale):
    mesh = Mesh(torus().vertices * scale + np.array([3.0, -2.0, 1.0]) * scale, torus().faces)
    fitted, centre, size = m.normalise(mesh)
    assert np.linalg.norm(fitted.vertices, axis=1).max() == pytest.approx(1)
    np.testing.assert_allclose(fitted.vertices.min(0), -fitted.vertices.max(0), atol=1e-12)
    np.testing.assert_allclose(fitted.vertices * size + centre, mesh.vertices, rtol=1e-9, atol=1e-12 * scale)


def test_normalise_refuses_what_has_no_size():
    with pytest.raises(ValueError, match="coincide"):
        m.normalise(Mesh(np.ones((3, 3)), np.array([[0, 1, 2]])))
    with pytest.raises(ValueError, match="finite"):
        m.normalise(Mesh(np.array([[0, 0, np.nan], [1, 0, 0], [0, 1, 0]]), np.array([[0, 1, 2]])))
    with pytest.raises(ValueError, match="face"):
        m.normalise(Mesh(np.zeros((0, 3)), np.zeros((0, 3), int)))


def test_surface_samples_are_uniform_on_the_faces_and_seeded():
    mesh = torus()
    samples = m.sample_surface(mesh, 20_000, np.random.default_rng(0))
    corner = mesh.vertices[mesh.faces[samples.faces, 0]]
    assert np.abs(((samples.points - corner) * samples.normals).sum(1)).max() < 1e-12
    share = np.bincount(samples.faces // 2 % 24, minlength=24) / 20_000  # by angle around the tube
    expected = np.bincount(np.arange(len(mesh.faces)) // 2 % 24, m.face_areas(mesh)) / m.area(mesh)
    assert np.abs(share - expected).max() < 0.006
    again = m.sample_surface(mesh, 20_000, np.random.default_rng(0))
    np.testing.assert_array_equal(samples.points, again.points)


def test_samples_avoid_faces_without_area_and_refuse_meshes_without_any():
    mesh = Mesh(cube().vertices, np.vstack([[[0, 0, 1]], cube().faces, [[2, 2, 2]]]))
    faces = m.sample_surface(mesh, 1000, np.random.default_rng(0)).faces
    assert faces.min() >= 1 and faces.max() <= 12
    with pytest.raises(ValueError, match="area"):
        m.sample_surface(Mesh(np.zeros((3, 3)), np.array([[0, 1, 2]])), 5, np.random.default_rng(0))

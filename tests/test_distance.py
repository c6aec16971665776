"""Distances to triangle meshes: against closed forms, and against every triangle in turn."""

import numpy as np
import pytest
from broken_meshes import prism

from flowsdf.conventions import Mesh
from flowsdf.data import procedural
from flowsdf.data.procedural import parts, tessellate
from flowsdf.geometry.distance import inside, signed_distance, unsigned_distance, winding_number
from flowsdf.geometry.mesh import concatenate, face_normals

CUBE = np.random.default_rng(0).uniform(-1, 1, (2000, 3))


def to_triangle(point, a, b, c) -> float:
    """From a point to a triangle by cases: above its inside, or nearest to one of its edges (the slow oracle)."""
    normal = np.cross(b - a, c - a)
    normal /= np.linalg.norm(normal)
    height = (point - a) @ normal
    foot = point - height * normal
    if all(np.cross(q - p, foot - p) @ normal >= 0 for p, q in ((a, b), (b, c), (c, a))):
        return abs(height)
    gaps = []
    for p, q in ((a, b), (b, c), (c, a)):
        t = np.clip((point - p) @ (q - p) / ((q - p) @ (q - p)), 0, 1)
        gaps.append(np.linalg.norm(point - p - t * (q - p)))
    return min(gaps)


def test_unsigned_distance_is_to_the_nearest_of_all_triangles():
    mesh, points = prism(5, 0.7), CUBE[:150]
    triangles = mesh.vertices[mesh.faces]
    oracle = [min(to_triangle(p, *triangle) for triangle in triangles) for p in points]
    np.testing.assert_allclose(unsigned_distance(points, mesh), oracle, atol=1e-12)


def test_a_box_is_exact():
    box = parts.box(1.2, 0.8, 1.0).turn("y", 25)
    np.testing.assert_allclose(signed_distance(CUBE, box.mesh()), box.distance(CUBE), atol=1e-9)


@pytest.mark.parametrize("name", procedural.PRIMITIVES)
def test_the_primitives_are_within_their_tessellation(name, monkeypatch):
    monkeypatch.setattr(tessellate, "CHORD", 2e-5)
    monkeypatch.setattr(tessellate, "steps", lambda radius: int(np.ceil(np.pi * np.sqrt(radius / (2 * 2e-5)))))
    solid = procedural.primitive(name).parts[0]
    gap = np.abs(signed_distance(CUBE, solid.mesh()) - solid.distance(CUBE))
    assert gap.mean() < 5e-5 and gap.max() < 2e-4


def test_overlapping_closed_parts_are_one_solid():
    pieces = [parts.ball(0.4).at(-0.2, 0, 0), parts.ball(0.4).at(0.2, 0, 0), parts.box(0.3, 1.5, 0.3)]
    mesh = concatenate([piece.mesh() for piece in pieces])
    truth = np.min([piece.distance(CUBE) for piece in pieces], axis=0)
    sure = np.abs(truth) > 0.003  # the chords
    np.testing.assert_array_equal(inside(CUBE, mesh)[sure], truth[sure] < 0)
    outside = truth > 0.003
    np.testing.assert_allclose(signed_distance(CUBE, mesh)[outside], truth[outside], atol=0.003)


def test_the_winding_number_counts_turns_around():
    mesh = parts.box(1.0, 1.0, 1.0).mesh()
    within = np.abs(CUBE).max(1) < 0.45
    number = winding_number(CUBE, mesh)
    np.testing.assert_allclose(number[within], 1, atol=0.02)
    np.testing.assert_allclose(number[np.abs(CUBE).max(1) > 0.55], 0, atol=0.05)
    np.testing.assert_allclose(winding_number(CUBE, Mesh(mesh.vertices, mesh.faces[:, ::-1])), -number, atol=1e-6)
    opened = Mesh(mesh.vertices, mesh.faces[face_normals(mesh)[:, 1] < 0.5])  # without its lid: a sixth at the middle
    np.testing.assert_allclose(winding_number(np.zeros((1, 3)), opened), 5 / 6, atol=0.02)


def test_magnitude_ignores_the_orientation_and_the_type_of_the_arrays():
    mesh = prism(7, 0.5)
    turned = Mesh(mesh.vertices.astype(np.float32), mesh.faces[:, ::-1].astype(np.int32))
    np.testing.assert_allclose(unsigned_distance(CUBE, turned), unsigned_distance(CUBE, mesh), atol=1e-6)
    single = CUBE.astype(np.float32)
    np.testing.assert_array_equal(signed_distance(single, mesh), signed_distance(single.astype(np.float64), mesh))
